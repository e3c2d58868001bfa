"""What QGIS makes of the GeoPackages, in QGIS itself, without a screen."""

import json

import geopandas as gpd
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import shapely
from helpers.qgis import has_colour, needs_qgis, run_qgis  # noqa: F401

from segmentation.core.workspace import REPOSITORY
from segmentation.geo.geopackage import Layer, write_geopackage
from segmentation.predict.outlines.attributes import attribute_polygons

FROM_EXPRESSIONS = 4  # QgsVectorLayerTemporalProperties.ModeFeatureDateTimeStartAndEndFromExpressions


pytestmark = pytest.mark.qgis


def squares(n):
    return shapely.box(np.arange(n), 1, np.arange(n) + 0.9, 2)


@pytest.fixture(scope="module")
def geopackage(tmp_path_factory):
    """Mines of three years, windows of every split, quads of every kind, and a layer without a row."""
    path = tmp_path_factory.mktemp("qgis") / "all.gpkg"
    countries = gpd.GeoDataFrame(
        {"iso_a3": ["WST"], "country_name": ["West"]}, geometry=[shapely.box(0, 0, 10, 10)], crs="EPSG:4326"
    )
    mines = gpd.GeoDataFrame({"mean_probability": [0.6, 0.8, 0.95]}, geometry=squares(3), crs="EPSG:4326")
    years = [attribute_polygons(mines, year, countries) for year in (2018, 2019, 2020)]
    windows = gpd.GeoDataFrame(
        {
            "split": ["train", "val", "test", "train"],
            "written": [True, True, True, False],
            "status": ["written", "written", "written", "no imagery"],
        },
        geometry=squares(4),
        crs="EPSG:4326",
    )
    quads = gpd.GeoDataFrame({"status": ["covered", "not covered", "failed"]}, geometry=squares(3), crs="EPSG:4326")
    write_geopackage(
        path,
        [
            Layer("mining_polygons", pd.concat(years, ignore_index=True), style="mining_polygons"),
            Layer("no_polygons", years[0].iloc[:0], style="mining_polygons"),
            Layer("windows", windows, "Polygon", style="windows"),
            Layer("quads", quads, "Polygon", style="quads"),
        ],
        {"model": "segformer", "iteration": "160000"},
    )
    return path


def open_in_qgis(geopackage, layer, png):
    result = run_qgis(REPOSITORY / "tests/helpers/qgis_render.py", geopackage, layer, 2019, png)
    assert result.returncode == 0, result.stderr
    assert "partially supported" not in result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["valid"]
    assert report["errors"] == []
    return report, matplotlib.image.imread(png)[..., :3]


def test_mines_are_graded_by_probability(geopackage, tmp_path):
    report, image = open_in_qgis(geopackage, "mining_polygons", tmp_path / "mines.png")
    assert report["renderer"] == "graduatedSymbol"
    assert report["features"] == 9
    assert len(report["legend"]) == 3
    assert "ha" in report["map_tip"]
    assert report["abstract"] == "iteration: 160000\nmodel: segformer"
    assert has_colour(image, 255, 235, 59)
    assert has_colour(image, 255, 145, 0)
    assert has_colour(image, 255, 0, 110)


def test_the_temporal_controller_shows_one_year_at_a_time(geopackage, tmp_path):
    report, _ = open_in_qgis(geopackage, "mining_polygons", tmp_path / "mines.png")
    assert report["temporal"]
    assert report["temporal_mode"] == FROM_EXPRESSIONS
    assert report["temporal_fields"] == ["valid_from", "valid_to"]
    assert report["shown"] == [2019]


def test_an_empty_layer_opens_with_its_style(geopackage, tmp_path):
    report, image = open_in_qgis(geopackage, "no_polygons", tmp_path / "none.png")
    assert report["renderer"] == "graduatedSymbol"
    assert report["features"] == 0
    assert (image == 1).all()


def test_windows_show_their_split(geopackage, tmp_path):
    report, image = open_in_qgis(geopackage, "windows", tmp_path / "windows.png")
    assert report["renderer"] == "categorizedSymbol"
    assert report["legend"] == ["train", "val", "test", "not written"]
    assert has_colour(image, 0, 229, 255)
    assert has_colour(image, 124, 255, 79)
    assert has_colour(image, 213, 156, 255)
    assert (image == 1).all(axis=-1).mean() > 0.5  # no fill


def test_quads_show_what_came_of_them(geopackage, tmp_path):
    report, image = open_in_qgis(geopackage, "quads", tmp_path / "quads.png")
    assert report["renderer"] == "categorizedSymbol"
    assert report["legend"] == ["covered", "not covered", "failed"]
    assert has_colour(image, 255, 82, 82)
