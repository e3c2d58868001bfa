"""Where windows overlap: the mean of their probabilities, block by block, without seams."""

import numpy as np
import pytest
import shapely
from helpers.probability_files import field, levels_of, predicted
from scipy import ndimage

from segmentation.geo.grid import Grid
from segmentation.predict.outlines.join import join
from segmentation.predict.outlines.overlaps import BLOCK_SIDE_PX, Block, find_overlaps, mean_levels
from segmentation.predict.outlines.pieces import MEAN, Rule, collect, outline_block
from segmentation.predict.outlines.trace import PIXEL, SMOOTH
from segmentation.predict.probability import NO_DATA

GRID = Grid()
# A corner of four blocks, so that the windows below lie across their borders.
COL, ROW = 1360 * BLOCK_SIDE_PX, 2058 * BLOCK_SIDE_PX


@pytest.fixture
def crowded(tmp_path, rng):
    """Two overlapping windows of 512 px and one of 1024 px around the corner of four blocks, and one far away."""
    views = {"a": (-300, -260, 512), "b": (-100, -130, 512), "c": (-400, -500, 1024), "far": (9000, 0, 512)}
    return [
        predicted(tmp_path / f"{name}.tif", COL + col, ROW + row, side, levels_of(field(rng)))
        for name, (col, row, side) in views.items()
    ]


def canvas(predictions, size=2048):
    """The mean of windows on the grid's pixels around the corner, layer on layer; NaN where there is none."""
    layers = np.full((len(predictions), size, size), np.nan)
    half = size // 2
    for layer, prediction in zip(layers, predictions, strict=True):
        levels = prediction.read().repeat(prediction.pixel_px, 0).repeat(prediction.pixel_px, 1).astype(float)
        top, left = prediction.row - ROW + half, prediction.col - COL + half
        layer[top : top + prediction.side_px, left : left + prediction.side_px] = np.where(
            levels == NO_DATA, np.nan, levels
        )
    seen = ~np.isnan(layers).all(axis=0)
    return np.where(seen, np.nansum(layers, axis=0) / np.maximum((~np.isnan(layers)).sum(axis=0), 1), np.nan)


def around_the_corner(polygons):
    return shapely.transform(polygons, lambda xy: xy - (COL, ROW))


def test_windows_on_their_own_are_told_from_those_that_share_ground(crowded):
    overlaps = find_overlaps(crowded)
    blocks = overlaps.blocks
    assert overlaps.alone.tolist() == [3]
    assert {(block.col - COL, block.row - ROW) for block in blocks} == {
        (col, row) for col in (-BLOCK_SIDE_PX, 0) for row in (-BLOCK_SIDE_PX, 0)
    }
    assert set(blocks[0].predictions) == set(crowded[:3])


def test_a_pixel_gets_the_mean_of_the_windows_that_show_it(crowded):
    blocks = find_overlaps(crowded).blocks
    expected = canvas(crowded[:3])
    for block in blocks:
        levels = mean_levels(block, interpolated=False)
        inside = np.s_[
            max(block.row - ROW, -1024) + 1024 : min(block.row - ROW + BLOCK_SIDE_PX, 1024) + 1024,
            max(block.col - COL, -1024) + 1024 : min(block.col - COL + BLOCK_SIDE_PX, 1024) + 1024,
        ]
        top, left = inside[0].start - 1024 + ROW - block.row + 1, inside[1].start - 1024 + COL - block.col + 1
        found = levels[top : top + 1024, left : left + 1024]
        np.testing.assert_allclose(np.where(found == NO_DATA, np.nan, found), expected[inside], rtol=1e-6)


def test_no_data_in_one_window_leaves_the_word_to_the_others(tmp_path):
    levels = np.full((512, 512), 200, "uint8")
    holed = levels // 2
    holed[:256] = NO_DATA
    both = [predicted(tmp_path / f"{n}.tif", COL, ROW, 512, values) for n, values in enumerate((levels, holed))]
    mean = mean_levels(Block(COL, ROW, tuple(both)), interpolated=False)[1:-1, 1:-1]
    assert set(mean[:256, :512].ravel().tolist()) == {200}
    assert set(mean[256:512, :512].ravel().tolist()) == {150}
    assert set(mean[512:].ravel().tolist()) == {NO_DATA}


def test_pixel_outlines_of_the_mean_are_those_of_its_pixels(crowded):
    blocks = find_overlaps(crowded).blocks
    pieces = collect([outline_block(block, Rule(0.5, PIXEL, MEAN)) for block in blocks])
    mine = np.nan_to_num(canvas(crowded[:3])) >= 125
    united = shapely.union_all(around_the_corner(pieces.outlines))
    assert united.area == mine.sum()
    assert set(pieces.pixel_px.tolist()) == {1}
    joined = join(pieces, GRID, keep_holes=True)
    assert len(joined) == ndimage.label(mine)[1]


def test_smooth_outlines_of_the_mean_have_no_seams_between_blocks(crowded):
    blocks = find_overlaps(crowded).blocks
    rule = Rule(0.5, SMOOTH, MEAN)
    united = shapely.union_all(collect([outline_block(block, rule) for block in blocks]).outlines)
    one = Block(COL - 1024, ROW - 1024, tuple(crowded[:3]))
    whole = shapely.union_all(outline_block(one, rule).outlines)
    assert len(shapely.get_parts(united)) == len(shapely.get_parts(whole))
    assert shapely.symmetric_difference(united, whole).area < 1e-3 * whole.area


def test_coarser_pixels_are_interpolated_for_smooth_outlines(tmp_path):
    slope = np.tile(np.linspace(0, 250, 512), (512, 1))
    coarse = predicted(tmp_path / "coarse.tif", COL, ROW, 2048, np.rint(slope))
    found = mean_levels(Block(COL, ROW, (coarse,)), interpolated=True)[1:-1, 1:-1]
    place = (np.arange(2048) + 0.5) / 4 - 0.5
    expected = np.interp(place, np.arange(512), np.rint(slope[0]).astype("uint8"))
    np.testing.assert_allclose(found, np.tile(expected, (2048, 1)), atol=1e-3)
