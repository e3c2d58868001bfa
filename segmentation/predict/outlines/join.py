"""Pieces to polygons: joined where windows overlap, simplified by about a pixel, placed on the map.

What is joined is in the world's pixel coordinates (see ``Grid``), where edges that coincide in two windows coincide
exactly; only the finished polygons are turned into degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely

from segmentation.geo.grid import CRS, Grid
from segmentation.geo.unions import unite
from segmentation.predict.outlines.pieces import Pieces

# Visvalingam's tolerance in chip pixels: it removes the corners of pixel staircases (half a pixel of area each).
SIMPLIFY_PX = 1.0
# A polygon whose area would change by more than this share keeps its outline as it is.
_AREA_TOLERANCE = 0.01


def join(pieces: Pieces, grid: Grid, *, keep_holes: bool = False) -> gpd.GeoDataFrame:
    """Unite what overlapping windows see of the same mine, and simplify.

    Args:
        pieces: of all windows.
        grid: the imagery's pixel grid.
        keep_holes: keep what mines enclose out of them; the study counts it in.

    Returns:
        ``mean_probability`` (0 to 1, weighted by area) and Polygons in EPSG:4326.
    """
    outlines = pieces.outlines if keep_holes else _without_holes(pieces.outlines)
    merged = unite(outlines)
    if not keep_holes:
        # Windows together may enclose what none encloses alone, and filling may swallow a polygon within.
        merged = unite(_without_holes(merged))
    origin = _origin(merged, pieces)
    simple = _simplify(merged, origin.finest_px)
    polygons = gpd.GeoDataFrame(
        {"mean_probability": origin.mean_probability}, geometry=to_mercator(simple, grid), crs=CRS
    )
    return polygons[origin.area_px > 0].to_crs("EPSG:4326")


def _without_holes(polygons: np.ndarray) -> np.ndarray:
    return shapely.polygons(shapely.get_exterior_ring(polygons))


@dataclass(frozen=True)
class _Origin:
    """What the pieces that went into each of m merged polygons have in common.

    Attributes:
        area_px: (m,) float64, their areas added up, in grid pixels.
        mean_probability: (m,) float64, weighted by their areas.
        finest_px: (m,) int64, smallest side of their chips' pixels, in grid pixels.
    """

    area_px: np.ndarray
    mean_probability: np.ndarray
    finest_px: np.ndarray


def _origin(merged: np.ndarray, pieces: Pieces) -> _Origin:
    """Find the pieces of each merged polygon: a point on a piece lies in the polygon that it went into."""
    tree = shapely.STRtree(merged)
    piece, owner = tree.query(shapely.point_on_surface(pieces.outlines), predicate="intersects")
    area = shapely.area(pieces.outlines)[piece]
    total_area = np.bincount(owner, area, minlength=len(merged))
    total = np.bincount(owner, area * pieces.probability[piece], minlength=len(merged))
    finest_px = np.full(len(merged), np.iinfo("int64").max)
    np.minimum.at(finest_px, owner, pieces.pixel_px[piece])
    return _Origin(total_area, total / np.maximum(total_area, 1e-9), finest_px)


def _simplify(polygons: np.ndarray, pixel_px: np.ndarray) -> np.ndarray:
    """Simplify polygons by about a pixel of the chips that they come from, (m,) each."""
    simple = np.empty(len(polygons), dtype=object)
    for size_px in np.unique(pixel_px):
        same = pixel_px == size_px
        simple[same] = _simplify_by(polygons[same], SIMPLIFY_PX * float(size_px))
    return simple


def _simplify_by(polygons: np.ndarray, tolerance_px: float) -> np.ndarray:
    """Simplify, but leave alone what is so small that it would lose its shape: a single pixel becomes a triangle."""
    simple = shapely.coverage_simplify(polygons, tolerance_px)
    before, after = shapely.area(polygons), shapely.area(simple)
    keeps_area = np.abs(after - before) <= _AREA_TOLERANCE * before
    return np.where(keeps_area, simple, polygons)


def to_mercator(polygons: np.ndarray, grid: Grid) -> np.ndarray:
    """From the world's pixel coordinates to EPSG:3857, rings turned to keep their orientation."""
    world = grid.window_transform(0, 0)
    scale, origin = np.array([world.a, world.e]), np.array([world.c, world.f])
    return shapely.orient_polygons(shapely.transform(polygons, lambda xy: xy * scale + origin))
