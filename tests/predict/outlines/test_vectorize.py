"""Probabilities to polygons: pixel edges to the pixel, overlapping windows joined, areas kept."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from helpers.probability_files import blobs, field, levels_of, predicted
from rasterio import Affine
from scipy import ndimage
from shapely import affinity

from segmentation.geo.grid import Grid
from segmentation.predict.outlines.join import join
from segmentation.predict.outlines.pieces import Pieces, Rule, collect, outline_window
from segmentation.predict.outlines.trace import outline_pixels, outline_smoothly

GRID = Grid()
# World pixel of a place in the Amazon, south of the equator.
COL, ROW = 2_785_300, 4_214_800


def pieces(*shapes, probability=None, pixel=1):
    """Pieces at the place in the Amazon, their coordinates in grid pixels from there."""
    moved = np.array([affinity.translate(shape, COL, ROW) for shape in shapes], dtype=object)
    pixel = np.broadcast_to(np.asarray(pixel), len(shapes)).astype("int64")
    return Pieces(moved, np.asarray(probability or [0.8] * len(shapes), dtype="float64"), pixel)


def grid_pixels(frame):
    """Joined polygons back in grid pixels from the place in the Amazon."""
    world = GRID.window_transform(COL, ROW)
    back = frame.to_crs("EPSG:3857").geometry.values
    return shapely.transform(np.asarray(back), lambda xy: (xy - [world.c, world.f]) / [world.a, world.e])


def square(x, y, side):
    return shapely.box(x, y, x + side, y + side)


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory):
    """One landscape seen by three windows: two of 512 px that overlap, one of 1024 px around both."""
    folder = tmp_path_factory.mktemp("probabilities")
    rng = np.random.default_rng(5)
    coarse = blobs(rng, 0.5, 512, 10)
    coarse[:40] = coarse[-40:] = coarse[:, :40] = coarse[:, -40:] = False
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)
    views = {
        "a": (0, 0, 512, fine[:512, :512]),
        "b": (300, 200, 512, fine[200:712, 300:812]),
        "c": (0, 0, 1024, coarse),
    }
    predictions = [
        predicted(folder / f"{name}.tif", COL + col, ROW + row, side, np.where(mine, 200, 25))
        for name, (col, row, side, mine) in views.items()
    ]
    return collect([outline_window(prediction, Rule(0.5)) for prediction in predictions]), fine


def test_windows_of_different_scale_unite_to_the_very_same_pixels(overlapping):
    found, fine = overlapping
    assert set(found.pixel_px.tolist()) == {1, 2}
    assert len(found.outlines) == len(found.probability) == len(found.pixel_px)
    united = shapely.union_all(shapely.transform(found.outlines, lambda xy: xy - [COL, ROW]))
    assert united.area == fine.sum()


def test_what_several_windows_see_is_one_set_of_polygons(overlapping):
    found, fine = overlapping
    polygons = grid_pixels(join(found, GRID, keep_holes=True))
    assert len(polygons) == ndimage.label(fine)[1]
    assert shapely.area(polygons).sum() == pytest.approx(fine.sum(), rel=0.01)
    assert shapely.area(shapely.union_all(polygons)) == pytest.approx(shapely.area(polygons).sum(), rel=1e-6)


def test_seams_between_windows_vanish():
    (found,) = grid_pixels(join(pieces(shapely.box(0, 0, 300, 90), shapely.box(300, 0, 600, 90)), GRID))
    assert found.area == pytest.approx(600 * 90, rel=1e-6)
    assert not found.interiors


def test_mines_that_touch_at_a_corner_stay_two():
    found = grid_pixels(join(pieces(square(0, 0, 50), square(50, 50, 50)), GRID))
    assert sorted(shapely.area(found)) == pytest.approx([2500, 2500], rel=1e-6)


@pytest.mark.parametrize("keep_holes", [True, False])
def test_a_hole_is_closed_unless_it_is_to_be_kept(keep_holes):
    ring = square(0, 0, 90).difference(square(30, 30, 30))
    (found,) = grid_pixels(join(pieces(ring), GRID, keep_holes=keep_holes))
    assert found.area == pytest.approx(8100 - 900 * keep_holes, rel=1e-6)


def test_a_ring_that_two_windows_see_half_each_is_closed_too():
    upper = shapely.box(0, 0, 90, 45).difference(square(30, 30, 30))
    lower = shapely.box(0, 45, 90, 90).difference(square(30, 30, 30))
    (found,) = grid_pixels(join(pieces(upper, lower), GRID))
    assert found.area == pytest.approx(8100, rel=1e-6)
    (kept,) = grid_pixels(join(pieces(upper, lower), GRID, keep_holes=True))
    assert kept.area == pytest.approx(7200, rel=1e-6)


def test_a_mine_within_a_closed_hole_is_swallowed_not_counted_twice():
    ring, inner = square(0, 0, 90).difference(square(20, 20, 50)), square(40, 40, 10)
    joined = join(pieces(ring, inner, probability=[0.6, 1.0]), GRID)
    (found,) = grid_pixels(joined)
    assert found.area == pytest.approx(8100, rel=1e-6)
    assert joined["mean_probability"].tolist() == pytest.approx([(5600 * 0.6 + 100 * 1.0) / 5700])
    assert len(join(pieces(ring, inner), GRID, keep_holes=True)) == 2


def test_a_ring_within_a_ring_becomes_one():
    outer = square(0, 0, 200).difference(square(20, 20, 160))
    inner = square(40, 40, 100).difference(square(60, 60, 60))
    (found,) = grid_pixels(join(pieces(outer, inner, square(80, 80, 10)), GRID))
    assert found.area == pytest.approx(40_000, rel=1e-6)


def test_the_mean_probability_weighs_by_area():
    joined = join(pieces(square(0, 0, 30), shapely.box(20, 0, 100, 30), probability=[0.9, 0.6]), GRID)
    assert joined["mean_probability"].tolist() == pytest.approx([(900 * 0.9 + 2400 * 0.6) / 3300])


@pytest.mark.parametrize("keep_holes", [True, False])
def test_smooth_outlines_keep_the_area_within_a_percent_when_simplified(rng, keep_holes):
    levels = levels_of(field(rng) - 0.8)
    outlines = outline_smoothly(np.pad(levels, 1, mode="edge"), 0.5, Affine.identity()).polygons
    found = join(pieces(*outlines), GRID, keep_holes=keep_holes)
    mine = levels >= 125
    exact = mine if keep_holes else ndimage.binary_fill_holes(mine)
    assert shapely.area(grid_pixels(found)).sum() == pytest.approx(exact.sum(), rel=0.01)
    assert found.geometry.is_valid.all()
    assert shapely.get_num_coordinates(found.geometry.values).sum() < 0.6 * shapely.get_num_coordinates(outlines).sum()


@pytest.mark.parametrize("factor", [1, 4])
@pytest.mark.parametrize("keep_holes", [True, False])
def test_simplifying_keeps_the_area_within_a_percent(rng, factor, keep_holes):
    mine = blobs(rng, 0.8)
    outlines = outline_pixels(levels_of(mine - 0.5), 0.5, Affine.scale(factor)).polygons
    found = join(pieces(*outlines, pixel=factor), GRID, keep_holes=keep_holes)
    exact = mine if keep_holes else ndimage.binary_fill_holes(mine)
    area = shapely.area(grid_pixels(found))
    assert area.sum() / factor**2 == pytest.approx(exact.sum(), rel=0.01)
    assert found.geometry.is_valid.all()
    corners = shapely.get_num_coordinates(outlines).sum()
    assert shapely.get_num_coordinates(found.geometry.values).sum() < 0.6 * corners


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 20), (2, 2), (3, 3)])
def test_small_mines_keep_their_area(shape):
    """A mine of a pixel or a line of them is not worn down by the simplification."""
    (found,) = grid_pixels(join(pieces(shapely.box(0, 0, *shape)), GRID))
    assert found.area == pytest.approx(shape[0] * shape[1], rel=1e-3)


def test_joined_polygons_lie_where_their_pixels_lie():
    joined = join(pieces(square(0, 0, 100)), GRID)
    west, north = GRID.window_transform(COL, ROW) @ (0, 0)
    east, south = GRID.window_transform(COL, ROW) @ (100, 100)
    assert joined.crs == "EPSG:4326"
    assert joined.to_crs("EPSG:3857").total_bounds.tolist() == pytest.approx([west, south, east, north], abs=1e-3)
    assert set(joined.geom_type) == {"Polygon"}
    assert joined.geometry.exterior.is_ccw.all()


def test_the_order_of_windows_does_not_change_the_polygons(overlapping):
    found, _ = overlapping
    back = Pieces(found.outlines[::-1], found.probability[::-1], found.pixel_px[::-1])
    one, other = (shapely.normalize(join(p, GRID).geometry.values) for p in (found, back))
    assert {shape.wkb for shape in one} == {shape.wkb for shape in other}


@pytest.mark.parametrize("keep_holes", [True, False])
def test_a_year_without_mines_gives_an_empty_table(keep_holes):
    joined = join(collect([]), GRID, keep_holes=keep_holes)
    assert isinstance(joined, gpd.GeoDataFrame)
    assert len(joined) == 0
    assert list(joined.columns) == ["mean_probability", "geometry"]
    assert joined.crs == "EPSG:4326"
