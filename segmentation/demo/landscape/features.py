"""What people and chance put on the land cover: roads, villages, clearings, bare plots, lakes and dry ponds.

All of it is drawn from points strewn by a hash of the world's cells, so it continues across quads.
"""

from __future__ import annotations

import cv2
import numpy as np

from segmentation.demo.landscape import palette
from segmentation.demo.landscape.noise import Frame, Scatter, hash_lattice, scatter, seed_of

_SHIFT = 4  # fractional bits of OpenCV's coordinates
_ROAD_CELL_PX = 1536


def paint_features(cover: np.ndarray, frame: Frame) -> None:
    """Draw clearings, lakes, roads and villages over land cover codes, in place."""
    _paint_plots(cover, frame)
    _paint_ponds(cover, frame)
    _paint_roads(cover, frame)
    _paint_villages(cover, frame)


def _fill(cover: np.ndarray, frame: Frame, ring_px: np.ndarray, code: int) -> None:
    points = (frame.samples(ring_px[:, 0], ring_px[:, 1]) - 0.5) * (1 << _SHIFT)
    cv2.fillPoly(cover, [np.round(points).astype("int32")], code, cv2.LINE_8, _SHIFT)


def _paint_plots(cover: np.ndarray, frame: Frame) -> None:
    plots = scatter(frame, seed_of("clearings"), 512, 0.5, 128)
    for col, row, chance in zip(plots.col, plots.row, plots.chance, strict=True):
        long_px, wide_px = 14 + 60 * chance[0] ** 2, 10 + 34 * chance[1] ** 2
        angle = 2 * np.pi * chance[2]
        box = np.array([(-1, -1), (1, -0.8), (0.9, 1), (-1, 0.9)]) * (long_px, wide_px)
        turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
        code = palette.BARE if chance[3] < 0.4 else palette.CLEARING
        _fill(cover, frame, box @ turn + (col, row), code)


def _paint_ponds(cover: np.ndarray, frame: Frame) -> None:
    ponds = scatter(frame, seed_of("ponds"), 1024, 0.55, 192)
    theta = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    for col, row, chance in zip(ponds.col, ponds.row, ponds.chance, strict=True):
        radius_px = 6 + 55 * chance[0] ** 3
        waves = 0.25 * np.cos(2 * theta + 9 * chance[1]) + 0.15 * np.cos(3 * theta + 9 * chance[2])
        waves += 0.08 * np.cos(5 * theta + 20 * chance[1])
        ring = (radius_px * (1 + waves))[:, None] * np.column_stack([np.cos(theta), np.sin(theta)])
        if chance[3] < 0.6:
            _fill(cover, frame, ring + (col, row), palette.LAKE)
        else:
            _fill(cover, frame, 1.15 * ring + (col, row), palette.DRY_POND)
            if chance[2] < 0.5:
                _fill(cover, frame, 0.5 * ring + (col, row), palette.LAKE)


def _node(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Where the road crossing of a cell lies, (n, 2) float64 world pixels."""
    dice = [hash_lattice(i, j, seed_of("node", k)).astype("float64") / 2**32 for k in "xy"]
    return np.column_stack([(i + 0.15 + 0.7 * dice[0]) * _ROAD_CELL_PX, (j + 0.15 + 0.7 * dice[1]) * _ROAD_CELL_PX])


def _nodes_near(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Cells whose road crossings may be seen in a frame: their columns and rows, (n,) int64 each."""
    columns = np.arange(frame.col // _ROAD_CELL_PX - 2, (frame.col + frame.width_px) // _ROAD_CELL_PX + 2)
    rows = np.arange(frame.row // _ROAD_CELL_PX - 2, (frame.row + frame.height_px) // _ROAD_CELL_PX + 2)
    i, j = np.meshgrid(columns, rows)
    return i.ravel(), j.ravel()


def _paint_roads(cover: np.ndarray, frame: Frame) -> None:
    i, j = _nodes_near(frame)
    for di, dj in ((1, 0), (0, 1)):
        luck = hash_lattice(i, j, seed_of("road", di, dj)) / 2**32
        start, end = _node(i, j), _node(i + di, j + dj)
        for k in np.flatnonzero(luck < 0.62):
            rng = np.random.default_rng(seed_of("bends", i[k], j[k], di))
            points = (frame.samples(*_winding(start[k], end[k], rng).T) - 0.5) * (1 << _SHIFT)
            width = 2 if luck[k] < 0.2 else 1
            cv2.polylines(cover, [np.round(points).astype("int32")], False, palette.ROAD, width, cv2.LINE_8, _SHIFT)


def _winding(start: np.ndarray, end: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A winding line between two points, (n, 2), by halving it again and again with smaller and smaller jolts."""
    line = np.stack([start, end])
    for jolt in (0.12, 0.10, 0.08, 0.05, 0.03):
        steps = np.diff(line, axis=0)
        across = np.column_stack([-steps[:, 1], steps[:, 0]])
        middle = line[:-1] + steps / 2 + across * rng.normal(0, jolt, (len(steps), 1))
        joined = np.empty((len(line) + len(middle), 2))
        joined[0::2], joined[1::2] = line, middle
        line = joined
    return line


def _paint_villages(cover: np.ndarray, frame: Frame) -> None:
    i, j = _nodes_near(frame)
    at = _node(i, j)
    hamlets = scatter(frame, seed_of("hamlets"), 1024, 0.35, 256)
    dice = hash_lattice(i, j, seed_of("village")) / 2**32
    villages = Scatter(
        col=np.append(at[:, 0], hamlets.col),
        row=np.append(at[:, 1], hamlets.row),
        chance=np.append(dice, hamlets.chance[:, 0] * 0.25)[:, None],
        number=np.append(hash_lattice(i, j, seed_of("houses")), hamlets.number),
    )
    for col, row, chance, number in zip(
        villages.col, villages.row, villages.chance[:, 0], villages.number, strict=True
    ):
        _paint_village(cover, frame, (col, row), 20 + int(420 * chance**3), np.random.default_rng(int(number)))


def _paint_village(
    cover: np.ndarray, frame: Frame, centre_px: tuple[float, float], houses: int, rng: np.random.Generator
) -> None:
    spread_px = 4.2 * np.sqrt(houses)
    # Houses stand along a few lanes that cross at the village's middle.
    lane = rng.choice(rng.uniform(0, np.pi, 3), houses)
    along, across = rng.normal(0, spread_px, houses), rng.normal(0, 0.28 * spread_px + 3, houses)
    col = centre_px[0] + along * np.cos(lane) - across * np.sin(lane)
    row = centre_px[1] + along * np.sin(lane) + across * np.cos(lane)
    at = np.floor(frame.samples(col, row)).astype("int64")
    height, width = cover.shape
    for radius, code in ((1, palette.YARD), (0, palette.ROOF)):
        for dx in range(-radius, radius + 1):
            for dy in range(-radius, radius + 1):
                x, y = at[:, 0] + dx, at[:, 1] + dy
                seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                cover[y[seen], x[seen]] = code
