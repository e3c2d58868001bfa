"""Quads as Planet serves them, drawn by hand, and the figures of the grid they lie on."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio import Affine
from rasterio.windows import Window

# The imagery's grid in figures, apart from the code under test: level 15, quads of 4096 pixels.
HALF_WORLD_M = 20037508.34
PIXEL_M = 2 * HALF_WORLD_M / 2**23
QUAD_PX, N_QUADS = 4096, 2048

# World pixel of the north-west corner of quad 680-1018, on the Amazon.
AMAZON_COL, AMAZON_ROW = 680 * QUAD_PX, (N_QUADS - 1 - 1018) * QUAD_PX


def quad_transform(x: int, y: int) -> Affine:
    west, north = x * QUAD_PX * PIXEL_M - HALF_WORLD_M, HALF_WORLD_M - (N_QUADS - 1 - y) * QUAD_PX * PIXEL_M
    return Affine(PIXEL_M, 0, west, 0, -PIXEL_M, north)


def write_quad(path: Path, x: int, y: int, patches: dict[tuple[int, int], np.ndarray] | None = None, **changed) -> Path:
    """A quad as Planet serves it: what no patch covers is no data (and takes no space in the file).

    Args:
        path: of the GeoTIFF.
        x: of the quad, eastwards.
        y: of the quad, northwards.
        patches: (bands, h, w) pixel values by the row and column of their first pixel in the quad.
        changed: entries of rasterio's profile that differ from a good quad's.
    """
    profile = {
        "driver": "GTiff",
        "width": QUAD_PX,
        "height": QUAD_PX,
        "count": 5,
        "dtype": "uint16",
        "crs": "EPSG:3857",
        "transform": quad_transform(x, y),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "lzw",
        "sparse_ok": True,
    } | changed
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile) as quad:
        for (row, col), values in (patches or {}).items():
            quad.write(values, window=Window(col, row, values.shape[2], values.shape[1]))
    return path


def paint(folder: Path, col: int, row: int, values: np.ndarray, **changed) -> list[Path]:
    """Write all quads under a picture whose first pixel is the world's pixel ``col, row``."""
    bands, height, width = values.shape
    written = []
    for qx in range(col // QUAD_PX, (col + width - 1) // QUAD_PX + 1):
        for north in range(row // QUAD_PX, (row + height - 1) // QUAD_PX + 1):
            left, top = max(col, qx * QUAD_PX), max(row, north * QUAD_PX)
            right, bottom = min(col + width, (qx + 1) * QUAD_PX), min(row + height, (north + 1) * QUAD_PX)
            part = values[:, top - row : bottom - row, left - col : right - col]
            y = N_QUADS - 1 - north
            patches = {(top - north * QUAD_PX, left - qx * QUAD_PX): part}
            written.append(write_quad(folder / f"{qx}-{y}.tif", qx, y, patches, count=bands, **changed))
    return written


def world_to_mercator(col: float, row: float) -> tuple[float, float]:
    return col * PIXEL_M - HALF_WORLD_M, HALF_WORLD_M - row * PIXEL_M
