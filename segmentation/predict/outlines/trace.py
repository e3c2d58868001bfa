"""Probabilities on pixels to outlines: along the pixels' edges, or smooth, between the pixels' centres.

Pixel corners are whole numbers here, the north-west one is (0, 0), so a pixel's centre lies at (0.5, 0.5). A pixel is
mine if its level reaches ``threshold * CERTAIN``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from contourpy import FillType, contour_generator
from rasterio import Affine
from rasterio.features import shapes
from scipy import ndimage

from segmentation.geo.areas import polygonal
from segmentation.predict.probability import CERTAIN, NO_DATA, spread

PIXEL, SMOOTH = "pixel", "smooth"

# Contours are drawn this much below the threshold, so that a pixel right at it lies within and not on the line.
_HAIR = 1e-4


@dataclass(frozen=True)
class Outlines:
    """Outlines of the mines on a raster.

    Attributes:
        polygons: (n,) shapely polygons, in the coordinates of the transform that was asked for.
        probability: (n,) float64, mean probability of mine over each polygon's pixels, 0 to 1.
    """

    polygons: np.ndarray
    probability: np.ndarray


_NONE = Outlines(np.array([], dtype=object), np.array([], dtype="float64"))


def outline_pixels(levels: np.ndarray, threshold: float, transform: Affine) -> Outlines:
    """Outline the connected pixels of mines along the pixels' edges: area for area what the pixels cover.

    Pixels that touch at a corner only are not connected, so that every outline is valid.

    Args:
        levels: (h, w), see ``segmentation.predict.probability``; means of levels may be fractions.
        threshold: least probability, 0 to 1.
        transform: from pixels to the coordinates wanted.
    """
    mine = _mine(levels, threshold)
    components, count = ndimage.label(mine)
    if count == 0:
        return _NONE
    polygons, labels = [], []
    for geojson, label in shapes(components.astype("int32"), mask=mine, connectivity=4, transform=transform):
        polygons.append(shapely.geometry.shape(geojson))
        labels.append(int(label))
    means = ndimage.mean(levels, components, index=np.array(labels))
    return Outlines(np.array(polygons, dtype=object), means / CERTAIN)


def outline_smoothly(ringed: np.ndarray, threshold: float, transform: Affine) -> Outlines:
    """Outline mines where the model's logit, linear between the pixels' centres, crosses that of the threshold.

    Linear in logits, as segmentation heads enlarge them from coarser maps in that way; between probabilities, which are
    bent, the lines would move away from a threshold other than a half. They end at the edge of the raster, where the
    logit is the mean of the pixels on both sides, so that the outlines of two rasters that know of each other's pixels
    meet. What has no data is cut out along its pixels' edges.

    Args:
        ringed: (h + 2, w + 2) levels, the raster with one pixel more all around: what lies beyond, or the outermost
            pixels once more.
        threshold: least probability, 0 to 1.
        transform: from the raster's pixels (without the ring) to the coordinates wanted.
    """
    mine = _mine(ringed, threshold)
    if not mine.any():
        return _NONE
    seen = ringed != NO_DATA
    logits = _logit(spread(ringed))
    outlines = _contours(_up_to_edges(logits), float(_logit(threshold * CERTAIN - _HAIR)))
    if not seen.all():
        outlines = _cut(outlines, seen[1:-1, 1:-1])
    means = _means(outlines, ringed[1:-1, 1:-1], mine[1:-1, 1:-1], threshold)
    placed = shapely.transform(outlines, lambda xy: np.column_stack(transform @ tuple(xy.T)))
    return Outlines(placed, means)


def _mine(levels: np.ndarray, threshold: float) -> np.ndarray:
    return (levels >= threshold * CERTAIN) & (levels != NO_DATA)


def _logit(levels: np.ndarray | float) -> np.ndarray:
    """Log odds of levels; half a level keeps the certain ones finite."""
    levels = np.asarray(levels, "float64")
    return np.log((levels + 0.5) / (CERTAIN + 0.5 - levels))


def _up_to_edges(ringed: np.ndarray) -> np.ndarray:
    """Move the ring's samples from the centres of its pixels to the raster's edge, half way to the outermost pixels."""
    samples = ringed.copy()
    samples[0], samples[-1] = (ringed[0] + ringed[1]) / 2, (ringed[-1] + ringed[-2]) / 2
    west, east = (samples[:, 0] + samples[:, 1]) / 2, (samples[:, -1] + samples[:, -2]) / 2
    samples[:, 0], samples[:, -1] = west, east
    return samples


def _contours(samples: np.ndarray, level: float) -> np.ndarray:
    """Areas above a level: (n,) polygons in pixels. Samples lie at the pixels' centres, the outermost at the edge."""
    rows, cols = (_sample_places(count) for count in samples.shape)
    generator = contour_generator(cols, rows, samples, fill_type=FillType.ChunkCombinedOffsetOffset)
    # Of each kind one array, as the raster is not divided into chunks.
    points, rings, polygons = (of_chunks[0] for of_chunks in generator.filled(level, np.inf))
    if points is None:
        return np.array([], dtype=object)
    drawn = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (rings, polygons))
    return drawn[shapely.area(drawn) > 0]


def _sample_places(count: int) -> np.ndarray:
    """Where samples lie along an axis, in pixels: at the raster's edges, and in between at the pixels' centres."""
    pixels = count - 2
    return np.concatenate([[0], np.arange(pixels) + 0.5, [pixels]])


def _cut(outlines: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The parts of outlines that lie on pixels with data."""
    areas = [shapely.geometry.shape(geojson) for geojson, _ in shapes(seen.astype("uint8"), mask=seen)]
    parts = shapely.get_parts(polygonal(shapely.intersection(outlines, shapely.union_all(areas))))
    return parts[~shapely.is_empty(parts)]


def _means(outlines: np.ndarray, levels: np.ndarray, mine: np.ndarray, threshold: float) -> np.ndarray:
    """Mean probability of the pixels of mine whose centres lie within each outline, (n,) float64."""
    components, count = ndimage.label(mine)
    labels = np.arange(1, count + 1)
    # Neighbouring pixels of mine are never apart, so one pixel tells where its component lies.
    first = np.unique(components, return_index=True)[1][-count:] if count else np.array([], "int64")
    rows, cols = np.divmod(first, mine.shape[1])
    component, owner = shapely.STRtree(outlines).query(shapely.points(cols + 0.5, rows + 0.5), predicate="within")
    component_pixels = ndimage.sum_labels(mine, components, labels)[component]
    component_levels = ndimage.sum_labels(levels, components, labels)[component]
    pixels = np.bincount(owner, component_pixels, minlength=len(outlines))
    total = np.bincount(owner, component_levels, minlength=len(outlines))
    mean = total / np.maximum(pixels, 1) / CERTAIN
    # A sliver at the edge may hold no pixel's centre: it belongs to what lies beyond.
    return np.where(pixels > 0, mean, threshold)
