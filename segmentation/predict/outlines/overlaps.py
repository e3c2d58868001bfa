"""Where windows overlap, several chips show the same ground: the mean of what the model makes of them.

The world's pixels that crowded windows cover are taken in square blocks. In a block every window has a say on the
pixels that it covers, at the scale of the grid's own pixels, in which the pixels of all windows are whole. Blocks next
to each other know of each other's pixels, so that nothing shows where they meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segmentation.geo.grid import CHIP_PX, Windows, squares_of
from segmentation.predict.probability import NO_DATA, Prediction, spread
from segmentation.windows.splits import overlapping_pairs

# Side in grid pixels: a few blocks a worker fit into memory, and most windows touch no more than four.
BLOCK_SIDE_PX = 2048


@dataclass(frozen=True)
class Block:
    """A square of the world's pixel grid and the windows that touch it.

    Attributes:
        col: of its first pixel, eastwards.
        row: likewise, southwards.
        predictions: of the windows.
    """

    col: int
    row: int
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class Overlaps:
    """Which windows share ground with others, and where.

    Attributes:
        alone: (n,) int64, positions of the windows that overlap no other.
        blocks: that the others touch, north to south, west to east.
    """

    alone: np.ndarray
    blocks: list[Block]


def find_overlaps(predictions: Sequence[Prediction]) -> Overlaps:
    """Tell the windows that overlap no other from those that do, and lay blocks over these."""
    windows = _places(predictions)
    crowded = np.zeros(len(predictions), bool)
    crowded[overlapping_pairs(windows).ravel()] = True
    chosen = np.flatnonzero(crowded)
    # A pixel wider all around, as a block also has to know what lies just beyond it.
    wider = Windows(windows.col[chosen] - 1, windows.row[chosen] - 1, windows.side_px[chosen] + 2)
    window, block_col, block_row = squares_of(wider, BLOCK_SIDE_PX)
    touching = pd.Series(chosen[window]).groupby([block_row, block_col]).agg(list)
    blocks = []
    for (row, col), positions in touching.items():
        touched_by = tuple(predictions[position] for position in positions)
        blocks.append(Block(col * BLOCK_SIDE_PX, row * BLOCK_SIDE_PX, touched_by))
    return Overlaps(np.flatnonzero(~crowded), blocks)


def _places(predictions: Sequence[Prediction]) -> Windows:
    return Windows(
        col=np.array([prediction.col for prediction in predictions], "int64"),
        row=np.array([prediction.row for prediction in predictions], "int64"),
        side_px=np.array([prediction.side_px for prediction in predictions], "int64"),
    )


def mean_levels(block: Block, *, interpolated: bool) -> np.ndarray:
    """The mean of what all windows show of a block and of one pixel more all around.

    Args:
        block: from ``find_overlaps``.
        interpolated: interpolate between the centres of a chip's pixels where they are coarser than the grid's (for
            smooth outlines), else let every grid pixel have the level of the chip's pixel around it.

    Returns:
        (BLOCK_SIDE_PX + 2, BLOCK_SIDE_PX + 2) float32 levels, ``NO_DATA`` where no window has data.

    Raises:
        DamagedFile: the probabilities of a window cannot be read.
    """
    side_px = BLOCK_SIDE_PX + 2
    total, count = np.zeros((side_px, side_px), "float32"), np.zeros((side_px, side_px), "uint16")
    for prediction in block.predictions:
        rows, chip_rows = _shared_pixels(block.row - 1, prediction.row, prediction)
        cols, chip_cols = _shared_pixels(block.col - 1, prediction.col, prediction)
        levels = prediction.read()
        seen = levels != NO_DATA
        nearest = np.ix_(chip_rows.astype("int64"), chip_cols.astype("int64"))
        if interpolated and prediction.pixel_px > 1:
            sampled = _interpolate(spread(levels), chip_rows, chip_cols)
        else:
            sampled = levels[nearest]
        here = np.ix_(rows, cols)
        total[here] += np.where(seen[nearest], sampled, 0)
        count[here] += seen[nearest]
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(NO_DATA))


def _shared_pixels(first: int, start: int, prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis, the pixels of a block (and its ring) that a window covers.

    Args:
        first: pixel of the block's ring, in the world's grid.
        start: first pixel of the window, likewise.
        prediction: the window's.

    Returns:
        Their places in the ringed block, (n,) int64, and where their centres lie in pixels of the chip, (n,) float64.
    """
    pixels = np.arange(max(first, start), min(first + BLOCK_SIDE_PX + 2, start + prediction.side_px))
    return pixels - first, (pixels - start + 0.5) / prediction.pixel_px


def _interpolate(levels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Levels between the pixels' centres, linear along both axes; beyond the outermost centres, theirs."""
    # Along the rows, then, on the transposed result, along the columns.
    for positions in (rows, cols):
        place = np.clip(positions - 0.5, 0, CHIP_PX - 1)
        low = np.minimum(place.astype("int64"), CHIP_PX - 2)
        share = (place - low)[:, None].astype("float32")
        levels = (levels[low] * (1 - share) + levels[low + 1] * share).T
    return levels
