"""One synthetic mine: where it lies, its outline, and how it grows and ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from shapely import affinity

REFERENCE_YEAR = 2019
_OUTLINE_VERTICES = 96


@dataclass(frozen=True)
class Harmonic:
    """One wave of an outline: ``amplitude * cos(order * angle + phase)`` of the mean radius."""

    order: int
    amplitude: float
    phase: float


@dataclass(frozen=True)
class Lobe:
    """A star-shaped outline, in units of its mine's mean radius, around the mine's centre.

    Attributes:
        dx: offset of its centre eastwards.
        dy: offset of its centre southwards.
        radius: mean radius.
        stretch: length over width.
        angle: direction of the length, in radians.
        harmonics: the waves of its outline.
    """

    dx: float
    dy: float
    radius: float
    stretch: float
    angle: float
    harmonics: tuple[Harmonic, ...]

    def ring(self, vertices: int = _OUTLINE_VERTICES) -> np.ndarray:
        """Its outline, (vertices, 2) float64, x eastwards and y southwards."""
        theta = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
        r = self.radius * (1 + sum(h.amplitude * np.cos(h.order * theta + h.phase) for h in self.harmonics))
        along, across = r * np.cos(theta) * self.stretch**0.5, r * np.sin(theta) / self.stretch**0.5
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.column_stack([self.dx + along * cos - across * sin, self.dy + along * sin + across * cos])


def random_lobe(
    rng: np.random.Generator, dx: float = 0.0, dy: float = 0.0, radius: float = 1.0, rough: float = 1.0
) -> Lobe:
    """A lobe of random outline; ``rough`` scales its waves."""
    waves = tuple(
        Harmonic(order, rough * amplitude * rng.uniform(0.4, 1.0), rng.uniform(0, 2 * np.pi))
        for order, amplitude in ((2, 0.14), (3, 0.13), (4, 0.07), (5, 0.06), (7, 0.04), (11, 0.025))
    )
    return Lobe(dx, dy, radius, rng.uniform(1.0, 1.6), rng.uniform(0, np.pi), waves)


@dataclass(frozen=True)
class Mine:
    """A mine of the demo.

    Attributes:
        id: unique, usable as a file name.
        iso3: country code, ISO 3166-1 alpha-3.
        country: country name.
        commodity: what is dug: it sets the colours.
        lon: longitude of the centre in degrees.
        lat: latitude of the centre in degrees.
        col: world pixel column of the centre on the level-15 grid.
        row: world pixel row of the centre on the level-15 grid.
        radius_px: mean radius of the main lobe in the reference year, in pixels of the level-15 grid.
        lobes: the areas it consists of.
        island: an unmined spot within, if any.
        opened: first year in which it is seen.
        closed: first year in which it is no longer worked, if any.
        growth: yearly growth of its area, relative to the reference year.
    """

    id: str
    iso3: str
    country: str
    commodity: str
    lon: float
    lat: float
    col: float
    row: float
    radius_px: float
    lobes: tuple[Lobe, ...]
    island: Lobe | None
    opened: int
    closed: int | None
    growth: float

    def is_active(self, year: int) -> bool:
        """Whether it is worked in a year."""
        return self.opened <= year and (self.closed is None or year < self.closed)

    def scale(self, year: int) -> float:
        """Its size in a year, relative to the reference year; it stays as left when abandoned."""
        last = year if self.closed is None else min(year, self.closed - 1)
        area = 1 + self.growth * (last - max(REFERENCE_YEAR, self.opened))
        return float(np.sqrt(np.clip(area, 0.25, 1.8)))

    def footprint_px(self, year: int) -> shapely.Geometry:
        """Its outline in a year, as (multi)polygon in world pixels (level 15, x eastwards, y southwards)."""
        shape = shapely.union_all([shapely.Polygon(lobe.ring()) for lobe in self.lobes])
        if self.island is not None:
            shape = shape.difference(shapely.Polygon(self.island.ring()))
        size = self.radius_px * self.scale(year)
        return affinity.affine_transform(shape, [size, 0, 0, size, self.col, self.row])
