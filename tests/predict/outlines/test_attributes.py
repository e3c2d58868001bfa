"""The attribute table: order, areas, periods."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod

from segmentation.geo.areas import area_m2
from segmentation.predict.outlines.attributes import COLUMNS, attribute_polygons


@pytest.fixture
def countries():
    return gpd.GeoDataFrame(
        {"iso_a3": ["WST", "EST"], "country_name": ["West", "East"]},
        geometry=[shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)],
        crs="EPSG:4326",
    )


@pytest.fixture
def polygons():
    lon, lat = np.random.default_rng(1).uniform((0, 0), (19, 9), (200, 2)).T
    return gpd.GeoDataFrame(
        {"mean_probability": np.linspace(0.5, 1, 200), "noise": 1},
        geometry=shapely.box(lon, lat, lon + 0.01, lat + 0.02),
        crs="EPSG:4326",
    )


def test_rows_come_by_country_north_to_south(polygons, countries):
    table = attribute_polygons(polygons, 2019, countries)
    assert list(table.columns) == list(COLUMNS)
    assert table.crs == "EPSG:4326"
    assert table["id"].tolist() == list(range(1, 201))
    assert table["iso_a3"].is_monotonic_increasing
    for _, rows in table.groupby("iso_a3"):
        assert rows.bounds["maxy"].is_monotonic_decreasing
    assert (table["valid_from"] == pd.Timestamp("2019-01-01")).all()
    assert (table["valid_to"] == pd.Timestamp("2019-12-31")).all()


def test_the_order_of_the_input_does_not_matter(polygons, countries):
    # Two hooks with the same bounds, the second tie-break.
    hook = shapely.box(3, 3, 4, 4) - shapely.box(3.2, 3, 4, 3.8)
    hooks = gpd.GeoDataFrame(
        {"mean_probability": [0.9, 0.8]},
        geometry=[hook, shapely.affinity.rotate(hook, 180, origin=(3.5, 3.5))],
        crs="EPSG:4326",
    )
    polygons = pd.concat([polygons, hooks], ignore_index=True)
    shuffled = polygons.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(
        attribute_polygons(polygons, 2019, countries), attribute_polygons(shuffled, 2019, countries)
    )


def test_areas_are_geodesic_within_a_thousandth():
    lon, lat = np.random.default_rng(3).uniform((-180, -30), (179, 30), (50, 2)).T
    discs = gpd.GeoSeries(shapely.buffer(shapely.points(lon, lat), 0.02), crs="EPSG:4326")
    geodesic = [abs(Geod(ellps="WGS84").geometry_area_perimeter(disc)[0]) for disc in discs]
    np.testing.assert_allclose(area_m2(discs), geodesic, rtol=1e-3)


def test_a_year_without_a_mine_keeps_the_columns(polygons, countries):
    full, empty = (attribute_polygons(some, 2019, countries) for some in (polygons, polygons.iloc[:0]))
    assert empty.empty
    assert list(empty.columns) == list(COLUMNS)
    assert empty.dtypes.astype(str).to_dict() == full.dtypes.astype(str).to_dict()
