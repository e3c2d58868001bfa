"""The tiles of the Sentinel-2 quarterly mosaics: their names and places by arithmetic, and which ones windows need.

A tile ``31UFU_0_0`` is named after a 100 km square of the Military Grid Reference System and lies in that square's UTM
zone: 10,008 x 10,008 pixels of 10 m from the square's north-west corner, moved outwards to multiples of 60 m (counted
from the equator), the grid of Sentinel-2's coarsest pixels. ``_1_0`` and ``_0_1`` are the tiles east and south of it.
The rule was fitted to the tiles' headers as recorded in github.com/taylor-geospatial/sentinel-2-quarterly-mosaics and
agrees with all 340 of them.

Not every square has a tile of its own: the slivers that a zone's edge cuts off are shown by the tile across the edge,
which goes on into the next zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from mgrs import MGRS
from pyproj import Transformer
from rasterio import Affine

from segmentation.geo.grid import CRS, Grid, Windows, mercator_to_lonlat

TILE_PX, PIXEL_M = 10_008, 10
TILE_M = TILE_PX * PIXEL_M
# Side of the blocks in which tiles are kept here, in pixels.
TILE_BLOCK_PX = 256
TILE_BLOCKS_ACROSS = -(-TILE_PX // TILE_BLOCK_PX)

_SQUARE_M = 100_000
_ZONES = 60
_COARSEST_M = 60
# UTM's false northing in the south.
_SOUTH_M = 10_000_000
_NAME = re.compile(r"(\d{2}[C-X][A-Z]{2})_(\d)_(\d)")
# Points along each side of a window at which its tiles are looked up: a part of a tile between them is narrower than
# 0.6 km in a window of 512 pixels.
_POINTS = 9
# Steps across the edge of a zone, degrees: a tenth of a metre.
_HAIR_DEG = 1e-6
# Pixels around a window that interpolation looks at, and then some.
_AROUND_PX = 8


@dataclass(frozen=True)
class Tile:
    """A tile by its name: its CRS (EPSG code) and the north-west corner of its first pixel there, metres."""

    name: str
    epsg: int
    left_m: float
    top_m: float

    @property
    def transform(self) -> Affine:
        """Of its pixels."""
        return Affine(PIXEL_M, 0, self.left_m, 0, -PIXEL_M, self.top_m)


@dataclass(frozen=True)
class Cells:
    """Where windows lie on the grid of squares.

    Attributes:
        window: (m,) int64, positions of windows.
        cell: (m,) int64, positions of cells that they touch, a row a pair.
        candidates: by cell, names of the tiles that may show it; the first that exists does.
    """

    window: np.ndarray
    cell: np.ndarray
    candidates: list[tuple[str, ...]]


@cache
def tile(name: str) -> Tile:
    """A tile by its name.

    Raises:
        ValueError: it is no tile's.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no name of a tile such as 31UFU_0_0")
    square, east, south = match.groups()
    zone, hemisphere, left, bottom = _mgrs().MGRSToUTM(square)
    origin = 0 if hemisphere == "N" else _SOUTH_M
    left -= left % _COARSEST_M
    top = bottom + _SQUARE_M - origin
    top += -top % _COARSEST_M + origin
    epsg = (32600 if hemisphere == "N" else 32700) + zone
    return Tile(name, epsg, left + int(east) * TILE_M, top - int(south) * TILE_M)


def cells_of(windows: Windows, grid: Grid) -> Cells:
    """The squares that windows touch, and which tiles may show them.

    Args:
        windows: in question.
        grid: of the windows.
    """
    window, lon, lat = _lattice(windows, grid)
    zone = _zones(lon)
    east, north = _utm(zone, lon, lat)
    edge_lon, across = _nearest_edge(zone, lon)
    edge_east, edge_north = _utm(across, edge_lon, lat)
    reach_east, _ = _utm(across, lon, lat)
    # Whether the tile at the zone's edge goes on to here.
    left = np.floor(edge_east / _SQUARE_M) * _SQUARE_M
    reached = (reach_east >= left) & (reach_east < left + TILE_M)
    # A cell is what one square shows, alone or together with one tile from across the edge.
    own = _square_number(zone, east, north)
    beyond = np.where(reached, _square_number(across, edge_east, edge_north), -1)
    squares = _square_number(_ZONES + 1, 0, 0) + 1
    found, first, cell = np.unique(own * squares + beyond, return_index=True, return_inverse=True)
    candidates = []
    for point in first:
        here = int(zone[point]), float(east[point]), float(north[point])
        names = _names(*here)
        if reached[point]:
            names += _names(int(across[point]), float(edge_east[point]), float(edge_north[point]))
        names += _stepped_names(*here)
        candidates.append(tuple(dict.fromkeys(names)))
    pairs = np.unique(window * len(found) + cell)
    return Cells(*np.divmod(pairs, len(found)), candidates)


def blocks_under(name: str, windows: Windows, grid: Grid) -> list[np.ndarray]:
    """Numbers of the blocks of a tile under each window, row by row from the north-west: (k,) int64 arrays.

    Args:
        name: of the tile.
        windows: in question.
        grid: of the windows.
    """
    place = tile(name)
    window, x, y = _border(windows, grid)
    east, north = _transformer(place.epsg).transform(x, y)
    pixels = pd.DataFrame(
        {
            "col": (np.asarray(east) - place.left_m) / PIXEL_M,
            "row": (place.top_m - np.asarray(north)) / PIXEL_M,
        }
    )
    by_window = pixels.groupby(window)
    first = np.maximum(by_window.min().to_numpy() - _AROUND_PX, 0)
    last = np.minimum(np.ceil(by_window.max().to_numpy() + _AROUND_PX), TILE_PX)
    return [
        _numbers(int(left), int(top), int(right), int(bottom))
        for (left, top), (right, bottom) in zip(first, last, strict=True)
    ]


def _numbers(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Numbers of the blocks that hold pixels from ``left, top`` up to ``right, bottom``."""
    rows = np.arange(top // TILE_BLOCK_PX, -(-bottom // TILE_BLOCK_PX))
    cols = np.arange(left // TILE_BLOCK_PX, -(-right // TILE_BLOCK_PX))
    return (rows[:, None] * TILE_BLOCKS_ACROSS + cols).ravel()


def _lattice(windows: Windows, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points all over windows: the window's position, longitude and latitude, (n,) each."""
    share = np.linspace(0, 1, _POINTS)
    # A hair inside, so that a window that ends at the antimeridian does not look at the other side of it.
    share = share * (1 - 2e-6) + 1e-6
    minx, miny, maxx, maxy = (bound[:, None, None] for bound in grid.window_bounds(windows).T)
    x, y = np.broadcast_arrays(minx + (maxx - minx) * share, (miny + (maxy - miny) * share[:, None]))
    lon, lat = mercator_to_lonlat(x.ravel(), y.ravel())
    return np.repeat(np.arange(len(windows)), _POINTS**2), np.asarray(lon), np.asarray(lat)


def _border(windows: Windows, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points along the borders of windows: the window's position, x and y (EPSG:3857), (n,) each."""
    share = np.linspace(0, 1, _POINTS)
    none, full = np.zeros(_POINTS), np.ones(_POINTS)
    across, up = np.concatenate([share, share, none, full]), np.concatenate([none, full, share, share])
    minx, miny, maxx, maxy = (bound[:, None] for bound in grid.window_bounds(windows).T)
    x, y = minx + (maxx - minx) * across, miny + (maxy - miny) * up
    return np.repeat(np.arange(len(windows)), len(across)), x.ravel(), y.ravel()


def _zones(lon: np.ndarray) -> np.ndarray:
    """UTM zones, (n,) int64; those that MGRS widens lie north of 56 N."""
    return (np.floor((lon + 180) / 6).astype("int64") % _ZONES) + 1


def _nearest_edge(zone: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude a hair beyond the nearest edge of the zone, and the zone there."""
    west = 6.0 * zone - 186
    eastwards = lon - west > 3
    edge = np.where(eastwards, west + 6 + _HAIR_DEG, west - _HAIR_DEG)
    edge = (edge + 180) % 360 - 180
    return edge, _zones(edge)


def _utm(zone: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Easting and northing in given zones, metres; northing from the equator, negative in the south."""
    east, north = np.empty(len(lon)), np.empty(len(lon))
    for each in np.unique(zone):
        here = zone == each
        east[here], north[here] = _from_lonlat(32600 + int(each)).transform(lon[here], lat[here])
    return east, north


def _square_number(zone: np.ndarray | int, east: np.ndarray | float, north: np.ndarray | float) -> np.ndarray:
    """One number for zone and square, int64: 10 squares a row, 200 rows a zone."""
    col, row = (np.floor(np.asarray(of) / _SQUARE_M).astype("int64") for of in (east, north))
    return (zone * 200 + row + 100) * 10 + col


def _names(zone: int, east: float, north: float, step: str = "0_0") -> list[str]:
    """Tiles named after the square at a place; two where it lies in two bands of latitude, the larger part first."""
    bottom = np.floor(north / _SQUARE_M) * _SQUARE_M
    names = []
    for inside in (bottom + _SQUARE_M / 2, bottom + 1, bottom + _SQUARE_M - 1):
        hemisphere, origin = ("N", 0) if bottom >= 0 else ("S", _SOUTH_M)
        square = _mgrs().UTMToMGRS(zone, hemisphere, east, inside + origin, 0)
        # Beyond the zone the library gives the square of the next one.
        if int(square[:-3]) == zone:
            names.append(f"{square.zfill(5)}_{step}")
    return names


def _stepped_names(zone: int, east: float, north: float) -> list[str]:
    """Tiles counted from the square north of a place, and at the antimeridian from the one west of it."""
    names = _names(zone, east, north + _SQUARE_M, "0_1")
    if zone == _ZONES and east >= 2 * _SQUARE_M:
        names += _names(zone, east - _SQUARE_M, north, "1_0")
    return names


@cache
def _mgrs() -> MGRS:
    return MGRS()


@cache
def _transformer(epsg: int) -> Transformer:
    return Transformer.from_crs(CRS, f"EPSG:{epsg}", always_xy=True)


@cache
def _from_lonlat(epsg: int) -> Transformer:
    return Transformer.from_crs("EPSG:4326", f"EPSG:{epsg}", always_xy=True)
