"""Probabilities to polygons: outlined window by window, joined where windows overlap, simplified by about a pixel.

All of it happens in the world's pixel coordinates (see ``Grid``): pixel corners are whole numbers there, so edges
that coincide in two windows coincide exactly, and only the finished polygons are turned into degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import shapely
from rasterio import Affine

from segmentation.geo.grid import CRS, Grid
from segmentation.geo.unions import unite
from segmentation.predict.outlines.overlaps import Block, mean_levels
from segmentation.predict.outlines.trace import PIXEL, SMOOTH, outline_pixels, outline_smoothly
from segmentation.predict.probability import Prediction

UNION, MEAN = "union", "mean"

# Visvalingam's tolerance in chip pixels: it removes the corners of pixel staircases (half a pixel of area each).
SIMPLIFY_PX = 1.0
# A polygon whose area would change by more than this share keeps its outline as it is.
_AREA_TOLERANCE = 0.01


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
        pixel: (n,) int64, side of a chip pixel in grid pixels.
    """

    outlines: np.ndarray
    probability: np.ndarray
    pixel: np.ndarray


def outline_window(prediction: Prediction, rule: Rule) -> Pieces:
    """Outline the mines of one window, whatever other windows see."""
    return _outline(np.pad(prediction.read(), 1, mode="edge"), rule, prediction.col, prediction.row, prediction.step)


def outline_block(block: Block, rule: Rule) -> Pieces:
    """Outline the mines of a block, where the windows that overlap in it agree on average."""
    finest = min(prediction.step for prediction in block.predictions)
    pieces = _outline(mean_levels(block, between=rule.outline == SMOOTH), rule, block.col, block.row)
    return replace(pieces, pixel=np.full(len(pieces.outlines), finest))


def _outline(ringed: np.ndarray, rule: Rule, col: int, row: int, step: int = 1) -> Pieces:
    transform = Affine(step, 0, col, 0, step, row)
    if rule.outline == SMOOTH:
        outlines, means = outline_smoothly(ringed, rule.threshold, transform)
    else:
        outlines, means = outline_pixels(ringed[1:-1, 1:-1], rule.threshold, transform)
    return Pieces(outlines, means, np.full(len(outlines), step))


def collect(parts: Sequence[Pieces]) -> Pieces:
    """The pieces of all windows and blocks as one."""
    return Pieces(
        outlines=np.concatenate([np.array([], dtype=object), *(part.outlines for part in parts)]),
        probability=np.concatenate([np.array([], dtype="float64"), *(part.probability for part in parts)]),
        pixel=np.concatenate([np.array([], dtype="int64"), *(part.pixel for part in parts)]),
    )


def join(pieces: Pieces, grid: Grid, keep_holes: bool = False) -> gpd.GeoDataFrame:
    """Unite what overlapping windows see of the same mine, and simplify.

    Args:
        pieces: of all windows.
        grid: the imagery's pixel grid.
        keep_holes: keep what mines enclose out of them; the study counts it in.

    Returns:
        ``mean_probability`` (0 to 1, weighted by area) and Polygons in EPSG:4326.
    """
    outlines = pieces.outlines if keep_holes else _fill(pieces.outlines)
    merged = unite(outlines)
    if not keep_holes:
        # Windows together may enclose what none encloses alone, and filling may swallow a polygon within.
        merged = unite(_fill(merged))
    weight, mean, pixel = _inherit(merged, pieces)
    simple = np.empty(len(merged), dtype=object)
    for size in np.unique(pixel):
        same = pixel == size
        simple[same] = _simplify(merged[same], SIMPLIFY_PX * float(size))
    frame = gpd.GeoDataFrame({"mean_probability": mean}, geometry=to_mercator(simple, grid), crs=CRS)
    return frame[weight > 0].to_crs("EPSG:4326")


def _simplify(polygons: np.ndarray, tolerance: float) -> np.ndarray:
    """Simplify, but leave alone what is so small that it would lose its shape: a single pixel becomes a triangle."""
    simple = shapely.coverage_simplify(polygons, tolerance)
    before, after = shapely.area(polygons), shapely.area(simple)
    return np.where(np.abs(after - before) <= _AREA_TOLERANCE * before, simple, polygons)


def _fill(polygons: np.ndarray) -> np.ndarray:
    return shapely.polygons(shapely.get_exterior_ring(polygons))


def _inherit(merged: np.ndarray, pieces: Pieces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area, mean probability and finest pixel of the pieces that went into each merged polygon."""
    tree = shapely.STRtree(merged)
    piece, owner = tree.query(shapely.point_on_surface(pieces.outlines), predicate="intersects")
    area = shapely.area(pieces.outlines)[piece]
    weight = np.bincount(owner, area, minlength=len(merged))
    mean = np.bincount(owner, area * pieces.probability[piece], minlength=len(merged)) / np.maximum(weight, 1e-9)
    pixel = np.full(len(merged), np.iinfo("int64").max)
    np.minimum.at(pixel, owner, pieces.pixel[piece])
    return weight, mean, pixel


def to_mercator(polygons: np.ndarray, grid: Grid) -> np.ndarray:
    """From the world's pixel coordinates to EPSG:3857, rings turned to keep their orientation."""
    world = grid.window_transform(0, 0)
    scale, origin = np.array([world.a, world.e]), np.array([world.c, world.f])
    return shapely.orient_polygons(shapely.transform(polygons, lambda xy: xy * scale + origin))
