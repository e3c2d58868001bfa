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
BLOCK_PX = 2048


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


def part(predictions: Sequence[Prediction]) -> tuple[np.ndarray, list[Block]]:
    """Positions of the windows that overlap no other, and the blocks of those that do, north to south, west to east."""
    windows = Windows(
        *(np.array([getattr(p, name) for p in predictions], "int64") for name in ("col", "row", "side_px"))
    )
    crowded = np.zeros(len(predictions), bool)
    crowded[overlapping_pairs(windows).ravel()] = True
    chosen = np.flatnonzero(crowded)
    # A pixel wider all around, as a block also has to know what lies just beyond it.
    wider = Windows(windows.col[chosen] - 1, windows.row[chosen] - 1, windows.side_px[chosen] + 2)
    window, col, row = squares_of(wider, BLOCK_PX)
    touching = pd.Series(chosen[window]).groupby([row, col]).agg(list)
    blocks = [
        Block(col * BLOCK_PX, row * BLOCK_PX, tuple(predictions[n] for n in members))
        for (row, col), members in touching.items()
    ]
    return np.flatnonzero(~crowded), blocks


def mean_levels(block: Block, between: bool) -> np.ndarray:
    """The mean of what all windows show of a block and of one pixel more all around.

    Args:
        block: from ``part``.
        between: interpolate between the centres of a chip's pixels where they are coarser than the grid's (for smooth
            outlines), else let every grid pixel have the level of the chip's pixel around it.

    Returns:
        (BLOCK_PX + 2, BLOCK_PX + 2) float32 levels, ``NO_DATA`` where no window has data.
    """
    side = BLOCK_PX + 2
    total, count = np.zeros((side, side), "float32"), np.zeros((side, side), "uint16")
    for prediction in block.predictions:
        rows, chip_rows = _overlap(block.row - 1, prediction.row, prediction)
        cols, chip_cols = _overlap(block.col - 1, prediction.col, prediction)
        levels = prediction.read()
        seen = levels != NO_DATA
        nearest = np.ix_(_pixel(chip_rows), _pixel(chip_cols))
        if between and prediction.step > 1:
            sampled = _interpolate(spread(levels), chip_rows, chip_cols)
        else:
            sampled = levels[nearest]
        here = np.ix_(rows, cols)
        total[here] += np.where(seen[nearest], sampled, 0)
        count[here] += seen[nearest]
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(NO_DATA))


def _overlap(first: int, start: int, prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis: the block's pixels that a window covers, and where their centres lie in its chip's pixels."""
    pixels = np.arange(max(first, start), min(first + BLOCK_PX + 2, start + prediction.side_px))
    return pixels - first, (pixels - start + 0.5) / prediction.step


def _pixel(position: np.ndarray) -> np.ndarray:
    return position.astype("int64")


def _interpolate(levels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Levels between the pixels' centres, linear along both axes; beyond the outermost centres, theirs."""
    for positions in (rows, cols):
        place = np.clip(positions - 0.5, 0, CHIP_PX - 1)
        low = np.minimum(place.astype("int64"), CHIP_PX - 2)
        share = (place - low)[:, None].astype("float32")
        levels = (levels[low] * (1 - share) + levels[low + 1] * share).T
    return levels
