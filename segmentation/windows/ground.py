"""The valid ground of a window: where its chip has data, as polygons, so that it can be united with that of others."""

from __future__ import annotations

import numpy as np
import shapely
from rasterio import Affine
from rasterio.features import rasterize, shapes, sieve

# A simplified outline covers the valid pixels' area to this share of it...
TOLERANCE = 0.001
# ...and at most this share of them lies on the other side of it, all of them beside the exact one.
_ASTRAY = 0.02
# Outlines with few corners are exact.
_FEW_CORNERS = 100
# Specks and holes of fewer pixels go first, as far as the area allows, then the corners of staircases (the tolerance
# is Visvalingam's, in pixels).
_SPECKS_PX = (64, 16, 4, 0)
_SIMPLIFY_PX = 1.5


def valid_ground(valid: np.ndarray, transform: Affine) -> shapely.Polygon | shapely.MultiPolygon:
    """Outline the valid pixels of a chip, along their edges where that takes few corners.

    Args:
        valid: (512, 512) bool.
        transform: from the chip's pixels to the coordinates wanted.

    Returns:
        What the valid pixels cover, in the transform's coordinates, to ``TOLERANCE``; an empty Polygon for none.
    """
    outline = _outline(valid)
    if shapely.get_num_coordinates(outline) > _FEW_CORNERS:
        outline = _simplified(outline, valid)
    return shapely.transform(outline, lambda xy: np.column_stack(transform @ tuple(xy.T)))


def _outline(valid: np.ndarray) -> shapely.Polygon | shapely.MultiPolygon:
    """The valid pixels' edges exactly, in pixels; pixels that touch at a corner only are not connected."""
    found = shapes(valid.astype("uint8"), mask=valid, connectivity=4)
    parts = np.array([shapely.geometry.shape(geojson) for geojson, _ in found], dtype=object)
    if len(parts) == 1:
        return parts[0]
    return shapely.multipolygons(parts) if len(parts) else shapely.Polygon()


def _simplified(exact: shapely.Geometry, valid: np.ndarray) -> shapely.Geometry:
    """The simplest outline that still agrees with the valid pixels, in pixels."""
    # Loads geopandas: not before a window needs it, as most do without.
    from segmentation.geo.areas import polygonal

    for specks_px in _SPECKS_PX:
        kept = _without_specks(valid, specks_px)
        if not _agrees(kept.sum(), kept, valid):
            continue
        simple = polygonal(shapely.coverage_simplify([_outline(kept)], _SIMPLIFY_PX))[0]
        if not simple.is_empty and _agrees(simple.area, _drawn(simple, valid.shape), valid):
            return simple
    return exact


def _without_specks(valid: np.ndarray, least_px: int) -> np.ndarray:
    """The raster with smaller connected groups of pixels, valid or not, turned into what is around them."""
    if least_px == 0:
        return valid
    return sieve(valid.astype("uint8"), least_px, connectivity=4).astype(bool)


def _drawn(outline: shapely.Geometry, shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centre an outline covers: (h, w) bool."""
    return rasterize([outline], out_shape=shape, dtype="uint8").astype(bool)


def _agrees(area_px: float, covered: np.ndarray, valid: np.ndarray) -> bool:
    """Whether something with an area that covers some pixels (h, w) is close enough to the valid ones (h, w)."""
    count = valid.sum()
    return abs(area_px - count) <= TOLERANCE * count and (covered != valid).sum() <= _ASTRAY * count
