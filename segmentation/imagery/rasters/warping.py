"""Warping rasters of any CRS and resolution straight onto a chip's pixels, once."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio import Affine
from rasterio.crs import CRS as RasterCRS
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import CHIP_PX, CRS, PLACE_TOLERANCE_PX
from segmentation.imagery.rasters.description import UNREADABLE, Raster
from segmentation.imagery.rasters.values import read_values
from segmentation.imagery.source import Pixels

_OPEN_FILES = 32
# Pixels of a file that are held at once.
_STRIP_PX = 4_000_000
_POINTS_A_SIDE = 21
# A file's pixels count as no larger than the chip's up to this ratio.
_SAME_SIZE = 1.001
# Error of the transformation that GDAL may make to be quicker, in pixels of the file.
_TOLERANCE_PX = 0.01


class ChipCanvas:
    """The pixels of one chip, filled from several files: what the first one leaves without data the next may fill.

    Args:
        bands: number of bands.
    """

    def __init__(self, bands: int):
        self._total = np.zeros((bands, CHIP_PX, CHIP_PX), "float32")
        self._share = np.zeros((CHIP_PX, CHIP_PX), "float32")

    @property
    def full(self) -> bool:
        """Whether there is nothing left to fill."""
        return bool((self._share >= 1).all())

    def add(self, rows: slice, values: np.ndarray, share: np.ndarray) -> None:
        """Fill rows of the chip.

        Args:
            rows: of the chip.
            values: (bands, h, 512) float32.
            share: (h, 512) float32, how much of each pixel has data, 0 to 1.
        """
        weight = np.minimum(share, 1 - self._share[rows])
        self._total[:, rows] += weight * values
        self._share[rows] += weight

    def pixels(self) -> Pixels:
        """What came together; a pixel is valid where at least half of it has data."""
        valid = (self._share >= 0.5) & np.isfinite(self._total).all(axis=0)
        return Pixels(np.where(valid, self._total / np.where(valid, self._share, 1), 0), valid)


def add_raster(canvas: ChipCanvas, raster: Raster, chip: Affine) -> None:
    """Warp a file onto a chip (transform in EPSG:3857) and fill with it what is still empty.

    Raises:
        PipelineError: the file cannot be read.
    """
    try:
        file = open_raster(raster.path, raster.path.stat().st_mtime_ns)
        ratio = _pixels_across(file, chip)
        strip = int(np.clip(_STRIP_PX / (CHIP_PX * ratio**2), 1, CHIP_PX))
        for top in range(0, CHIP_PX, strip):
            rows = slice(top, min(top + strip, CHIP_PX))
            height = rows.stop - top
            part = chip @ Affine.translation(0, top)
            window, transform = _under(file, part, height, ratio)
            if window is None:
                continue
            values, seen = _read(file, raster, window)
            transform @= Affine.translation(window.col_off, window.row_off)
            warped, share = warp(values, seen, crs=file.crs, transform=transform, chip=part, height=height, ratio=ratio)
            scale = np.array(raster.scales, "float32")[:, None, None]
            offset = np.array(raster.offsets, "float32")[:, None, None]
            reflectance = np.where(share > 0, warped * scale + offset, 0)
            canvas.add(rows, reflectance, share)
    except UNREADABLE as error:
        raise PipelineError(f"{raster.path} cannot be read ({error}); repair or remove it and run again") from None


def warp(
    values: np.ndarray,
    seen: np.ndarray,
    *,
    crs: RasterCRS,
    transform: Affine,
    chip: Affine,
    height: int,
    ratio: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Warp pixels onto rows of a chip.

    Where the chip's pixels are the coarser ones, each is the mean of the pixels under it, by area; else they are
    interpolated (cubic), and a pixel has data where the one under its centre has. No data never enters a value.

    Args:
        values: (bands, h, w) float32.
        seen: (h, w) bool, where they are data.
        crs: of the pixels.
        transform: of the pixels.
        chip: transform of the rows, EPSG:3857.
        height: number of rows.
        ratio: of a chip's pixel to one of these, by side.

    Returns:
        (bands, height, 512) float32, 0 where there is no data, and (height, 512) float32, how much of each pixel has
        data, 0 to 1.
    """
    warped = np.full((len(values), height, CHIP_PX), np.nan, "float32")
    share = np.zeros((height, CHIP_PX), "float32")
    coarser = ratio > _SAME_SIZE
    where = {
        "src_transform": _snapped(crs, transform, chip),
        "src_crs": crs,
        "dst_transform": chip,
        "dst_crs": CRS,
        "tolerance": _TOLERANCE_PX,
    }
    reproject(
        np.where(seen, values, np.float32(np.nan)),
        warped,
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling.average if coarser else Resampling.cubic,
        **where,
    )
    reproject(seen.astype("float32"), share, resampling=Resampling.average if coarser else Resampling.nearest, **where)
    share = np.where(np.isfinite(warped).all(axis=0), share, 0)
    return np.where(share > 0, warped, 0), share


def values_under(raster: Raster, chip: Affine, most_px: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """What a file holds under a chip, unwarped: under its middle, where that would be very much.

    Args:
        raster: the file.
        chip: transform of the chip, EPSG:3857.
        most_px: rows and columns of the file to read, at most.

    Returns:
        As ``values.read_values``, (bands, h, w) and (h, w); h or w is 0 where the file does not reach.

    Raises:
        PipelineError: the file cannot be read.
    """
    try:
        file = open_raster(raster.path, raster.path.stat().st_mtime_ns)
        window, _ = _under(file, chip, CHIP_PX, _pixels_across(file, chip))
        if window is None:
            return np.zeros((len(raster.bands), 0, 0), "float32"), np.zeros((0, 0), bool)
        width, height = min(window.width, most_px), min(window.height, most_px)
        left, top = window.col_off + (window.width - width) // 2, window.row_off + (window.height - height) // 2
        right, bottom = min(left + width, file.width), min(top + height, file.height)
        left, top = max(left, 0), max(top, 0)
        inside = Window(left, top, max(right - left, 0), max(bottom - top, 0))
        if not (inside.width and inside.height):
            return np.zeros((len(raster.bands), 0, 0), "float32"), np.zeros((0, 0), bool)
        return read_values(file, raster, inside)
    except UNREADABLE as error:
        raise PipelineError(f"{raster.path} cannot be read ({error}); repair or remove it and run again") from None


@lru_cache(maxsize=_OPEN_FILES)
def open_raster(path: Path, modified_ns: int) -> rasterio.DatasetReader:
    """An open file, kept for the next windows: they come ordered by place."""
    return rasterio.open(path)


def _read(file: rasterio.DatasetReader, raster: Raster, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Values (bands, h, w) float32 and where they are data (h, w) bool; outside the file there are none."""
    values = np.zeros((len(raster.bands), window.height, window.width), "float32")
    seen = np.zeros((window.height, window.width), bool)
    inside = window.intersection(Window(0, 0, file.width, file.height))
    top, left = inside.row_off - window.row_off, inside.col_off - window.col_off
    here = np.s_[top : top + inside.height, left : left + inside.width]
    values[(slice(None), *here)], seen[here] = read_values(file, raster, inside)
    return values, seen


def _under(file: rasterio.DatasetReader, chip: Affine, height: int, ratio: float) -> tuple[Window | None, Affine]:
    """The file's pixels under rows of a chip, with those that interpolation looks at; None where there are none.

    Also the file's transform, turned around the world to the chip's side where its longitudes go on beyond 180.
    """
    x, y = _border(file.crs, chip, CHIP_PX, height)
    transform = file.transform
    if file.crs.is_geographic and len(x):
        middle, _ = transform @ (file.width / 2, file.height / 2)
        transform = Affine.translation(360 * np.round((x.mean() - middle) / 360), 0) @ transform
    col, row = ~transform @ (x, y)
    if not len(col):
        return None, transform
    around = 2 * max(1, int(np.ceil(ratio))) + 2
    left, right = int(np.floor(col.min())) - around, int(np.ceil(col.max())) + around
    top, bottom = int(np.floor(row.min())) - around, int(np.ceil(row.max())) + around
    if right <= 0 or bottom <= 0 or left >= file.width or top >= file.height:
        return None, transform
    return Window(left, top, right - left, bottom - top), transform


def _border(crs: RasterCRS, chip: Affine, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Points along the border of rows of a chip, in another CRS; only those that it has."""
    share = np.linspace(0, 1, _POINTS_A_SIDE)
    none, full = np.zeros_like(share), np.ones_like(share)
    across = np.concatenate([share, share, none, full]) * width
    down = np.concatenate([none, full, share, share]) * height
    x, y = _to(crs.to_wkt()).transform(*(chip @ (across, down)))
    there = np.isfinite(x) & np.isfinite(y)
    return x[there], y[there]


def _pixels_across(file: rasterio.DatasetReader, chip: Affine) -> float:
    """How many pixels of a file lie side by side in one of a chip: the root of their number, in the chip's middle."""
    middle = chip @ Affine.translation(CHIP_PX // 2, CHIP_PX // 2)
    # A corner of the chip's pixel, and the ones beside and below it.
    corners_3857 = middle @ (np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    x, y = _to(file.crs.to_wkt()).transform(*corners_3857)
    col, row = ~file.transform @ (np.asarray(x), np.asarray(y))
    sides_px = np.array([(col[1] - col[0], row[1] - row[0]), (col[2] - col[0], row[2] - row[0])])
    area_px = np.linalg.det(sides_px)
    return float(np.sqrt(abs(area_px))) if np.isfinite(area_px) else 1.0


def _snapped(crs: RasterCRS, transform: Affine, chip: Affine) -> Affine:
    """The transform of pixels, on the chip's own pixels where it is a hundredth of a pixel off them at most."""
    if crs != CRS:
        return transform
    a, b, c, d, e, f = (round(value, 6) for value in (~chip @ transform)[:6])
    return chip @ Affine(a, b, _on_lattice(c, abs(a)), d, e, _on_lattice(f, abs(e)))


def _on_lattice(offset: float, pixel: float) -> float:
    """An offset in chip pixels, of whole pixels (of the chip or of the file, the smaller ones) where it nearly is."""
    unit = min(pixel, 1.0) or 1.0
    whole = round(offset / unit) * unit
    return whole if abs(offset - whole) <= PLACE_TOLERANCE_PX * unit else offset


@cache
def _to(wkt: str) -> Transformer:
    return Transformer.from_crs(CRS, wkt, always_xy=True)
