"""Quad files: what a downloaded quad must be, and how a window is read from the quads it touches."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from segmentation.core.errors import DamagedFile
from segmentation.geo.geotiffs import check_checksums
from segmentation.geo.grid import CHIP_PX, CRS, PLACE_TOLERANCE_PX, QUAD_PX, Grid, Windows, misplaced_px, quad_name
from segmentation.imagery.reflectance import ALPHA, BLUE, GREEN, NIR, RED, REFLECTANCE_SCALE
from segmentation.imagery.source import Pixels

_OPEN_QUADS = 16
_STRIP_PX = 16_000_000


def check_quad(path: Path, grid: Grid, x: int, y: int) -> None:
    """Make sure that a file is the quad it should be, every block of it readable.

    Raises:
        ValueError: it is not; the message says why.
    """
    try:
        with rasterio.open(path) as quad:
            check_layout(quad, grid, x, y)
            for band in quad.indexes:
                quad.checksum(band)
            check_checksums(path, quad)
    except (RasterioError, zlib.error) as error:
        raise ValueError(str(error)) from None


def check_layout(quad: rasterio.DatasetReader, grid: Grid, x: int, y: int) -> None:
    """Make sure that a raster has a quad's size, bands and place.

    Raises:
        ValueError: it has not; the message says why.
    """
    if (quad.width, quad.height) != (QUAD_PX, QUAD_PX):
        raise ValueError(f"{quad.width} x {quad.height} pixels instead of {QUAD_PX} x {QUAD_PX}")
    if quad.count not in (4, 5) or set(quad.dtypes) != {"uint16"}:
        raise ValueError(f"{quad.count} bands of {quad.dtypes[0]} instead of 4 or 5 of uint16")
    if quad.crs != CRS:
        raise ValueError(f"CRS {quad.crs} instead of {CRS}")
    off_px = misplaced_px(quad.transform, grid.window_transform(*grid.quad_origin(x, y)), QUAD_PX, QUAD_PX)
    if not off_px <= PLACE_TOLERANCE_PX:
        raise ValueError(f"georeferenced {off_px * grid.pixel_m:.3f} m off the quad grid")


@dataclass(frozen=True)
class QuadReader:
    """Reads windows from cached quads; small and picklable, so that every worker process has its own.

    Attributes:
        folder: holds the quads as ``x-y.tif``; a quad that is not there counts as no data.
        grid: the pixel grid of the quads.
    """

    folder: Path
    grid: Grid = field(default_factory=Grid)
    bands: int = 4

    def quad_path(self, x: int, y: int) -> Path:
        """Where a quad is cached."""
        return self.folder / f"{quad_name(x, y)}.tif"

    def read(self, col: int, row: int, side_px: int) -> Pixels:
        """Read a window (grid pixels, see ``Grid``) onto 512 x 512 pixels.

        A larger window is resampled by the mean of the valid pixels under each chip pixel, which keeps area true;
        a chip pixel is valid where at least half of the grid pixels under it are.

        Raises:
            DamagedFile: a quad on disk is.
        """
        factor = side_px // CHIP_PX
        strip = max(1, min(CHIP_PX, _STRIP_PX // (side_px * factor)))
        reflectance = np.zeros((self.bands, CHIP_PX, CHIP_PX), "float32")
        valid = np.zeros((CHIP_PX, CHIP_PX), bool)
        for top in range(0, CHIP_PX, strip):
            rows = slice(top, min(top + strip, CHIP_PX))
            height = (rows.stop - rows.start) * factor
            dn, seen = self._mosaic(col, row + top * factor, side_px, height)
            reflectance[:, rows], valid[rows] = _block_mean(dn, seen, factor)
        return Pixels(reflectance * np.float32(REFLECTANCE_SCALE), valid)

    def _mosaic(self, col: int, row: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """DN (4, height, width) uint16 in the order red, green, blue, NIR, and validity, at full resolution."""
        dn = np.zeros((self.bands, height, width), "uint16")
        seen = np.zeros((height, width), bool)
        for qx in range(col // QUAD_PX, (col + width - 1) // QUAD_PX + 1):
            for north in range(row // QUAD_PX, (row + height - 1) // QUAD_PX + 1):
                qy = self.grid.n_quads - 1 - north
                path = self.quad_path(qx, qy)
                if not path.exists():
                    continue
                left, top = max(col, qx * QUAD_PX), max(row, north * QUAD_PX)
                right, bottom = min(col + width, (qx + 1) * QUAD_PX), min(row + height, (north + 1) * QUAD_PX)
                part = Window(left - qx * QUAD_PX, top - north * QUAD_PX, right - left, bottom - top)
                here = np.s_[top - row : bottom - row, left - col : right - col]
                dn[(slice(None), *here)], seen[here] = _read_part(path, part)
        return dn, seen


def _read_part(path: Path, part: Window) -> tuple[np.ndarray, np.ndarray]:
    try:
        quad = open_quad(path, path.stat().st_mtime_ns)
        if quad.count >= ALPHA:
            values = quad.read([RED, GREEN, BLUE, NIR, ALPHA], window=part)
            seen = values[4] > 0
        else:
            values = quad.read([RED, GREEN, BLUE, NIR], window=part)
            seen = values.any(axis=0)
    except RasterioError as error:
        raise DamagedFile(path, str(error), "remove it and run again to fetch it anew") from None
    return np.where(seen, values[:4], 0), seen


def _block_mean(dn: np.ndarray, seen: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the valid pixels in blocks of ``factor`` x ``factor``: (bands, h, w) float32 and (h, w) bool."""
    if factor == 1:
        return dn.astype("float32"), seen
    bands, height, width = dn.shape
    blocks = (height // factor, factor, width // factor, factor)
    count = seen.reshape(blocks).sum(axis=(1, 3), dtype="int64")
    total = dn.reshape(bands, *blocks).sum(axis=(2, 4), dtype="int64")
    valid = 2 * count >= factor * factor
    return np.where(valid, total / np.maximum(count, 1), 0).astype("float32"), valid


@lru_cache(maxsize=_OPEN_QUADS)
def open_quad(path: Path, modified_ns: int) -> rasterio.DatasetReader:
    """An open quad, kept for the next windows: they come ordered by quad."""
    return rasterio.open(path)


def reading_order(windows: Windows) -> np.ndarray:
    """Positions of windows ordered by the quad of their north-west corner, so that neighbours follow each other."""
    return np.lexsort((windows.col, windows.row, windows.col // QUAD_PX, windows.row // QUAD_PX))
