"""Noise that belongs to places: the same world pixel gets the same value from whichever quad it is computed.

Lattice values come from an integer hash of their world position, so neighbouring quads agree along their border
without knowing of each other.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

# Threads would fight with those of the server, which renders two quads at once.
cv2.setNumThreads(1)

TILE_PX = 2048  # divides a quad, so a periodic tile meets itself at the borders of quads
_PAD = 2


@dataclass(frozen=True)
class Frame:
    """A rectangle of the world's pixel grid, sampled every ``step_px`` pixels (a power of two).

    Attributes:
        col: first pixel column, counted eastwards; a multiple of ``step_px``.
        row: first pixel row, counted southwards; a multiple of ``step_px``.
        width_px: width in pixels, a multiple of ``step_px``.
        height_px: height in pixels, a multiple of ``step_px``.
        step_px: pixels a sample.
    """

    col: int
    row: int
    width_px: int
    height_px: int
    step_px: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Samples down and across."""
        return self.height_px // self.step_px, self.width_px // self.step_px

    def samples(self, col: np.ndarray, row: np.ndarray) -> np.ndarray:
        """World pixel coordinates as (n, 2) float64 sample coordinates x, y, where 0.5 is a first sample's centre."""
        return np.column_stack([np.asarray(col) - self.col, np.asarray(row) - self.row]) / self.step_px


def seed_of(*parts: object) -> int:
    """A 32-bit seed from anything that prints."""
    return zlib.crc32("/".join(map(str, parts)).encode())


def hash_lattice(i: np.ndarray, j: np.ndarray, seed: int) -> np.ndarray:
    """Hash broadcastable integer arrays of positions to uint32."""
    h: npt.NDArray[np.uint32] = i.astype(np.uint32) * np.uint32(0x9E3779B1) + j.astype(np.uint32) * np.uint32(
        0x85EBCA77
    )
    h ^= np.uint32(seed & 0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    return h


def _lattice(cell_px: int, frame: Frame, seed: int) -> tuple[np.ndarray, int, int]:
    first_i, first_j = frame.col // cell_px - _PAD, frame.row // cell_px - _PAD
    last_i = -(-(frame.col + frame.width_px) // cell_px) + _PAD
    last_j = -(-(frame.row + frame.height_px) // cell_px) + _PAD
    h = hash_lattice(np.arange(first_i, last_i)[None, :], np.arange(first_j, last_j)[:, None], seed)
    return h.astype("float32") * np.float32(2**-31) - np.float32(1), first_i, first_j


def fractal_noise(frame: Frame, seed: int, coarsest_px: int, finest_px: int, gain: float = 0.5) -> np.ndarray:
    """Sum of octaves of smooth noise, from cells of ``coarsest_px`` to cells of ``finest_px`` (powers of two).

    Every octave is doubled up to the next with linear interpolation; repeated, that is a quadratic spline.

    Returns:
        float32 of ``frame.shape``, mean about 0 and standard deviation about 1.
    """
    cell_px, amplitude, power = coarsest_px, 1.0, 0.0
    field, first_i, first_j = None, 0, 0
    while True:
        values, new_i, new_j = _lattice(cell_px, frame, seed + cell_px)
        if field is None:
            field = values
        else:
            field = cv2.resize(field, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
            top, left = new_j - 2 * first_j, new_i - 2 * first_i
            field = field[top : top + values.shape[0], left : left + values.shape[1]]
            if cell_px >= finest_px:
                field = field + np.float32(amplitude) * values
        if cell_px >= finest_px:
            power += amplitude**2
            amplitude *= gain
        first_i, first_j = new_i, new_j
        if cell_px == frame.step_px:
            break
        cell_px //= 2
    top, left = frame.row // cell_px - first_j, frame.col // cell_px - first_i
    field = field[top : top + frame.shape[0], left : left + frame.shape[1]]
    return field * np.float32(1 / (0.33 * np.sqrt(power)))


@lru_cache(maxsize=8)
def texture_tile(seed: int, sigma_px: float, contrast_px: float = 0.0, plateau: float = 0.0) -> np.ndarray:
    """A periodic tile of band-limited noise, (TILE_PX, TILE_PX) float32, mean 0, standard deviation 1.

    Args:
        seed: which tile.
        sigma_px: grains finer than this are smoothed away.
        contrast_px: clumps coarser than this are removed; 0 keeps them.
        plateau: round to multiples of this many standard deviations: speckles on even ground, which compress
            well; 0 does not.
    """
    white = np.random.default_rng(seed).standard_normal((TILE_PX, TILE_PX), dtype="float32")
    margin = 32
    wrapped = np.pad(white, margin, mode="wrap")
    tile: np.ndarray = cv2.GaussianBlur(wrapped, (0, 0), sigma_px)
    if contrast_px:
        tile = tile - cv2.GaussianBlur(wrapped, (0, 0), contrast_px)
    tile = tile[margin:-margin, margin:-margin]
    tile = (tile - tile.mean()) / tile.std()
    if plateau:
        tile = np.round(tile / plateau)
    return tile / tile.std()


def crown_texture() -> np.ndarray:
    """The tile of tree crowns and furrows: speckles of about three pixels."""
    return texture_tile(seed_of("crowns"), 1.5, 5.0, 1.4)


def tiled(tile: np.ndarray, frame: Frame) -> np.ndarray:
    """A periodic tile laid over a frame, float32 of ``frame.shape``; one tile pixel a sample."""
    height, width = frame.shape
    rows = (np.arange(height) + frame.row // frame.step_px) % TILE_PX
    cols = (np.arange(width) + frame.col // frame.step_px) % TILE_PX
    return tile.take(rows, axis=0).take(cols, axis=1)


@dataclass(frozen=True)
class Scatter:
    """Points strewn over the world, at most one a cell.

    Attributes:
        col: (n,) float64 world pixel columns.
        row: (n,) float64 world pixel rows.
        chance: (n, 4) float64 in 0 to 1, each point's own dice.
        number: (n,) uint32, each point's own seed.
    """

    col: np.ndarray
    row: np.ndarray
    chance: np.ndarray
    number: np.ndarray


def scatter(frame: Frame, seed: int, cell_px: int, share: float, reach_px: int) -> Scatter:
    """Points of the cells of ``cell_px`` that may be seen in a frame from up to ``reach_px`` outside it.

    Args:
        frame: where to look.
        seed: which set of points.
        cell_px: side of a cell in pixels.
        share: share of cells that hold a point.
        reach_px: how far a point's drawing may extend.
    """
    i = np.arange((frame.col - reach_px) // cell_px, (frame.col + frame.width_px + reach_px) // cell_px + 1)
    j = np.arange((frame.row - reach_px) // cell_px, (frame.row + frame.height_px + reach_px) // cell_px + 1)
    i, j = (a.ravel() for a in np.meshgrid(i, j))
    dice = np.stack([hash_lattice(i, j, seed + k) for k in range(1, 8)]).astype("float64") * 2.0**-32
    held = dice[0] < share
    return Scatter(
        col=((i + dice[1]) * cell_px)[held],
        row=((j + dice[2]) * cell_px)[held],
        chance=dice[3:].T[held],
        number=hash_lattice(i, j, seed)[held],
    )
