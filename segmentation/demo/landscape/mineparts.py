"""What lies inside a mine: pits with benches, dumps, tailings, ponds, a plant and haul roads, and its bare ground.

A mine's ground plan is a raster of materials and a raster of heights; ``minedraw`` lights and colours them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely

from segmentation.demo.landscape.mine import Mine, random_lobe
from segmentation.demo.landscape.noise import Frame, fractal_noise, seed_of

GROUND, PIT, PIT_FLOOR, TAILINGS, POND, DUMP, HAUL, PLANT, STOCK, ALGAE = range(10)
_SHIFT = 4


@dataclass(frozen=True)
class GroundPlan:
    """A mine's rasters, all of one shape.

    Attributes:
        inside: uint8, 1 within the mine's footprint.
        material: uint8, codes of this module.
        height: float32, in pixels.
    """

    inside: np.ndarray
    material: np.ndarray
    height: np.ndarray


def ground_plan(frame: Frame, mine: Mine, year: int) -> GroundPlan:
    """Lay out a mine as it is in a year (for an abandoned one: as it was left)."""
    inside = _fill_shape(frame, mine.footprint_px(year))
    rough = fractal_noise(frame, seed_of("ground", mine.id), 64, 2, gain=0.6)
    plan = GroundPlan(inside, np.full(frame.shape, GROUND, dtype="uint8"), 0.5 * rough)
    rng = np.random.default_rng(seed_of("parts", mine.id))
    draw = _Drawing(plan, frame, mine, mine.radius_px * mine.scale(year))
    if mine.commodity.startswith("placer"):
        _lay_out_placer(draw, rng)
    else:
        _lay_out_pit(draw, rng)
    return plan


def fill_ring(frame: Frame, ring_px: np.ndarray, into: np.ndarray, value: int = 1) -> None:
    """Fill an outline given in world pixels, (n, 2), in a uint8 raster."""
    points = (frame.samples(ring_px[:, 0], ring_px[:, 1]) - 0.5) * (1 << _SHIFT)
    cv2.fillPoly(into, [np.round(points).astype("int32")], value, cv2.LINE_8, _SHIFT)


def _fill_shape(frame: Frame, shape_px: shapely.Geometry) -> np.ndarray:
    mask = np.zeros(frame.shape, dtype="uint8")
    for part in getattr(shape_px, "geoms", [shape_px]):
        fill_ring(frame, shapely.get_coordinates(part.exterior), mask)
        for hole in part.interiors:
            fill_ring(frame, shapely.get_coordinates(hole), mask, 0)
    return mask


@dataclass(frozen=True)
class _Drawing:
    """Draws parts in units of the mine's radius around the mine's centre."""

    plan: GroundPlan
    frame: Frame
    mine: Mine
    radius_px: float

    def lobe(self, rng: np.random.Generator, angle: float, away: float, radius: float, rough: float) -> np.ndarray:
        """A random lobe in a direction from the centre, as a mask within the footprint (uint8)."""
        mask = np.zeros_like(self.plan.inside)
        ring = random_lobe(rng, away * np.cos(angle), away * np.sin(angle), radius, rough).ring()
        fill_ring(self.frame, ring * self.radius_px + (self.mine.col, self.mine.row), mask)
        return mask & self.plan.inside

    def line(self, points: np.ndarray, width_px: int, material: int) -> None:
        """A line through points, smoothed by cutting its corners, within the footprint."""
        for _ in range(3):
            cut = np.stack([0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], axis=1)
            points = np.vstack([points[:1], cut.reshape(-1, 2), points[-1:]])
        world = points * self.radius_px + (self.mine.col, self.mine.row)
        at = (self.frame.samples(world[:, 0], world[:, 1]) - 0.5) * (1 << _SHIFT)
        mask = np.zeros_like(self.plan.inside)
        cv2.polylines(mask, [np.round(at).astype("int32")], False, 1, width_px, cv2.LINE_8, _SHIFT)
        self.plan.material[(mask & self.plan.inside) > 0] = material


def _lay_out_pit(draw: _Drawing, rng: np.random.Generator) -> None:
    facing = rng.uniform(0, 2 * np.pi)
    turn = rng.choice([-1, 1])
    _raise_dump(draw, draw.lobe(rng, facing + turn * 1.9, 0.62, rng.uniform(0.34, 0.42), 0.9))
    if rng.random() < 0.6:
        _raise_dump(draw, draw.lobe(rng, facing + turn * 0.95, 0.85, 0.26, 0.9))
    _settle_tailings(draw, draw.lobe(rng, facing + turn * 3.3, 0.62, rng.uniform(0.34, 0.44), 0.5), rng)
    _dig_pit(draw, draw.lobe(rng, facing, 0.30, rng.uniform(0.46, 0.58), 0.8), rng)
    if rng.random() < 0.5:
        _dig_pit(draw, draw.lobe(rng, facing - turn * 1.0, 0.80, 0.24, 0.8), rng)
    for apart in draw.mine.lobes[1:]:
        angle, away = np.arctan2(apart.dy, apart.dx), np.hypot(apart.dx, apart.dy)
        _dig_pit(draw, draw.lobe(rng, angle, away, 0.62 * apart.radius, 0.8), rng)
    plant = 0.68 * np.array([np.cos(facing - turn * 1.7), np.sin(facing - turn * 1.7)])
    for angle, away in ((0.0, 0.30), (turn * 1.9, 0.55), (turn * 3.3, 0.45)):
        goal = away * np.array([np.cos(facing + angle), np.sin(facing + angle)])
        bend = (plant + goal) / 2 + rng.normal(0, 0.12, 2)
        draw.line(np.stack([plant, bend, goal]), 3 if draw.radius_px > 45 else 2, HAUL)
    _build_plant(draw, plant, rng)


def _dig_pit(draw: _Drawing, mask: np.ndarray, rng: np.random.Generator) -> None:
    inward_px = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    deepest = inward_px.max()
    if deepest < 3:
        return
    bench_px = max(4.5, deepest / rng.integers(4, 7))
    step = inward_px / bench_px
    # Every bench is a flat berm and a steep face.
    depth = np.floor(step) + np.clip((step % 1) * 2.5 - 1.5, 0, 1)
    plan = draw.plan
    plan.height[mask > 0] = 0.35 * plan.height[mask > 0] - 2.6 * depth[mask > 0]
    plan.material[mask > 0] = PIT
    plan.material[inward_px > 0.72 * deepest] = PIT_FLOOR
    if rng.random() < 0.45:
        plan.material[inward_px > rng.uniform(0.78, 0.88) * deepest] = POND


def _raise_dump(draw: _Drawing, mask: np.ndarray) -> None:
    inward_px = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    lift_px = max(6.0, inward_px.max() / 2.5)
    step = inward_px / lift_px
    rise = np.floor(step) + np.clip((step % 1) * 2.2, 0, 1)
    plan = draw.plan
    plan.height[mask > 0] = 0.9 * plan.height[mask > 0] + 2.4 * rise[mask > 0]
    plan.material[mask > 0] = DUMP


def _settle_tailings(draw: _Drawing, mask: np.ndarray, rng: np.random.Generator) -> None:
    inward_px = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    plan = draw.plan
    beach = mask > 0
    # A dam around a flat beach; the water gathers at the side away from the spigots.
    plan.height[beach] = np.where(inward_px[beach] < 3, 2.0, 0.06 * plan.height[beach])
    plan.material[beach] = TAILINGS
    plan.material[beach & (inward_px < 2)] = HAUL
    rows, cols = np.nonzero(beach)
    if rows.size == 0:
        return
    tilt = rng.uniform(0, 2 * np.pi)
    along = cols * np.cos(tilt) + rows * np.sin(tilt)
    shore = fractal_noise(draw.frame, seed_of("shore", draw.mine.id), 64, 4)[beach] * 0.05 * np.ptp(along)
    wet = (along + shore > np.quantile(along, rng.uniform(0.45, 0.75))) & (inward_px[beach] > 4)
    plan.material[rows[wet], cols[wet]] = POND
    plan.height[rows[wet], cols[wet]] = 0


def _build_plant(draw: _Drawing, at: np.ndarray, rng: np.random.Generator) -> None:
    turn = rng.uniform(0, np.pi)
    axes = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
    centre = at * draw.radius_px + (draw.mine.col, draw.mine.row)
    for _ in range(int(rng.integers(5, 10))):
        half = rng.uniform((1.5, 1.2), (6.0, 3.0))
        middle = centre + rng.normal(0, 9, 2) @ axes
        mask = np.zeros_like(draw.plan.inside)
        fill_ring(draw.frame, np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half @ axes + middle, mask)
        roof = (mask & draw.plan.inside) > 0
        draw.plan.material[roof] = PLANT
        draw.plan.height[roof] = 2.5
    theta = np.linspace(0, 2 * np.pi, 16)
    for _ in range(int(rng.integers(1, 4))):
        heap = np.zeros_like(draw.plan.inside)
        ring = rng.uniform(3, 6) * np.column_stack([np.cos(theta), np.sin(theta)])
        fill_ring(draw.frame, ring + centre + rng.normal(0, 14, 2), heap)
        heap &= draw.plan.inside
        draw.plan.height[heap > 0] = 1.2 * cv2.distanceTransform(heap, cv2.DIST_L2, 5)[heap > 0]
        draw.plan.material[heap > 0] = STOCK


def _lay_out_placer(draw: _Drawing, rng: np.random.Generator) -> None:
    frame, plan = draw.frame, draw.plan
    # Dug and washed spot by spot: ponds of every colour between heaps of washed sand.
    holes = fractal_noise(frame, seed_of("holes", draw.mine.id), 32, 4, gain=0.55)
    heaps = fractal_noise(frame, seed_of("heaps", draw.mine.id), 32, 4, gain=0.8)
    kind = fractal_noise(frame, seed_of("kind", draw.mine.id), 64, 32)
    inside = plan.inside > 0
    plan.height[:] = 1.4 * heaps
    plan.material[inside] = np.where(heaps[inside] > 0.2, TAILINGS, GROUND)
    wet = inside & (holes > rng.uniform(0.7, 1.0))
    plan.material[wet] = np.where(kind[wet] > 0.1, POND, ALGAE)
    plan.height[wet] = -1.5
    ends = rng.uniform(-0.9, 0.9, (4, 2))
    draw.line(ends[np.argsort(ends[:, 0])], 2, HAUL)
