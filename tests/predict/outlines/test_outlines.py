"""Outlines of probabilities: pixel edges to the pixel, smooth lines between the pixels' centres."""

import numpy as np
import pytest
import shapely
from helpers.probability_files import blobs, field, levels_of
from rasterio import Affine

from segmentation.predict.outlines.trace import outline_pixels, outline_smoothly
from segmentation.predict.probability import NO_DATA

CENTRES = np.arange(512) + 0.5
COLS, ROWS = np.meshgrid(CENTRES, CENTRES)


def pixel_outlines(mine):
    return outline_pixels(np.where(mine, 200, 50).astype("uint8"), 0.5, Affine.identity()).polygons


def smooth_outlines(levels, threshold=0.5):
    return parts(outline_smoothly(np.pad(levels, 1, mode="edge"), threshold, Affine.identity()))


def parts(outlines):
    return outlines.polygons, outlines.probability


def picture(*rows):
    """A small mask drawn with characters: # is mine."""
    return np.array([[character == "#" for character in row] for row in rows])


DIFFICULT = {
    "block": (picture("....", ".##.", ".##.", "...."), [4]),
    "island in a ring": (picture("#####", "#...#", "#.#.#", "#...#", "#####"), [1, 16]),
    "diagonal": (picture("#.", ".#"), [1, 1]),
    "corners": (picture("##..", "##..", "..##", "..##"), [4, 4]),
    "line": (picture("#####"), [5]),
    "open hole": (picture("###", "#.#", "##."), [7]),
    "holes at a corner": (picture("####", "#.##", "##.#", "####"), [14]),
    "pixel": (picture("#"), [1]),
    "edges": (picture("#..#", "#..#", "....", "####"), [2, 2, 4]),
    "chessboard": (picture("#.#.", ".#.#", "#.#."), [1] * 6),
    "none": (picture("..", ".."), []),
    "all": (picture("##", "##"), [4]),
}


def test_pixel_outlines_enclose_the_very_pixels(rng):
    mine = blobs(rng, 0.3) | (rng.random((512, 512)) < 0.02)
    found = pixel_outlines(mine)
    assert shapely.is_valid(found).all()
    assert shapely.area(found).sum() == mine.sum()
    inside = shapely.contains_xy(shapely.union_all(found), COLS, ROWS)
    np.testing.assert_array_equal(inside, mine)


@pytest.mark.parametrize(("mine", "areas"), DIFFICULT.values(), ids=DIFFICULT)
def test_difficult_pixels_give_valid_polygons(mine, areas):
    found = pixel_outlines(mine)
    assert shapely.is_valid(found).all()
    assert sorted(shapely.area(found).tolist()) == areas


@pytest.mark.parametrize("mine", [mine for mine, _ in DIFFICULT.values()], ids=DIFFICULT)
def test_difficult_pixels_give_valid_smooth_polygons_around_their_centres(mine):
    found, means = smooth_outlines(np.where(mine, 200, 50).astype("uint8"))
    assert shapely.is_valid(found).all()
    assert set(shapely.get_type_id(found).tolist()) <= {shapely.GeometryType.POLYGON}
    cols, rows = np.meshgrid(np.arange(mine.shape[1]) + 0.5, np.arange(mine.shape[0]) + 0.5)
    np.testing.assert_array_equal(shapely.contains_xy(shapely.union_all(found), cols, rows), mine)
    assert means.tolist() == pytest.approx([0.8] * len(found))


def test_the_threshold_counts_from_its_own_value_on():
    levels = np.array([[124, 0, 125, 0, 126, 0, NO_DATA]], "uint8")
    found, means = parts(outline_pixels(levels, 0.5, Affine.identity()))
    assert sorted(shapely.bounds(found)[:, 0].tolist()) == [2, 4]
    assert sorted(means.tolist()) == [0.5, 126 / 250]
    smooth, means = smooth_outlines(levels)
    assert sorted(means.tolist()) == pytest.approx([0.5, 126 / 250])
    assert shapely.intersects(smooth[:, None], shapely.points([[0.5, 0.5], [2.5, 0.5], [4.5, 0.5]])).any(
        axis=0
    ).tolist() == [False, True, True]


@pytest.mark.parametrize(
    "outline", [lambda *given: parts(outline_pixels(*given)), lambda levels, *rest: smooth_outlines(levels)]
)
def test_no_data_is_never_mine(outline):
    levels = np.full((20, 20), NO_DATA, "uint8")
    levels[5:10, 5:10] = 250
    found, means = outline(levels, 0.5, Affine.identity())
    assert [shape.equals(shapely.box(5, 5, 10, 10)) for shape in found] == [True]
    assert means.tolist() == [1.0]


def test_smooth_outlines_stop_at_no_data_along_its_pixels(rng):
    levels = levels_of(field(rng))
    hole = np.s_[100:300, 200:350]
    whole = shapely.union_all(smooth_outlines(levels)[0])
    levels[hole] = NO_DATA
    found, means = smooth_outlines(levels)
    assert shapely.is_valid(found).all()
    inside = shapely.contains_xy(shapely.union_all(found), COLS, ROWS)
    np.testing.assert_array_equal(inside, (levels >= 125) & (levels != NO_DATA))
    assert shapely.union_all(found).intersection(shapely.box(200, 100, 350, 300)).area == 0
    far = shapely.box(0, 302, 512, 512)
    assert shapely.union_all(found).intersection(far).equals_exact(whole.intersection(far), 1e-9, normalize=True)
    assert (means >= 0.5).all()


@pytest.mark.parametrize("threshold", [0.1, 0.35, 0.5, 0.9])
def test_smooth_outlines_enclose_the_centres_of_the_same_pixels(rng, threshold):
    levels = levels_of(field(rng, smooth=8))
    found, means = smooth_outlines(levels, threshold)
    mine = levels >= threshold * 250
    assert shapely.is_valid(found).all()
    np.testing.assert_array_equal(shapely.contains_xy(shapely.union_all(found), COLS, ROWS), mine)
    assert shapely.area(found).sum() == pytest.approx(mine.sum(), rel=0.01)
    for outline, mean in zip(found[:10], means[:10], strict=True):
        assert mean == pytest.approx(levels[shapely.contains_xy(outline, COLS, ROWS)].mean() / 250)


def test_smooth_outlines_find_a_line_between_the_pixels():
    """A model that gets surer evenly crosses a threshold at a place that is known to a fraction of a pixel."""
    slope, middle, threshold = 0.8, 6.37, 0.7
    logits = slope * (np.arange(12) + 0.5 - middle)
    (found,), _ = smooth_outlines(np.tile(np.rint(250 / (1 + np.exp(-logits))), (5, 1)), threshold)
    crossing = middle + np.log(threshold / (1 - threshold)) / slope
    assert found.bounds == pytest.approx((crossing, 0, 12, 5), abs=0.02)


def test_smooth_outlines_of_neighbours_that_know_of_each_other_meet(rng):
    levels = levels_of(field(rng))
    ringed = np.pad(levels, 1, mode="edge")
    whole = outline_smoothly(ringed, 0.5, Affine.identity()).polygons
    west = outline_smoothly(ringed[:, :258], 0.5, Affine.identity()).polygons
    east = outline_smoothly(ringed[:, 256:], 0.5, Affine.translation(256, 0)).polygons
    joined = shapely.union_all([*west, *east])
    assert len(shapely.get_parts(joined)) == len(whole)
    assert joined.area == pytest.approx(shapely.area(whole).sum(), rel=1e-4)


def test_the_mean_probability_is_that_of_the_polygons_own_pixels(rng):
    levels = rng.integers(0, 251, (64, 64)).astype("uint8")
    found, means = parts(outline_pixels(levels, 0.5, Affine.identity()))
    cols, rows = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    for outline, mean in zip(found[::20], means[::20], strict=True):
        assert mean == pytest.approx(levels[shapely.contains_xy(outline, cols, rows)].mean() / 250)


def test_outlines_come_in_the_coordinates_of_the_transform(rng):
    levels = levels_of(field(rng))
    transform = Affine(4, 0, 1000, 0, 4, 2000)
    for outline in (outline_pixels, outline_smoothly):
        plain, moved = (outline(levels, 0.5, t).polygons for t in (Affine.identity(), transform))
        expected = shapely.transform(plain, lambda xy: xy * 4 + (1000, 2000))
        assert shapely.equals_exact(moved, expected, 1e-6).all()
