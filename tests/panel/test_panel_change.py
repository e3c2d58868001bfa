"""Change: what a site gained, lost and kept, with areas that add up."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from helpers.panels import UNIT, follow, panel, ragged, square
from rasterio import Affine
from scipy import ndimage

from segmentation.geo.areas import area_m2
from segmentation.panel import change
from segmentation.panel.observed import Observed
from segmentation.panel.sites import site_years
from segmentation.panel.tables import country_years
from segmentation.predict.outlines.trace import outline_pixels

ONE = panel({2016: [square(0)]})["area"].iloc[0]


def looked_at(*areas_by_year):
    """What was observed, from ``(year, polygon, valid share)``."""
    years, shapes, shares = zip(*areas_by_year, strict=True)
    table = {"year": years, "mosaic": "m", "windows": 1, "valid_share": shares}
    areas = panel({2016: shapes})[["geometry"]].assign(**table)
    return Observed(areas.assign(area=area_m2(areas.geometry)), frozenset(years))


def by_kind(pieces):
    return {kind: areas["area"].sum() / ONE for kind, areas in pieces.groupby("kind")}


def test_a_mine_that_opens_grows_moves_and_closes():
    polygons = panel({2017: [square(0)], 2018: [square(0, 0, 3, 1)], 2019: [square(1, 0, 3, 1)]})
    _, history, pieces = follow(polygons, (2016, 2017, 2018, 2019, 2020))
    found = [by_kind(pieces[pieces["year_to"] == year]) for year in range(2017, 2021)]
    expected = [{"gained": 1}, {"gained": 2, "kept": 1}, {"gained": 1, "kept": 2, "lost": 1}, {"lost": 3}]
    assert [sorted(kinds) for kinds in found] == [sorted(kinds) for kinds in expected]
    for kinds, truth in zip(found, expected, strict=True):
        assert kinds == pytest.approx(truth, rel=1e-6)
    assert history.area[0] / ONE == pytest.approx([0, 1, 3, 3, 0], rel=1e-6)


def test_a_merger_gains_only_what_is_new():
    polygons = panel({2016: [square(0), square(2)], 2017: [square(0, 0, 3, 1)], 2018: [square(0), square(2)]})
    _, history, pieces = follow(polygons, (2016, 2017, 2018))
    assert len(history.sites) == 1
    assert by_kind(pieces[pieces["year_to"] == 2017]) == pytest.approx({"gained": 1, "kept": 2}, rel=1e-6)
    assert by_kind(pieces[pieces["year_to"] == 2018]) == pytest.approx({"lost": 1, "kept": 2}, rel=1e-6)


def test_areas_are_conserved(rng):
    years = (2016, 2017, 2019)
    # Off the equator, with polygons that overlap within a year.
    shapes = {year: shapely.transform(ragged(rng, 80), lambda xy: xy * 8 + (20, -25)) for year in years}
    polygons = panel(shapes)
    _, history, pieces = follow(polygons, years)
    this, last = history.area[:, 1:], history.area[:, :-1]
    gained, lost, kept = (getattr(history, name)[:, 1:] for name in ("gained", "lost", "kept"))
    assert np.abs(gained + kept - this).max() <= 1e-6 * this.max()
    assert np.abs(lost + kept - last).max() <= 1e-6 * last.max()
    assert np.abs((gained + kept - this)[this > 0] / this[this > 0]).max() < 1e-6
    union = [
        shapely.union_all(polygons.geometry[polygons["year"] == year].to_crs(6933).to_numpy()).area for year in years
    ]
    assert history.area.sum(axis=0) == pytest.approx(union, rel=1e-9)
    assert pieces.geometry.is_valid.all()
    assert set(pieces.geom_type) <= {"Polygon", "MultiPolygon"}
    assert area_m2(pieces.geometry) == pytest.approx(pieces["area"].to_numpy(), rel=1e-6, abs=1e-3)


def test_pixel_outlines_that_share_edges_give_the_same_pieces_as_plain_overlays(rng):
    masks = [ndimage.gaussian_filter(rng.normal(size=(120, 120)), 2) > 0 for _ in range(2)]
    masks[1][60:] = masks[0][60:]
    masks[1][:, 90:] = ~masks[0][:, 90:]  # gained and lost lie side by side
    transform = Affine(UNIT / 20, 0, 20, 0, -UNIT / 20, -5)
    shapes = {
        2016 + k: outline_pixels(mask.astype("uint8"), 1 / 250, transform).polygons for k, mask in enumerate(masks)
    }
    polygons = panel(shapes)
    _, history, pieces = follow(polygons, (2016, 2017))
    assert len(history.sites) > 1
    for kind, area in (("lost", history.area[:, 0]), ("gained", history.area[:, 1])):
        off = getattr(history, kind)[:, 1] + history.kept[:, 1] - area
        assert np.abs(off).max() < 1e-9 * area.max()
    before, after = (shapely.union_all(polygons[polygons["year"] == year].to_crs(6933).geometry) for year in shapes)
    plain = {"kept": before & after, "gained": after - before, "lost": before - after}
    for kind, found in pieces.to_crs(6933).groupby("kind"):
        # To degrees and back, PROJ moves outlines by a tenth of a millimetre.
        assert shapely.area(shapely.union_all(found.geometry) ^ plain[kind]) < 1e-4 * plain[kind].area
    assert pieces.geometry.is_valid.all()


def test_processes_find_the_same_as_one_alone(rng, monkeypatch):
    polygons = panel({year: ragged(rng, 60, spread=60) for year in (2016, 2017, 2018)})
    monkeypatch.setattr(change, "_SITES_AT_A_TIME", 7)
    _, alone, pieces = follow(polygons, (2016, 2017, 2018))
    monkeypatch.setattr(change, "_FEW_SITES", 0)
    _, together, same_pieces = follow(polygons, (2016, 2017, 2018))
    assert len(alone.sites) > 14
    for name in ("area", *change.KINDS):
        assert np.array_equal(getattr(together, name), getattr(alone, name))
    assert_geodataframe_equal(same_pieces, pieces)


def test_an_outline_that_begins_at_another_corner_is_the_same():
    corners = list(square(0, 0, 3, 2).exterior.coords)
    turned = shapely.Polygon(corners[2:-1] + corners[:3])
    _, _, pieces = follow(panel({2016: [square(0, 0, 3, 2)], 2017: [turned]}), (2016, 2017))
    assert by_kind(pieces) == pytest.approx({"kept": 6}, rel=1e-6)


def test_a_mine_that_moves_away_is_lost_and_gained_whichever_way_its_outline_goes():
    away = shapely.reverse(square(6, 0, 2, 1))
    years = {2016: [square(0)], 2017: [square(0, 0, 8, 1)], 2018: [away], 2019: [shapely.reverse(square(0)), away]}
    _, history, pieces = follow(panel(years), tuple(years))
    assert len(history.sites) == 1
    assert by_kind(pieces[pieces["year_to"] == 2018]) == pytest.approx({"lost": 6, "kept": 2}, rel=1e-6)
    _, _, pieces = follow(panel({2016: years[2016], 2017: years[2017], 2018: [square(0)], 2019: [away]}), tuple(years))
    assert by_kind(pieces[pieces["year_to"] == 2019]) == pytest.approx({"lost": 1, "gained": 2}, rel=1e-6)


def test_outlines_that_only_touch_keep_nothing():
    _, history, pieces = follow(panel({2016: [square(0)], 2017: [square(1)]}), (2016, 2017))
    assert len(history.sites) == 1
    assert by_kind(pieces) == pytest.approx({"gained": 1, "lost": 1}, rel=1e-6)


def test_not_observed_is_neither_lost_nor_absent():
    field = square(-5, -5, 40, 12)
    polygons = panel({2016: [square(0), square(20)], 2018: [square(20)]})
    observed = looked_at((2016, field, 1.0), (2017, square(15, -5, 12, 12), 1.0), (2018, field, 1.0))
    _, history, pieces = follow(polygons, (2016, 2017, 2018), observed)
    table = site_years(history).sort_values(["site_id", "year"])
    west = history.sites.names[history.sites.of_polygon[0]]
    assert table.loc[table["site_id"] == west, "status"].tolist() == ["mine", "not observed", "absent"]
    assert table.loc[table["site_id"] != west, "status"].tolist() == ["mine", "absent", "mine"]
    assert table.loc[table["site_id"] == west, "area_m2"].isna().tolist() == [False, True, False]
    assert by_kind(pieces[pieces["year_to"] == 2017]) == pytest.approx({"unseen": 1, "lost": 1}, rel=1e-6)
    assert by_kind(pieces[pieces["year_to"] == 2018]) == pytest.approx({"gained": 1}, rel=1e-6)


def test_without_a_record_of_what_was_looked_at_the_status_is_unknown():
    _, history, _ = follow(panel({2016: [square(0)], 2017: [square(5)]}), (2016, 2017))
    assert set(site_years(history)["status"]) == {"mine", "unknown"}


@pytest.mark.parametrize(
    ("valid_ground", "status"),
    [
        (square(0, 0, 0.6, 1), "absent"),
        (square(0, 0, 0.4, 1), "not observed"),
        (square(-2, 0, 2.4, 1) | square(0.5, 0.5, 3, 3), "absent"),
        (square(-9, -9, 30, 30) - square(0, 0, 0.6, 1), "not observed"),
    ],
)
def test_a_site_was_observed_if_at_least_half_of_it_lies_on_valid_ground(valid_ground, status):
    # What share of all windows around it is valid does not matter.
    observed = looked_at((2016, square(0), 1.0), (2017, valid_ground, 0.4))
    _, history, _ = follow(panel({2016: [square(0)]}), (2016, 2017), observed)
    assert history.status.tolist() == [["mine", status]]


def test_countries_add_up_and_leave_out_what_was_not_looked_at():
    field = square(-5, -5, 40, 12)
    polygons = panel({2016: [square(0), square(20)], 2018: [square(20, 0, 2, 1)]})
    polygons.loc[[1, 2], ["iso_a3", "country_name"]] = ["COG", "Congo"]
    observed = looked_at((2016, field, 1.0), (2017, square(15, -5, 12, 12), 1.0), (2018, field, 1.0))
    _, history, _ = follow(polygons, (2016, 2017, 2018), observed)
    countries = gpd.GeoDataFrame(
        {"iso_a3": ["GAB", "COG", "CAF"], "country_name": ["Gabon", "Congo", "Central African Republic"]},
        geometry=[square(-100, -9, 115, 99), square(15, -9, 100, 99), square(-100, -99, 300, 9)],
        crs="EPSG:4326",
    )
    table = country_years(polygons, history, observed, countries).set_index("iso_a3")
    assert set(table.index) == {"GAB", "COG"}
    one = ONE / 1e6
    gabon, congo = table.loc["GAB"], table.loc["COG"]
    assert gabon["observed_km2"].tolist() == pytest.approx([240 * one, 0, 240 * one], rel=1e-4)
    assert gabon["area_km2"].isna().tolist() == [False, True, False]
    assert gabon["sites_not_observed"].tolist() == [0, 1, 0]
    assert gabon["not_observed_km2"].tolist() == pytest.approx([0, one, 0], rel=1e-6)
    assert gabon["unseen_km2"].tolist() == pytest.approx([np.nan, one, 0], rel=1e-6, nan_ok=True)
    assert congo["polygons"].tolist() == [1, 0, 1]
    assert congo["sites_absent"].tolist() == [0, 1, 0]
    assert congo["area_km2"].tolist() == pytest.approx([one, 0, 2 * one], rel=1e-6)
    assert congo["gained_km2"].tolist() == pytest.approx([np.nan, 0, 2 * one], rel=1e-6, nan_ok=True)
    assert congo["lost_km2"].tolist() == pytest.approx([np.nan, one, 0], rel=1e-6, nan_ok=True)
