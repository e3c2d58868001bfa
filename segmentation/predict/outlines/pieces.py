"""Probabilities to pieces: the mines of single windows, or of blocks where windows overlap, before any are joined.

All of it is in the world's pixel coordinates (see ``Grid``): pixel corners are whole numbers there, so that edges which
coincide in two windows coincide exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from rasterio import Affine

from segmentation.predict.outlines.overlaps import Block, mean_levels
from segmentation.predict.outlines.trace import PIXEL, SMOOTH, outline_pixels, outline_smoothly
from segmentation.predict.probability import Prediction

UNION, MEAN = "union", "mean"


@dataclass(frozen=True)
class Rule:
    """How probabilities become polygons.

    Attributes:
        threshold: least probability of mine, 0 to 1.
        outline: ``trace.PIXEL`` or ``trace.SMOOTH``.
        overlap: ``UNION``, what any window calls a mine, as in the study; or ``MEAN``, of all windows' probabilities.
    """

    threshold: float = 0.5
    outline: str = PIXEL
    overlap: str = UNION


@dataclass(frozen=True)
class Pieces:
    """Polygons of single windows or blocks.

    Attributes:
        outlines: (n,) shapely polygons in the world's pixel coordinates.
        probability: (n,) float64, mean probability of mine over the polygon's pixels, 0 to 1.
        pixel_px: (n,) int64, side of a chip's pixel in grid pixels.
    """

    outlines: np.ndarray
    probability: np.ndarray
    pixel_px: np.ndarray


def outline_window(prediction: Prediction, rule: Rule) -> Pieces:
    """Outline the mines of one window, whatever other windows see.

    Raises:
        DamagedFile: its probabilities cannot be read.
    """
    ringed = np.pad(prediction.read(), 1, mode="edge")
    return _outline(ringed, rule, prediction.col, prediction.row, prediction.pixel_px)


def outline_block(block: Block, rule: Rule) -> Pieces:
    """Outline the mines of a block, where the windows that overlap in it agree on average.

    Raises:
        DamagedFile: the probabilities of one of them cannot be read.
    """
    finest_px = min(prediction.pixel_px for prediction in block.predictions)
    ringed = mean_levels(block, interpolated=rule.outline == SMOOTH)
    pieces = _outline(ringed, rule, block.col, block.row)
    return replace(pieces, pixel_px=np.full(len(pieces.outlines), finest_px))


def _outline(ringed: np.ndarray, rule: Rule, col: int, row: int, pixel_px: int = 1) -> Pieces:
    """Outline a raster that has one pixel more all around than what lies at ``col, row``."""
    transform = Affine(pixel_px, 0, col, 0, pixel_px, row)
    if rule.outline == SMOOTH:
        found = outline_smoothly(ringed, rule.threshold, transform)
    else:
        found = outline_pixels(ringed[1:-1, 1:-1], rule.threshold, transform)
    return Pieces(found.polygons, found.probability, np.full(len(found.polygons), pixel_px))


def collect(parts: Sequence[Pieces]) -> Pieces:
    """The pieces of all windows and blocks as one."""
    return Pieces(
        outlines=np.concatenate([np.array([], dtype=object), *(part.outlines for part in parts)]),
        probability=np.concatenate([np.array([], dtype="float64"), *(part.probability for part in parts)]),
        pixel_px=np.concatenate([np.array([], dtype="int64"), *(part.pixel_px for part in parts)]),
    )
