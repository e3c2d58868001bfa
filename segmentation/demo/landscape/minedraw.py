"""Mines as a satellite sees them: their ground plans lit by the sun, coloured by what is dug, regrown when left."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import shapely

from segmentation.demo.landscape.mine import Mine
from segmentation.demo.landscape.mineparts import ALGAE, PIT_FLOOR, POND, GroundPlan, ground_plan
from segmentation.demo.landscape.noise import Frame, crown_texture, fractal_noise, seed_of, texture_tile, tiled
from segmentation.demo.landscape.sites import mines

_MARGIN_PX = 48  # around a footprint: cleared edges and the access road
_HALO_PX = 9.0
# Reflectance x 10000 of Blue, Green, Red and NIR by material, in the order of the codes of ``mineparts``:
# ground, pit, pit floor, tailings, pond, dump, haul road, plant, stockpile, algae pond.
_COLOURS = {
    "iron": ("900 1250 2050 2500", "480 640 1150 1500", "400 520 900 1200", "1500 1750 2500 2700"),
    "gold": ("1300 1750 2350 2800", "1050 1350 1700 2000", "850 1100 1400 1700", "2500 2800 3050 3300"),
    "coal": ("1150 1400 1700 2100", "480 520 560 650", "300 330 350 400", "700 770 820 950"),
    "bauxite": ("900 1350 2400 3000", "700 1050 1950 2500", "650 950 1750 2300", "1100 1500 2500 2900"),
    "copper": ("1350 1650 1950 2300", "1050 1250 1400 1600", "850 1050 1150 1350", "2700 2950 3050 3200"),
    "jade": ("1500 1800 2100 2500", "1150 1350 1500 1800", "950 1150 1250 1500", "2000 2300 2500 2800"),
    "nickel": ("750 1050 1900 2600", "600 820 1500 2100", "500 700 1250 1800", "1200 1450 2200 2700"),
    "placer gold": ("1500 2000 2500 3000", "1000 1300 1700 2000", "900 1150 1500 1800", "2150 2700 3250 3700"),
    "placer tin": ("2100 2500 2800 3300", "1000 1300 1700 2000", "900 1150 1500 1800", "3000 3350 3600 4000"),
}
_PONDS = {"iron": "900 1150 1250 500", "coal": "420 620 560 260", "nickel": "900 1350 1400 450"}
_ALGAE = "420 900 620 650"
_REGROWTH = np.array([320, 700, 520, 3100], dtype="float32")
_PIT_LAKE = np.array([420, 640, 480, 220], dtype="float32")


def draw_mines(bands: np.ndarray, frame: Frame, year: int) -> None:
    """Draw the mines that reach into a frame into its (4, height, width) uint16 bands, in place."""
    for mine in mines():
        if mine.opened > year:
            continue
        patch = _patch_frame(mine, year)
        left, top = max(patch.col, frame.col), max(patch.row, frame.row)
        right = min(patch.col + patch.width_px, frame.col + frame.width_px)
        bottom = min(patch.row + patch.height_px, frame.row + frame.height_px)
        if left >= right or top >= bottom:
            continue
        target = bands[:, top - frame.row : bottom - frame.row, left - frame.col : right - frame.col]
        source = np.s_[top - patch.row : bottom - patch.row, left - patch.col : right - patch.col]
        _blend_mine(target, patch, source, mine, year)


def _patch_frame(mine: Mine, year: int) -> Frame:
    """The mine's surroundings; the whole of it, also where a quad's border runs through the mine."""
    minx, miny, maxx, maxy = shapely.bounds(mine.footprint_px(year))
    col, row = int(minx) - _MARGIN_PX, int(miny) - _MARGIN_PX
    return Frame(col, row, int(maxx) + _MARGIN_PX - col, int(maxy) + _MARGIN_PX - row)


def _blend_mine(target: np.ndarray, patch: Frame, source: tuple, mine: Mine, year: int) -> None:
    plan = ground_plan(patch, mine, year)
    look = _coloured(plan, patch, mine)
    mottle = fractal_noise(patch, seed_of("mottle", mine.id), 32, 2, gain=0.7)
    share = cv2.GaussianBlur(plan.inside.astype("float32"), (0, 0), 0.7)
    if mine.closed is not None and not mine.is_active(year):
        _regrow(look, plan, mottle, patch, years=year - mine.closed)
    halo = _halo(plan.inside, mottle)
    for band, colour, shrub in zip(target, look, _REGROWTH, strict=True):
        land = band.astype("float32")
        land += halo[source] * (shrub * 1.15 - land)
        land += share[source] * (colour[source] - land)
        band[:] = np.clip(land, 1, 10000)


@lru_cache(maxsize=32)
def _colour_table(commodity: str) -> np.ndarray:
    """Reflectance by band and material, (4, 256) float32."""
    ground, pit, floor, tailings = _COLOURS[commodity]
    pond = _PONDS.get(commodity, "1250 1800 1350 480")
    dump = " ".join(str(int((int(g) + int(p)) / 2)) for g, p in zip(ground.split(), pit.split(), strict=True))
    haul = " ".join(str(int(1.25 * int(g))) for g in ground.split())
    rows = [ground, pit, floor, tailings, pond, dump, haul, "3300 3400 3400 3600", "450 480 520 600", _ALGAE]
    table = np.zeros((4, 256), dtype="float32")
    table[:, : len(rows)] = np.array([row.split() for row in rows], dtype="float32").T
    return table


def _coloured(plan: GroundPlan, patch: Frame, mine: Mine) -> np.ndarray:
    """The lit ground plan in reflectance x 10000, (4, height, width) float32."""
    light = _light(plan.height)
    grain = tiled(texture_tile(seed_of("grain"), 0.8), patch)
    streaks = fractal_noise(patch, seed_of("streaks", mine.id), 64, 4, gain=0.7)
    wet = np.isin(plan.material, (POND, ALGAE))
    shade = light * (1 + np.where(wet, 0.015, 0.085) * streaks + np.where(wet, 0.005, 0.04) * grain)
    # Each mine digs its own ground: a little lighter or darker, redder or greyer.
    rng = np.random.default_rng(seed_of("hue", mine.id))
    tint = rng.uniform(0.88, 1.12) * (1 + rng.uniform(-0.08, 0.08) * np.array([-1, -0.2, 1, 0.6]))
    table = _colour_table(mine.commodity)
    return np.stack(
        [cv2.GaussianBlur(cv2.LUT(plan.material, table[band]) * tint[band] * shade, (0, 0), 0.6) for band in range(4)]
    ).astype("float32")


def _light(height: np.ndarray) -> np.ndarray:
    """Sunlit relief, a factor around 1: sun from the north-east, as for the land around."""
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)
    return np.clip(1 + 0.42 * (slope_y - slope_x), 0.45, 1.5)


def _halo(inside: np.ndarray, mottle: np.ndarray) -> np.ndarray:
    """How much the land outside is cleared, 0 to 1: a ragged, thin rim of shrub."""
    away_px = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return np.clip(1 - away_px / (_HALO_PX + 4 * mottle).clip(2), 0, 0.8)


def _regrow(look: np.ndarray, plan: GroundPlan, mottle: np.ndarray, patch: Frame, years: int) -> None:
    """Cover an abandoned mine with shrub, patch by patch, and fill its pits with water, in place."""
    bare_share = {0: 0.30, 1: 0.16, 2: 0.08}.get(years, 0.04)
    bare = mottle > np.quantile(mottle, 1 - bare_share)
    crowns = tiled(crown_texture(), patch)
    lake = np.isin(plan.material, (PIT_FLOOR, POND, ALGAE))
    for colour, shrub, water in zip(look, _REGROWTH, _PIT_LAKE, strict=True):
        grown = shrub * (1 + 0.11 * crowns + 0.08 * mottle)
        colour[:] = np.where(lake, water, np.where(bare, 0.75 * colour + 0.25 * shrub, grown))
