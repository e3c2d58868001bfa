"""What QGIS makes of ``panel.gpkg``: every layer plays through the years, without setup."""

import json

import geopandas as gpd
import matplotlib.image
import numpy as np
import pytest
from helpers.panels import panel, sight, square
from helpers.qgis import has_colour, needs_qgis, run_qgis  # noqa: F401

from segmentation.core.workspace import REPOSITORY
from segmentation.panel.change import follow_sites
from segmentation.panel.layers import changes_on_disk, write_panel
from segmentation.panel.tables import add_descent, sites_table

pytestmark = pytest.mark.qgis


@pytest.fixture(scope="module")
def geopackage(tmp_path_factory):
    """A mine that moves from west to east and closes, beside one that stays."""
    path = tmp_path_factory.mktemp("panel") / "panel.gpkg"
    shapes = {2016: [square(0, 0, 4, 4), square(9, 9)], 2017: [square(2, 0, 8, 4), square(9, 9)], 2018: [square(9, 9)]}
    polygons = panel(shapes)
    years = tuple(shapes)
    overlaps, sightings = sight(polygons, years)
    seen = {"year": years, "mosaic": "june", "windows": 1, "valid_share": [1.0, 0.8, 0.6], "area": 1.0}
    areas = gpd.GeoDataFrame(seen, geometry=[square(-1, -1, 12 - k, 12) for k in range(3)], crs=4326)
    with changes_on_disk(path.parent) as keep:
        history, changes = follow_sites(polygons, sightings, keep)
        write_panel(
            path,
            polygons=add_descent(polygons, history.sites, overlaps),
            changes=changes,
            sites=sites_table(polygons, history, overlaps),
            observed=areas,
            metadata={},
        )
    return path


def play(geopackage, layer, folder, years):
    pngs = [folder / f"{year}.png" for year in years]
    result = run_qgis(REPOSITORY / "tests/helpers/qgis_play.py", geopackage, layer, *pngs)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["errors"] == []
    assert report["temporal"]
    assert report["fields"] == ["valid_from", "valid_to"]
    return report, [matplotlib.image.imread(png)[..., :3] for png in pngs]


def test_polygons_play_year_by_year(geopackage, tmp_path):
    report, frames = play(geopackage, "polygons", tmp_path, (2015, 2016, 2017, 2018))
    assert report["features"] == 5
    ink = [(frame < 0.99).any(axis=-1).sum() for frame in frames]
    assert ink[0] == 0
    assert 0 < ink[3] < ink[1] < ink[2]
    assert not np.array_equal(frames[1], frames[2])


def test_change_tells_gain_from_loss(geopackage, tmp_path):
    report, (first, grown, closed) = play(geopackage, "change", tmp_path, (2016, 2017, 2018))
    assert report["legend"] == ["gained", "lost", "kept", "not observed in one of the two years"]
    assert (first == 1).all()
    gained, lost = (218, 35, 80), (34, 134, 213)  # over white
    assert has_colour(grown, *gained)
    assert has_colour(grown, *lost)
    assert has_colour(closed, *lost)
    assert not has_colour(closed, *gained)


def test_sites_last_as_long_as_they_were_seen(geopackage, tmp_path):
    _, frames = play(geopackage, "sites", tmp_path, (2016, 2017, 2018))
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[1], frames[2])


def test_what_was_looked_at_plays_as_well(geopackage, tmp_path):
    report, frames = play(geopackage, "observed", tmp_path, (2016, 2017, 2018))
    assert report["legend"][0] == "less than half of it valid"
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[1], frames[2])
