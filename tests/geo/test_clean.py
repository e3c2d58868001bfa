"""The rows of a vector file that hold an area, and the account of the others."""

import geopandas as gpd
import pytest
import shapely

from segmentation.geo.vectors.clean import clean

PIT = shapely.box(10, 5, 10.01, 5.01)
BOW_TIE = shapely.Polygon([(20, 5), (20.02, 5.02), (20.02, 5), (20, 5.02)])


def frame(*geometries, crs="EPSG:4326"):
    return gpd.GeoDataFrame({"id": range(len(geometries))}, geometry=list(geometries), crs=crs)


def test_invalid_and_mixed_geometries_are_told_apart():
    mixed = shapely.GeometryCollection([PIT, shapely.Point(7, 7)])
    account = clean(frame(PIT, BOW_TIE, mixed, shapely.force_3d(PIT, 800.0))).account
    assert (account.invalid, account.mixed, account.repaired, account.flattened) == (1, 1, 2, 1)
    assert not account.dropped


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4269", "EPSG:4674"])
def test_a_row_that_is_left_out_is_counted_for_one_reason(crs):
    """Latitudes beyond the pole are no degrees, and cannot be turned into another CRS either."""
    areas = clean(frame(PIT, shapely.box(10, 500, 11, 501), crs=crs))
    assert areas.frame["id"].tolist() == [0]
    assert areas.account.dropped == {"coordinates that are no degrees": 1}
    assert areas.account.read == len(areas.frame) + sum(areas.account.dropped.values())


def test_what_crosses_the_antimeridian_is_left_out_by_those_who_ask_for_it():
    around = shapely.box(179.9, 0, 180.1, 1)
    areas = clean(frame(PIT, around))
    assert len(areas.frame) == 2
    assert areas.without_wrapped().frame["id"].tolist() == [0]
    assert areas.without_wrapped().account.dropped == {"on both sides of the antimeridian": 1}


def test_a_geometry_that_is_repaired_in_metres_and_again_in_degrees_is_counted_once():
    corners = [(32, -9), (23, -20), (16, -25), (31, -10), (18, -12), (19, -25)]
    tangled = shapely.Polygon([(east * 1e5, north * 1e5) for east, north in corners])
    untangled = gpd.GeoSeries([tangled], crs="EPSG:3857").make_valid()
    assert not untangled.to_crs("EPSG:4326").is_valid.all()
    areas = clean(frame(tangled, crs="EPSG:3857"))
    assert areas.frame.geometry.is_valid.all()
    assert areas.account.invalid == 1
