"""Objects on drawn cases: what is one mine, which find a partner, how large they are."""

import numpy as np
import pytest
import shapely

from segmentation.evaluate.estimates import Draws, object_estimates, object_sizes
from segmentation.evaluate.inputs import Pair
from segmentation.evaluate.objects import match, outline, unite_objects
from segmentation.geo.grid import Grid, lonlat_to_mercator

GRID = Grid()
# A window's first pixel on the equator, where a pixel is 4.78 m wide: 0.002283 ha.
COL, ROW = 4_000_256, 2**22
PIXEL_HA = GRID.pixel_m**2 / 1e4


def window(right=0, down=0, scale=1):
    return Pair(None, None, np.array([], object), COL + right, ROW + down, 512 * scale)


def drawn(*blocks):
    """A window with mines in it: ``(row, col, height, width)`` each."""
    mine = np.zeros((512, 512), bool)
    for row, col, height, width in blocks:
        mine[row : row + height, col : col + width] = True
    return mine


def objects(*windows):
    """Objects of windows given as ``(mine, pair, group)``."""
    outlines = [outline(mine, pair) for mine, pair, _ in windows]
    group = np.repeat([group for _, _, group in windows], [len(part) for part in outlines])
    return unite_objects(np.concatenate(outlines), group, GRID)


def of(*blocks):
    return objects((drawn(*blocks), window(), 0))


def test_connected_pixels_are_one_object_and_corners_do_not_connect():
    found = of((10, 10, 20, 20), (30, 15, 5, 5), (40, 20, 2, 2), (42, 22, 2, 2))
    assert sorted(shapely.area(found.outlines)) == [4, 4, 425]


def test_the_area_of_an_object_is_that_on_the_ground():
    near_equator = of((0, 0, 100, 100))
    assert near_equator.area_m2[0] / 1e4 == pytest.approx(10_000 * PIXEL_HA, rel=0.01)
    far = Pair(
        None, None, np.array([], object), COL, 2**22 - round(float(lonlat_to_mercator(0, 30)[1]) / GRID.pixel_m), 512
    )
    north = objects((drawn((0, 0, 100, 100)), far, 0))
    assert north.area_m2[0] / near_equator.area_m2[0] == pytest.approx(np.cos(np.radians(30)) ** 2, rel=0.01)


def test_what_overlapping_windows_show_twice_is_one_object():
    left, right = drawn((100, 400, 20, 60)), drawn((100, 144, 20, 60))
    found = objects((left, window(), 0), (right, window(right=256), 0))
    assert shapely.area(found.outlines).tolist() == [1200]


def test_an_object_goes_on_in_the_next_window_and_in_a_coarser_one():
    left, right = drawn((100, 502, 20, 10)), drawn((100, 0, 20, 30))
    assert shapely.area(objects((left, window(), 3), (right, window(right=512), 2)).outlines).tolist() == [800]
    fine, coarse = drawn((0, 0, 40, 40)), drawn((0, 20, 20, 20))
    found = objects((fine, window(), 0), (coarse, window(scale=2), 0))
    assert shapely.area(found.outlines).tolist() == [1600 + 1600]


def test_an_object_belongs_to_one_group():
    left, right = drawn((100, 502, 20, 10), (300, 0, 5, 5)), drawn((100, 0, 20, 30), (400, 100, 5, 5))
    found = objects((left, window(), 3), (right, window(right=512), 2))
    assert sorted(zip(shapely.area(found.outlines), found.group, strict=True)) == [(25, 2), (25, 3), (800, 2)]


@pytest.mark.parametrize(
    ("shift", "iou", "matched"),
    [(0, 1.0, True), (10, 20 / 40, True), (11, 19 / 41, False), (30, 0.0, False), (200, 0.0, False)],
)
def test_objects_match_from_half_of_their_union_on(shift, iou, matched):
    # 30 pixels wide, 10 shifted: 20 of 40 pixels are shared, exactly the least that counts.
    found = match(of((50, 50, 10, 30)), of((50, 50 + shift, 10, 30)))
    assert found.found.tolist() == found.right.tolist() == [matched]
    assert found.reference_iou[0] == found.predicted_iou[0] == pytest.approx(iou)


def test_each_object_has_one_partner_at_most(rng):
    halves = match(of((50, 50, 10, 10), (50, 61, 10, 9)), of((50, 50, 10, 20)))
    assert (sorted(halves.found.tolist()), halves.right.tolist()) == ([False, True], [True])
    split = match(of((50, 50, 10, 20)), of((50, 50, 10, 10), (50, 61, 10, 9)))
    assert (split.found.tolist(), sorted(split.right.tolist())) == ([True], [False, True])
    speckled = np.pad(rng.random((96, 96)) < 0.5, (0, 416))
    changed = speckled & (rng.random((512, 512)) < 0.9)
    both = match(objects((speckled, window(), 0)), objects((changed, window(), 0)))
    assert both.found.sum() == both.right.sum() > 100


def test_nothing_matches_nothing():
    nothing, something = of(), of((50, 50, 10, 10))
    assert match(nothing, nothing).found.tolist() == []
    missed, false = match(something, nothing), match(nothing, something)
    assert (missed.found.tolist(), missed.right.tolist(), missed.reference_iou.tolist()) == ([False], [], [0])
    assert (false.found.tolist(), false.right.tolist(), false.predicted_iou.tolist()) == ([], [False], [0])


def test_missed_and_false_objects_are_counted_by_size():
    # 0.23 ha found, 2.3 ha missed and untouched, 22.8 ha half seen; 0.23 ha of a false one.
    reference = of((10, 10, 10, 10), (100, 100, 32, 32), (200, 200, 100, 100))
    predicted = of((10, 11, 10, 10), (200, 200, 30, 100), (400, 400, 10, 10))
    found = match(reference, predicted)
    table = object_sizes(reference, predicted, found).set_index("size")
    counts = table[["reference", "missed", "untouched", "predicted", "false", "baseless"]]
    assert counts.loc["< 1 ha"].tolist() == [1, 0, 0, 2, 1, 1]
    assert counts.loc["1 to 10 ha"].tolist() == [1, 1, 1, 1, 1, 0]
    assert counts.loc["10 to 100 ha"].tolist() == [1, 1, 0, 0, 0, 0]
    assert table["reference_km2"].sum() == pytest.approx((100 + 32**2 + 10_000) * PIXEL_HA / 100, rel=0.01)

    figures = object_estimates(reference, predicted, found, Draws(np.zeros(1, "int64"), 10))
    overall = figures[figures["by"] == "all"].set_index("measure")["value"]
    assert (overall["precision"], overall["recall"], overall["f1"]) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    smallest = figures[figures["subset"] == "< 1 ha"].set_index("measure")["value"]
    assert (smallest["precision"], smallest["recall"]) == (0.5, 1.0)


def test_small_objects_can_be_left_out():
    kept = of((10, 10, 10, 10), (100, 100, 32, 32)).of_at_least(1e4)
    assert shapely.area(kept.outlines).tolist() == [1024]
    assert len(kept.geometry) == len(kept.group) == 1
