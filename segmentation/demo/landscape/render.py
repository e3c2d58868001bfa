"""The synthetic landscape as Planet's quads would show it: land cover, mines, clouds and gaps, year by year."""

from __future__ import annotations

import re

import cv2
import numpy as np

from segmentation.demo.landscape import palette
from segmentation.demo.landscape.features import paint_features
from segmentation.demo.landscape.landcover import land_cover
from segmentation.demo.landscape.minedraw import draw_mines
from segmentation.demo.landscape.noise import TILE_PX, Frame, crown_texture, seed_of
from segmentation.demo.landscape.sky import add_clouds, gap_mask
from segmentation.geo.grid import QUAD_PX, Grid

OPAQUE = np.uint16(65535)
_STEP_PX = 2
_PAD_PX = 16
# Steps of the digital numbers (Blue, Green, Red, NIR): below what 8-bit chips resolve, and files stay small.
_QUANTA = (16, 16, 32, 64)
_MONTH = re.compile(r"(\d{4})-(\d{2})(?=_mosaic|$)")


def mosaic_year(mosaic: int | str) -> int:
    """The year that a mosaic shows: that of its last month."""
    return mosaic if isinstance(mosaic, int) else int(_last_month(mosaic)[1])


def _last_month(mosaic: str) -> re.Match:
    match = _MONTH.search(mosaic)
    if match is None:
        raise ValueError(f"no month in the mosaic's name: {mosaic}")
    return match


def _dryness(mosaic: int | str) -> float:
    """0 (wet) to 1 (dry): a mild season by the month, and a little chance by the mosaic."""
    month = 9 if isinstance(mosaic, int) else int(_last_month(mosaic)[2])
    season = 0.5 + 0.35 * np.cos((month - 8) / 6 * np.pi)
    return float(round(season + 0.15 * (seed_of("season", mosaic) / 2**32), 2))


def render_quad(grid: Grid, x: int, y: int, mosaic: int | str) -> np.ndarray:
    """One quad of the synthetic world.

    Args:
        grid: the pixel grid; the landscape is made for level 15.
        x: the quad's column, from 180 W.
        y: the quad's row, from the south edge.
        mosaic: a year, or a mosaic's name.

    Returns:
        (5, 4096, 4096) uint16: Blue, Green, Red and NIR as reflectance x 10000, and alpha (0 or 65535).
    """
    year = mosaic_year(mosaic)
    col, row = grid.quad_origin(x, y)
    frame = Frame(col, row, QUAD_PX, QUAD_PX)
    quad = np.empty((5, QUAD_PX, QUAD_PX), dtype="uint16")
    _draw_land(quad[:4], frame, year, _dryness(mosaic))
    draw_mines(quad[:4], frame, year)
    add_clouds(quad[:4], frame, str(mosaic))
    for band, quantum in zip(quad[:4], _QUANTA, strict=True):
        # Half a step up keeps valid pixels above 0.
        np.bitwise_and(band, np.uint16(0xFFFF ^ (quantum - 1)), out=band)
        np.bitwise_or(band, np.uint16(quantum // 2), out=band)
    quad[4] = OPAQUE
    gaps = gap_mask(frame, str(mosaic))
    if gaps is not None:
        quad[:, gaps.astype(bool)] = 0
    return quad


def _draw_land(bands: np.ndarray, frame: Frame, year: int, dryness: float) -> None:
    """Land without mines, into (4, height, width) uint16 bands."""
    # Drawn with a margin: resampling to full resolution then knows the neighbours' samples.
    wide = Frame(
        frame.col - _PAD_PX, frame.row - _PAD_PX, frame.width_px + 2 * _PAD_PX, frame.height_px + 2 * _PAD_PX, _STEP_PX
    )
    cover, light = land_cover(wide, year)
    paint_features(cover, wide)
    table = palette.reflectance_table(dryness)
    texture = _full(cv2.LUT(cover, table[4])).copy()
    tiles = texture.reshape(QUAD_PX // TILE_PX, TILE_PX, QUAD_PX // TILE_PX, TILE_PX)
    tiles *= crown_texture()[None, :, None, :]
    texture += 1
    for band, reflectance in zip(bands, table, strict=False):
        land = _full(cv2.LUT(cover, reflectance) * light)
        cv2.multiply(land, texture, dst=band, dtype=cv2.CV_16U)


def _full(samples: np.ndarray) -> np.ndarray:
    fine = cv2.resize(samples, None, fx=_STEP_PX, fy=_STEP_PX, interpolation=cv2.INTER_LINEAR)
    return fine[_PAD_PX:-_PAD_PX, _PAD_PX:-_PAD_PX]
