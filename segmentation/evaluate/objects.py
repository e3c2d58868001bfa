"""Mines as objects: which were found, which missed, which are none.

An object is a connected area of mine pixels on the ground, whatever the windows that show it: overlapping windows see
the same mine and count it once. Reference and prediction are outlined in the same way, along the pixels' edges, within
the same observed pixels; what a window cuts off is cut off both.

Outlines are in the world's pixel coordinates (see ``Grid``), where pixel corners are whole numbers: what coincides in
two windows coincides exactly, and areas within a pair of objects compare as on the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from rasterio import Affine
from rasterio.features import shapes

from segmentation.evaluate.inputs import Pair
from segmentation.geo.areas import area_m2
from segmentation.geo.grid import CHIP_PX, CRS, Grid
from segmentation.geo.unions import unite
from segmentation.predict.outlines.join import to_mercator

MATCHING_IOU = 0.5
# Classes of ground area: the literature's mines range from less than a hectare to tens of square kilometres.
SIZE_EDGES_HA = (1, 10, 100, 1000)
SIZE_NAMES = ("< 1 ha", "1 to 10 ha", "10 to 100 ha", "100 to 1000 ha", ">= 1000 ha")


@dataclass(frozen=True)
class Objects:
    """Objects on the ground that do not overlap.

    Attributes:
        outlines: (n,) shapely polygons in the world's pixel coordinates.
        group: (n,) int64, number of the group of windows that shows them.
        area_m2: (n,) float64, on the ground (EPSG:6933).
        geometry: n polygons in EPSG:3857.
    """

    outlines: np.ndarray
    group: np.ndarray
    area_m2: np.ndarray
    geometry: gpd.GeoSeries

    def __len__(self) -> int:
        return len(self.outlines)

    @property
    def size(self) -> np.ndarray:
        """(n,) int64, position of the class of ground area in ``SIZE_NAMES``."""
        return np.digitize(self.area_m2, 1e4 * np.array(SIZE_EDGES_HA))

    def of_at_least(self, area_m2: float) -> Objects:
        """Those of some ground area or more."""
        rows = self.area_m2 >= area_m2
        return Objects(self.outlines[rows], self.group[rows], self.area_m2[rows], self.geometry[rows])


@dataclass(frozen=True)
class Matching:
    """Which objects of reference and prediction belong together.

    Attributes:
        found: (m,) bool, reference objects that have a partner.
        right: (k,) bool, predicted objects that have one.
        reference_iou: (m,) float64, largest intersection over union with any predicted object, 0 where none overlaps.
        predicted_iou: (k,) float64, likewise with any reference object.
    """

    found: np.ndarray
    right: np.ndarray
    reference_iou: np.ndarray
    predicted_iou: np.ndarray


def outline(mine: np.ndarray, pair: Pair) -> np.ndarray:
    """Outline connected pixels (touching at a corner does not connect) in the world's pixel coordinates.

    Args:
        mine: (512, 512) bool.
        pair: says where the window lies.
    """
    if not mine.any():
        return np.array([], dtype=object)
    # Only where there is any: the time goes with the pixels looked at.
    rows, cols = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
    top, left = rows[0], cols[0]
    part = mine[top : rows[-1] + 1, left : cols[-1] + 1]
    pixel_px = pair.side_px // CHIP_PX
    transform = Affine(pixel_px, 0, pair.col + pixel_px * left, 0, pixel_px, pair.row + pixel_px * top)
    found = shapes(part.astype("uint8"), mask=part, connectivity=4, transform=transform)
    return np.array([shapely.geometry.shape(geojson) for geojson, _ in found], dtype=object)


def unite_objects(outlines: np.ndarray, group: np.ndarray, grid: Grid) -> Objects:
    """Make objects on the ground of the outlines of single windows.

    Args:
        outlines: (n,) shapely polygons in the world's pixel coordinates.
        group: (n,) int, number of the group of the window that each is from.
        grid: the imagery's pixel grid.
    """
    united = unite(outlines)
    piece, owner = shapely.STRtree(united).query(shapely.point_on_surface(outlines), predicate="intersects")
    # Windows that merely touch may be of two groups, and an object may lie in both.
    first = np.full(len(united), np.iinfo("int64").max)
    np.minimum.at(first, owner, np.asarray(group)[piece])
    geometry = gpd.GeoSeries(to_mercator(united, grid), crs=CRS)
    return Objects(united, first, area_m2(geometry), geometry)


def match(reference: Objects, predicted: Objects) -> Matching:
    """Match objects one to one where intersection over union is at least ``MATCHING_IOU``.

    At one half or more nothing has to be assigned: two reference objects that both share half of their union with
    one predicted object would fill it exactly, so they would touch and be one object.
    """
    one, other = shapely.STRtree(predicted.outlines).query(reference.outlines, predicate="intersects")
    shared = shapely.area(shapely.intersection(reference.outlines[one], predicted.outlines[other]))
    whole = shapely.area(reference.outlines)[one] + shapely.area(predicted.outlines)[other] - shared
    iou = shared / whole
    reference_iou, predicted_iou = np.zeros(len(reference)), np.zeros(len(predicted))
    np.maximum.at(reference_iou, one, iou)
    np.maximum.at(predicted_iou, other, iou)
    return Matching(reference_iou >= MATCHING_IOU, predicted_iou >= MATCHING_IOU, reference_iou, predicted_iou)
