"""Probabilities to polygons: exact pixel edges, joined where windows overlap, simplified by about a pixel.

All of it happens in the world's pixel coordinates (see ``Grid``): pixel corners are whole numbers there, so edges
that coincide in two windows coincide exactly, and only the finished polygons are turned into degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from rasterio import Affine
from rasterio.features import shapes
from scipy import ndimage
from tqdm import tqdm

from segmentation.grid import CHIP_PX, CRS, Grid
from segmentation.probabilities import CERTAIN, NO_DATA, read_probability
from segmentation.workers import worker_pool

# Visvalingam's tolerance in chip pixels: it removes the corners of pixel staircases (half a pixel of area each).
SIMPLIFY_PX = 1.0
# A polygon whose area would change by more than this share keeps its pixel edges.
_AREA_TOLERANCE = 0.02
_CHUNK = 16


@dataclass(frozen=True)
class Prediction:
    """A window's probability file and where the window lies in the world's pixel grid."""

    probability: Path
    col: int
    row: int
    side_px: int


@dataclass(frozen=True)
class Pieces:
    """Polygons of single windows.

    Attributes:
        outlines: (n,) shapely polygons in the world's pixel coordinates.
        probability: (n,) float64, mean probability of mine over the polygon's pixels, 0 to 1.
        pixel: (n,) int64, side of a chip pixel in grid pixels.
    """

    outlines: np.ndarray
    probability: np.ndarray
    pixel: np.ndarray


def outline_pixels(probability: np.ndarray, threshold: float, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Outline the connected pixels whose probability reaches a threshold, along the pixels' edges.

    Pixels that touch at a corner only are not connected, so that every outline is valid.

    Args:
        probability: (h, w) uint8, see ``segmentation.probabilities``.
        threshold: 0 to 1.
        transform: of the pixels.

    Returns:
        (n,) shapely polygons in the transform's coordinates and (n,) float64, their mean probabilities.
    """
    mine = (probability >= threshold * CERTAIN) & (probability != NO_DATA)
    components, count = ndimage.label(mine)
    if count == 0:
        return np.array([], dtype=object), np.array([], dtype="float64")
    found = list(shapes(components.astype("int32"), mask=mine, connectivity=4, transform=transform))
    outlines = np.array([shapely.geometry.shape(geojson) for geojson, _ in found], dtype=object)
    labels = np.array([label for _, label in found], dtype="int64")
    means = ndimage.mean(probability, components, index=labels) / CERTAIN
    return outlines, means


def outline_windows(predictions: Sequence[Prediction], threshold: float, workers: int, quiet: bool = False) -> Pieces:
    """Outline the mines of all windows, in parallel processes."""
    with worker_pool(workers) as pool:
        tasks = pool.map(_outline_window, predictions, [threshold] * len(predictions), chunksize=_CHUNK)
        parts = list(tqdm(tasks, total=len(predictions), desc="outlines", unit="chip", disable=quiet))
    outlines, means = zip(*parts, strict=True) if parts else ((), ())
    count = np.array([len(part) for part in outlines], dtype="int64")
    pixel = np.array([prediction.side_px // CHIP_PX for prediction in predictions], dtype="int64")
    return Pieces(
        outlines=np.concatenate([np.array([], dtype=object), *outlines]),
        probability=np.concatenate([np.array([], dtype="float64"), *means]),
        pixel=np.repeat(pixel, count),
    )


def _outline_window(prediction: Prediction, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    probability = read_probability(prediction.probability)
    step = prediction.side_px // CHIP_PX
    transform = Affine(step, 0, prediction.col, 0, step, prediction.row)
    return outline_pixels(probability, threshold, transform)


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
    merged = _unite(outlines)
    if not keep_holes:
        # Windows together may enclose what none encloses alone, and filling may swallow a polygon within.
        merged = _unite(_fill(merged))
    weight, mean, pixel = _inherit(merged, pieces)
    simple = np.empty(len(merged), dtype=object)
    for size in np.unique(pixel):
        same = pixel == size
        simple[same] = _simplify(merged[same], SIMPLIFY_PX * float(size))
    frame = gpd.GeoDataFrame({"mean_probability": mean}, geometry=_to_mercator(simple, grid), crs=CRS)
    return frame[weight > 0].to_crs("EPSG:4326")


def _simplify(polygons: np.ndarray, tolerance: float) -> np.ndarray:
    """Simplify, but leave alone what is so small that it would lose its shape: a single pixel becomes a triangle."""
    simple = shapely.coverage_simplify(polygons, tolerance)
    before, after = shapely.area(polygons), shapely.area(simple)
    return np.where(np.abs(after - before) <= _AREA_TOLERANCE * before, simple, polygons)


def _fill(polygons: np.ndarray) -> np.ndarray:
    return shapely.polygons(shapely.get_exterior_ring(polygons))


def _unite(polygons: np.ndarray) -> np.ndarray:
    """The connected parts of a union: polygons that do not overlap."""
    return shapely.get_parts(shapely.disjoint_subset_union_all(polygons)) if len(polygons) else polygons


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


def _to_mercator(polygons: np.ndarray, grid: Grid) -> np.ndarray:
    """From the world's pixel coordinates to EPSG:3857, rings turned to keep their orientation."""
    world = grid.window_transform(0, 0)
    scale, origin = np.array([world.a, world.e]), np.array([world.c, world.f])
    return shapely.orient_polygons(shapely.transform(polygons, lambda xy: xy * scale + origin))
