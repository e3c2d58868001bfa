"""The imagery's pixel grid in Web Mercator (EPSG:3857), its quads, and the square windows cut from it.

Planet's basemaps share one grid: at level ``z`` the world is ``256 * 2**z`` pixels wide, cut into quads of
4096 x 4096 pixels. Pixels are counted here from the north-west corner of the world (``col`` eastwards, ``row``
southwards), as in a raster; quad ids ``x-y`` count ``y`` from the south edge, as Planet does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import shapely
from pyproj import Transformer
from rasterio import Affine

# Planet's servers use this rounded half-width of the Web Mercator world (the exact one is pi * 6378137 m,
# 2.8 mm more); quad bounds and the georeferencing of the quads' GeoTIFFs follow from it to 12 digits.
HALF_WORLD_M = 20037508.34

QUAD_PX = 4096
CHIP_PX = 512
# Side of a quad's blocks, the internal tiles of its GeoTIFF.
QUAD_BLOCK_PX = 512
CRS = "EPSG:3857"
# A raster lies where it should if its corners are no farther off. Web Mercator's half-width is written down with two
# constants (see above) whose grids differ by up to 2.8 mm, and writers round: neither moves a pixel.
PLACE_TOLERANCE_PX = 0.01


@dataclass(frozen=True)
class Windows:
    """Square windows on the pixel grid, one entry a window.

    Attributes:
        col: (n,) int64, first pixel column, counted eastwards from 180 W.
        row: (n,) int64, first pixel row, counted southwards from the north edge of the world.
        side_px: (n,) int64, side in grid pixels, a multiple of ``CHIP_PX``.
    """

    col: np.ndarray
    row: np.ndarray
    side_px: np.ndarray

    def __len__(self) -> int:
        return len(self.col)

    def chosen(self, which: np.ndarray | None) -> Windows:
        """Some of the windows, by an array of bool or of positions; None for all."""
        if which is None:
            return self
        return Windows(self.col[which], self.row[which], self.side_px[which])


@dataclass(frozen=True)
class Grid:
    """The pixel grid of one zoom level: 15 for Planet's basemaps (4.78 m at the equator)."""

    level: int = 15

    @property
    def world_px(self) -> int:
        """Width and height of the world in pixels."""
        return 256 << self.level

    @property
    def pixel_m(self) -> float:
        """Side of a pixel in metres of EPSG:3857."""
        return 2 * HALF_WORLD_M / self.world_px

    @property
    def n_quads(self) -> int:
        """Number of quads along each side of the world."""
        return self.world_px // QUAD_PX

    @property
    def quad_m(self) -> float:
        """Side of a quad in metres of EPSG:3857."""
        return QUAD_PX * self.pixel_m

    def windows_around(self, bounds_3857: np.ndarray) -> Windows:
        """One window a row of bounds: twice the larger extent, rounded up to whole chips, centred.

        A window that would leave the world (the antimeridian) is shifted to stay on its side.

        Args:
            bounds_3857: (n, 4) float64, minx, miny, maxx, maxy in EPSG:3857.
        """
        minx, miny, maxx, maxy = np.asarray(bounds_3857, dtype="float64").reshape(-1, 4).T
        # Rounded, so that an extent of whole pixels is not a hair more.
        extent_px = np.round(np.maximum(maxx - minx, maxy - miny) / self.pixel_m, 6)
        side = CHIP_PX * np.maximum(1, np.ceil(2 * extent_px / CHIP_PX)).astype("int64")
        side = np.minimum(side, self.world_px)
        centre_col = ((minx + maxx) / 2 + HALF_WORLD_M) / self.pixel_m
        centre_row = (HALF_WORLD_M - (miny + maxy) / 2) / self.pixel_m
        col = np.round(centre_col - side / 2).astype("int64")
        row = np.round(centre_row - side / 2).astype("int64")
        return Windows(
            col=np.clip(col, 0, self.world_px - side), row=np.clip(row, 0, self.world_px - side), side_px=side
        )

    def window_bounds(self, windows: Windows) -> np.ndarray:
        """Bounds of windows, (n, 4) float64 in EPSG:3857: minx, miny, maxx, maxy."""
        minx = windows.col * self.pixel_m - HALF_WORLD_M
        maxy = HALF_WORLD_M - windows.row * self.pixel_m
        side_m = windows.side_px * self.pixel_m
        return np.column_stack([minx, maxy - side_m, minx + side_m, maxy])

    def window_transform(self, col: int, row: int, pixels: int = 1) -> Affine:
        """Transform (EPSG:3857) of the raster whose first pixel starts at ``col, row`` and spans ``pixels``."""
        step = pixels * self.pixel_m
        return Affine(step, 0.0, col * self.pixel_m - HALF_WORLD_M, 0.0, -step, HALF_WORLD_M - row * self.pixel_m)

    def quads_of(self, windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every quad that every window touches.

        Returns:
            Three (m,) int64 arrays: the window's position, the quad's x and the quad's y (from the south).
        """
        window, x, row = squares_of(windows, QUAD_PX)
        return window, x, self.n_quads - 1 - row

    def blocks_of(self, windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every block of quads that windows touch, each once.

        Returns:
            Three (m,) int64 arrays: the quad's x, the quad's y (from the south) and the block's number in the quad,
            row by row from the north-west.
        """
        _, col, row = squares_of(windows, QUAD_BLOCK_PX)
        across = QUAD_PX // QUAD_BLOCK_PX
        number = row % across * across + col % across
        blocks = np.unique(np.column_stack([col // across, self.n_quads - 1 - row // across, number]), axis=0)
        return blocks[:, 0], blocks[:, 1], blocks[:, 2]

    def quad_bounds(self, x: np.ndarray | int, y: np.ndarray | int) -> np.ndarray:
        """Bounds of quads in EPSG:3857, (n, 4) float64 (or (4,) for one quad): minx, miny, maxx, maxy."""
        minx = np.asarray(x) * self.quad_m - HALF_WORLD_M
        miny = np.asarray(y) * self.quad_m - HALF_WORLD_M
        return np.stack([minx, miny, minx + self.quad_m, miny + self.quad_m], axis=-1)

    def quad_origin(self, x: int, y: int) -> tuple[int, int]:
        """Column and row of a quad's north-west pixel in the world's pixel grid."""
        return x * QUAD_PX, (self.n_quads - 1 - y) * QUAD_PX

    def quad_at(self, lon: np.ndarray | float, lat: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """The x and y of the quads that hold points given in degrees (EPSG:4326)."""
        mx, my = lonlat_to_mercator(lon, lat)
        x = np.floor((np.asarray(mx) + HALF_WORLD_M) / self.quad_m).astype("int64")
        y = np.floor((np.asarray(my) + HALF_WORLD_M) / self.quad_m).astype("int64")
        return np.clip(x, 0, self.n_quads - 1), np.clip(y, 0, self.n_quads - 1)


def misplaced_px(transform: Affine, expected: Affine, width: int, height: int) -> float:
    """How far the corners of a raster lie off, at most, along its rows or columns, in pixels.

    Args:
        transform: of the raster.
        expected: transform that it should have, in the same CRS.
        width: of the raster in pixels.
        height: of the raster in pixels.
    """
    relative = ~expected @ transform
    corners = ((0, 0), (width, 0), (0, height), (width, height))
    return float(max(np.abs(np.subtract(relative @ corner, corner)).max() for corner in corners))


def squares_of(windows: Windows, side_px: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every square of a coarser grid that every window touches: window's position, square's column and row."""
    left, right = windows.col // side_px, (windows.col + windows.side_px - 1) // side_px
    top, bottom = windows.row // side_px, (windows.row + windows.side_px - 1) // side_px
    wide, high = right - left + 1, bottom - top + 1
    count = wide * high
    window = np.repeat(np.arange(len(windows)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return window, left[window] + within % wide[window], top[window] + within // wide[window]


@cache
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def lonlat_to_mercator(lon: np.ndarray | float, lat: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Degrees (EPSG:4326, longitude first) to metres (EPSG:3857)."""
    return _transformer("EPSG:4326", CRS).transform(lon, lat)


def mercator_to_lonlat(x: np.ndarray | float, y: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Metres (EPSG:3857) to degrees (EPSG:4326, longitude first)."""
    return _transformer(CRS, "EPSG:4326").transform(x, y)


def boxes(bounds: np.ndarray) -> np.ndarray:
    """(n, 4) bounds as (n,) shapely boxes, in the CRS of the bounds."""
    return shapely.box(*np.asarray(bounds).reshape(-1, 4).T)


def quad_name(x: int, y: int) -> str:
    """Planet's id of a quad, without padding: ``639-942``."""
    return f"{x}-{y}"
