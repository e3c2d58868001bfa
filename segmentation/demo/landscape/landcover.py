"""Natural land cover and fields: which code of the palette every pixel of the world carries."""

from __future__ import annotations

import cv2
import numpy as np

from segmentation.demo.landscape import palette
from segmentation.demo.landscape.noise import Frame, fractal_noise, hash_lattice, seed_of, texture_tile, tiled

_FIELD_WIDE_PX, _FIELD_HIGH_PX = 72, 46
_PLOT_WIDTHS = np.array([0.55, 0.85, 1.2, 1.7], dtype="float32")  # plots a field width
_GALLERY_FOREST = 14  # on the ramp of vegetation
# Field codes in the order of the palette's ramp, from lush to bare and bright.
_CROP_CHANCES = np.cumsum([0.24, 0.16, 0.20, 0.12, 0.10, 0.08, 0.04, 0.06])


def land_cover(frame: Frame, year: int) -> tuple[np.ndarray, np.ndarray]:
    """Natural cover, rivers and fields of a frame.

    Args:
        frame: what to draw, usually sampled every 2 pixels.
        year: year of the crops.

    Returns:
        The codes, uint8 of ``frame.shape``, and the sunlit relief, float32, a factor around 1.
    """
    openness = fractal_noise(frame, seed_of("openness"), 4096, 16, gain=0.55)
    # Noise of one place is shared by several purposes: at other scales nobody sees the kinship.
    detail = fractal_noise(frame, seed_of("detail"), 128, 8, gain=0.6)
    terrain = fractal_noise(frame, seed_of("terrain"), 1024, 32, gain=0.5)
    cover = _vegetation(openness, detail, frame)
    light = _sunlit(terrain, openness)
    _paint_fields(cover, light, openness, frame, year)
    _paint_burns(cover, openness, frame, year)
    _paint_river(cover, detail, frame)
    return cover, light


def _vegetation(openness: np.ndarray, detail: np.ndarray, frame: Frame) -> np.ndarray:
    # A steep step around 0.35 parts forest from savanna; both vary gently within.
    step = np.clip((openness + 0.22 * detail - 0.35) * 2.2, -1, 1)
    ramp = 27 + 17 * step + 4.5 * openness + 0.9 * detail
    trees = tiled(texture_tile(seed_of("trees"), 1.4), frame) > 1.15
    ramp[trees & (step > 0)] -= 17
    return np.clip(ramp, 0, palette.RAMP - 1).astype("uint8")


def _paint_fields(cover: np.ndarray, light: np.ndarray, openness: np.ndarray, frame: Frame, year: int) -> None:
    settled = fractal_noise(frame, seed_of("settled"), 4096, 64) + 0.25 * openness
    if settled.max() < 0.4:
        return
    across, along = _field_lines(frame)
    strip = np.floor(across).astype("int32")
    # Every strip of fields has its own width of plots and its own start.
    luck = hash_lattice(strip, strip, seed_of("strip"))
    along = along * _PLOT_WIDTHS[luck & 3] + (luck >> np.uint32(8) & 15).astype("float32") / 16
    column = np.floor(along).astype("int32")
    plot = hash_lattice(column, strip, seed_of("plot"))
    # A plot is tilled where settlement is dense enough for its luck, so fields end at field lines.
    tilled = (settled > 0.55 + (plot & 255).astype("float32") * np.float32(0.6 / 255)).view("uint8")
    hedge = (along - column < 0.05) | (across - strip < 0.07)
    crop = _crops(year)[((plot >> np.uint32(8)) & 1023).astype("int32")]
    cv2.copyTo(np.where(hedge, np.uint8(palette.HEDGE), crop), tilled, cover)
    ripeness = np.float32(0.86) + (plot >> np.uint32(18) & 255).astype("float32") * np.float32(0.28 / 255)
    cv2.copyTo(ripeness, tilled, light)


def _field_lines(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates across and along strips of fields, in strips and in plots, float32 of ``frame.shape``."""
    # The lines follow two slow noises, so they bend and turn as real ones do.
    bend_x = fractal_noise(frame, seed_of("bend x"), 2048, 256)
    bend_y = fractal_noise(frame, seed_of("bend y"), 2048, 256)
    height, width = frame.shape
    x = (frame.col + np.arange(width, dtype="float64") * frame.step_px)[None, :]
    y = (frame.row + np.arange(height, dtype="float64") * frame.step_px)[:, None]
    across = (0.35 * x).astype("float32") + (0.9 * y).astype("float32") + 150 * bend_y
    along = (0.9 * x).astype("float32") - (0.35 * y).astype("float32") + 150 * bend_x
    return across / np.float32(_FIELD_HIGH_PX), along / np.float32(_FIELD_WIDE_PX)


def _crops(year: int) -> np.ndarray:
    """Which field code each of 1024 kinds of plot carries in a year."""
    dice = np.random.default_rng(seed_of("plots")).random(1024)
    rotated = np.random.default_rng(seed_of("crops", year)).random(1024)
    # Half of the plots change their crop from year to year.
    dice = np.where(dice * 7919 % 1 < 0.5, rotated, dice)
    stop = np.searchsorted(_CROP_CHANCES, dice * _CROP_CHANCES[-1])
    last = len(_CROP_CHANCES) - 1
    return (palette.FIELDS + np.round(stop * (palette.N_FIELDS - 1) / last)).astype("uint8")


def _paint_burns(cover: np.ndarray, openness: np.ndarray, frame: Frame, year: int) -> None:
    scar = fractal_noise(frame, seed_of("burns", year), 512, 8, gain=0.6)
    burnt = (scar > 2.1) & (cover < palette.RAMP) & (openness > 0.2)
    cover[burnt] = palette.BURNT


def river_distance_px(frame: Frame) -> np.ndarray:
    """Signed distance from the middle of the nearest river, about right near to it; float32 of ``frame.shape``."""
    # A river follows the zero line of a slow noise; dividing by the slope makes pixels of distance from it.
    course = fractal_noise(frame, seed_of("river"), 8192, 256, gain=0.42)
    slope_x = cv2.Sobel(course, cv2.CV_32F, 1, 0, scale=0.125 / frame.step_px)
    slope_y = cv2.Sobel(course, cv2.CV_32F, 0, 1, scale=0.125 / frame.step_px)
    return course / np.maximum(cv2.magnitude(slope_x, slope_y), np.float32(0.0004))


def _paint_river(cover: np.ndarray, detail: np.ndarray, frame: Frame) -> None:
    away_px = river_distance_px(frame)
    distance_px = np.abs(away_px)
    near = distance_px < 80
    if not near.any():
        return
    # Sand lies on the one bank or the other, where the bar noise is high.
    bar = fractal_noise(frame, seed_of("bars"), 256, 16)
    sand = near & (np.abs(away_px - 20 * np.sign(bar)) < 4 + 9 * (np.abs(bar) - 0.7))
    wooded = near & (distance_px < 55 + 12 * detail) & (cover < palette.RAMP) & (cover > _GALLERY_FOREST)
    cover[wooded] = _GALLERY_FOREST
    cover[sand] = palette.SAND
    cover[distance_px < 13 + 5 * detail] = palette.RIVER


def _sunlit(terrain: np.ndarray, openness: np.ndarray) -> np.ndarray:
    slope_x = cv2.Sobel(terrain, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(terrain, cv2.CV_32F, 0, 1, scale=0.125)
    # Sun from the north-east; forested country is the hilly one.
    hilly = np.clip(1.0 - 0.45 * openness, 0.15, 1.8)
    return np.clip(1 + 5.0 * hilly * (slope_y - slope_x), 0.65, 1.35)
