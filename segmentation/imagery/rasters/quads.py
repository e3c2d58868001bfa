"""Quads of Planet's basemaps among raster files: their bands and scale are documented, but not in the files."""

from __future__ import annotations

import numpy as np
import rasterio

from segmentation.geo.grid import CRS, PLACE_TOLERANCE_PX, QUAD_PX, Grid, misplaced_px
from segmentation.imagery.reflectance import ALPHA, NIR


def is_planet_quad(file: rasterio.DatasetReader) -> bool:
    """Whether a file is a quad of an analytic basemap: of its size and bands, and on its grid."""
    laid_out = (
        (file.width, file.height) == (QUAD_PX, QUAD_PX)
        and file.count in {NIR, ALPHA}
        and set(file.dtypes) == {"uint16"}
        and file.crs == CRS
    )
    if not laid_out:
        return False
    grid = Grid()
    corner_px = ~grid.window_transform(0, 0) @ (file.transform.c, file.transform.f)
    # The quad whose corner is nearest.
    x, y = np.round(np.array(corner_px) / QUAD_PX)
    expected = grid.window_transform(int(x) * QUAD_PX, int(y) * QUAD_PX)
    return misplaced_px(file.transform, expected, QUAD_PX, QUAD_PX) <= PLACE_TOLERANCE_PX
