"""What stands between the land and the mosaic: remnants of clouds with their shadows, and gaps without data."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from segmentation.demo.landscape.noise import Frame, fractal_noise, scatter, seed_of

_CLOUD_STEP_PX = 8
_SHADOW_COLS_PX, _SHADOW_ROWS_PX = -40, 48  # cast towards the south-west, by a sun in the north-east
_CLOUD_DN = np.array([5600, 5700, 5900, 6400], dtype="float32")
_PART_PX = 512


def add_clouds(bands: np.ndarray, frame: Frame, mosaic: str) -> None:
    """Blend the clouds that a mosaic kept over (4, height, width) uint16 bands, and their shadows, in place."""
    margin_px = 2 * _CLOUD_STEP_PX
    opacity = _opacity(frame, mosaic, margin_px)
    shadow = _opacity(
        replace(frame, col=frame.col - _SHADOW_COLS_PX, row=frame.row - _SHADOW_ROWS_PX), mosaic, margin_px
    )
    if not (opacity.any() or shadow.any()):
        return
    for top in range(0, frame.height_px, _PART_PX):
        for left in range(0, frame.width_px, _PART_PX):
            cloud = _block(opacity, top, left, margin_px)
            shade = _block(shadow, top, left, margin_px)
            if cloud is None and shade is None:
                continue
            block = bands[:, top : top + _PART_PX, left : left + _PART_PX]
            for band, bright in zip(block, _CLOUD_DN, strict=True):
                seen = band.astype("float32")
                if shade is not None:
                    seen *= 1 - 0.55 * shade
                if cloud is not None:
                    seen += cloud * (bright - seen)
                band[:] = seen


def _opacity(frame: Frame, mosaic: str, margin_px: int) -> np.ndarray:
    wide = Frame(
        frame.col - margin_px,
        frame.row - margin_px,
        frame.width_px + 2 * margin_px,
        frame.height_px + 2 * margin_px,
        _CLOUD_STEP_PX,
    )
    weather = fractal_noise(wide, seed_of("weather", mosaic), 8192, 2048)
    puffs = fractal_noise(wide, seed_of("clouds", mosaic), 512, 8, gain=0.6)
    return np.clip((puffs + 0.5 * weather - 2.55) * 1.6, 0, 0.95)


def _block(field: np.ndarray, top: int, left: int, margin_px: int) -> np.ndarray | None:
    """One block of a coarse field at full resolution, or None where it is zero."""
    step, around = _CLOUD_STEP_PX, margin_px // _CLOUD_STEP_PX
    first_row, first_col, side = top // step, left // step, _PART_PX // step + 2 * around
    part = field[first_row : first_row + side, first_col : first_col + side]
    if not part.any():
        return None
    fine = cv2.resize(part, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    return fine[margin_px:-margin_px, margin_px:-margin_px]


def gap_mask(frame: Frame, mosaic: str) -> np.ndarray | None:
    """Where a mosaic holds no data: uint8 of ``frame.shape``, 1 in gaps; None where there are none."""
    swaths = scatter(frame, seed_of("gaps", mosaic), 6144, 0.6, 3072)
    mask = np.zeros(frame.shape, dtype="uint8")
    for col, row, chance in zip(swaths.col, swaths.row, swaths.chance, strict=True):
        # Strips between orbits lean a little west of south.
        wide_px, long_px, lean = 60 + 220 * chance[0], 700 + 1600 * chance[1], 0.15 + 0.15 * chance[2]
        ring = np.array(
            [
                (-wide_px + lean * long_px, -long_px),
                (wide_px + lean * long_px, -long_px),
                (wide_px - lean * long_px, long_px),
                (-wide_px - lean * long_px, long_px),
            ]
        )
        points = np.floor(frame.samples(ring[:, 0] + col, ring[:, 1] + row))
        cv2.fillPoly(mask, [points.astype("int32")], 1)
    return mask if mask.any() else None
