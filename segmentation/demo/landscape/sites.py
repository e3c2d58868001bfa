"""Where the demo's mines lie: invented mines strewn around sixteen real mining places of the tropics.

Every mine, its outline and its history are made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import shapely

from segmentation.demo.landscape.districts import DISTRICTS, GRID, LONE_DISTRICT, District, district_quad, lone_quad
from segmentation.demo.landscape.landcover import river_distance_px
from segmentation.demo.landscape.mine import Lobe, Mine, random_lobe
from segmentation.demo.landscape.noise import Frame, seed_of
from segmentation.geo.grid import CHIP_PX, HALF_WORLD_M, QUAD_PX, mercator_to_lonlat

if TYPE_CHECKING:
    import geopandas as gpd

MINES_PER_DISTRICT = 7
_RIVER_PX = 30  # half the width of a river with its banks


@dataclass(frozen=True)
class _Spot:
    col: float
    row: float
    radius_px: float
    side_px: int


@lru_cache(maxsize=1)
def mines() -> tuple[Mine, ...]:
    """All mines of the demo, in a fixed order."""
    found = [mine for district in DISTRICTS for mine in _district_mines(district)]
    return (*found, _lone_mine())


def _district_mines(district: District) -> list[Mine]:
    rng = np.random.default_rng(seed_of("district", district.name))
    spots: list[_Spot] = []
    found = []
    for number in range(1, MINES_PER_DISTRICT + 1):
        lobes, island = _shape(rng)
        radius_px = _extent_px(rng, district, number) / _unit_extent(lobes)
        spot = _place(rng, district, number, radius_px, _unit_extent(lobes), spots)
        spots.append(spot)
        found.append(_mine(rng, district, f"{district.name}-{number:02d}", spot, lobes, island))
    return found


def _lone_mine() -> Mine:
    district = next(d for d in DISTRICTS if d.name == LONE_DISTRICT)
    rng = np.random.default_rng(seed_of("lone", district.name))
    lobes, _ = _shape(rng)
    col, row = GRID.quad_origin(*lone_quad())
    spot = _Spot(col + QUAD_PX / 2, row + QUAD_PX / 2, 200 / _unit_extent(lobes), CHIP_PX)
    return _mine(rng, district, f"{district.name}-{MINES_PER_DISTRICT + 1:02d}", spot, lobes, None)


def _shape(rng: np.random.Generator) -> tuple[tuple[Lobe, ...], Lobe | None]:
    main = random_lobe(rng)
    lobes: tuple[Lobe, ...] = (main,)
    if rng.random() < 0.12:
        angle = rng.uniform(0, 2 * np.pi)
        lobes += (random_lobe(rng, 2.1 * np.cos(angle), 2.1 * np.sin(angle), 0.45),)
    island = random_lobe(rng, 0.1, -0.1, 0.24) if rng.random() < 0.08 else None
    return lobes, island


def _unit_extent(lobes: tuple[Lobe, ...]) -> float:
    rings = np.vstack([lobe.ring() for lobe in lobes])
    return float(np.ptp(rings, axis=0).max())


def _extent_px(rng: np.random.Generator, district: District, number: int) -> float:
    # The first mine of a district is its large one; all others need a window of a single chip.
    low_m, high_m = (1500, 3100) if number == 1 else (350, 1150)
    ground_m = rng.uniform(low_m, high_m)
    return min(ground_m / (GRID.pixel_m * np.cos(np.radians(district.lat))), 700 if number == 1 else 238)


def _place(
    rng: np.random.Generator,
    district: District,
    number: int,
    radius_px: float,
    unit_extent: float,
    taken: list[_Spot],
) -> _Spot:
    extent_px = radius_px * unit_extent
    side_px = int(CHIP_PX * np.ceil(2 * extent_px * 1.06 / CHIP_PX))
    left, top = GRID.quad_origin(*district_quad(district))
    margin = side_px / 2 + 24
    on_border = bool(district.border) and number == MINES_PER_DISTRICT
    beside = number == MINES_PER_DISTRICT - 1
    while True:
        col, row = rng.uniform(margin, QUAD_PX - margin, 2) + (left, top)
        if on_border and district.border in ("east", "corner"):
            col = left + QUAD_PX + rng.uniform(-30, 30)
        if on_border and district.border in ("north", "corner"):
            row = top + rng.uniform(-30, 30)
        spot = _Spot(col, row, radius_px, side_px)
        if _fits(spot, taken, beside=beside) and not _meets_river(col, row, 0.6 * extent_px):
            return spot


def _meets_river(col: float, row: float, reach_px: float) -> bool:
    step_px, side_px = 16, 2 * int(reach_px // 16 + 2) * 16
    first_col, first_row = (int(middle - side_px / 2) // step_px * step_px for middle in (col, row))
    distance_px = river_distance_px(Frame(first_col, first_row, side_px, side_px, step_px))
    return bool((np.abs(distance_px) < _RIVER_PX).any())


def _fits(spot: _Spot, taken: list[_Spot], *, beside: bool) -> bool:
    gaps = [max(abs(spot.col - t.col), abs(spot.row - t.row)) - (spot.side_px + t.side_px) / 2 for t in taken]
    if not beside:
        return all(gap > 40 for gap in gaps)
    # Overlapping windows around separate mines: a window is twice as wide as its mine.
    return min(gaps) < -40 and all(
        gap > -0.2 * min(spot.side_px, t.side_px) for gap, t in zip(gaps, taken, strict=True)
    )


def _mine(
    rng: np.random.Generator,
    district: District,
    name: str,
    spot: _Spot,
    lobes: tuple[Lobe, ...],
    island: Lobe | None,
) -> Mine:
    lon, lat = mercator_to_lonlat(spot.col * GRID.pixel_m - HALF_WORLD_M, HALF_WORLD_M - spot.row * GRID.pixel_m)
    opened, closed, growth = _history(rng)
    return Mine(
        id=name,
        iso3=district.iso3,
        country=district.country,
        commodity=district.commodity,
        lon=float(lon),
        lat=float(lat),
        col=spot.col,
        row=spot.row,
        radius_px=spot.radius_px,
        lobes=lobes,
        island=island,
        opened=opened,
        closed=closed,
        growth=growth,
    )


def _history(rng: np.random.Generator) -> tuple[int, int | None, float]:
    fate = rng.random()
    growth = float(rng.uniform(0.0, 0.08))
    if fate < 0.14:
        return int(rng.integers(2017, 2020)), None, float(rng.uniform(0.06, 0.14))
    if fate < 0.18:
        return int(rng.integers(2020, 2022)), None, float(rng.uniform(0.08, 0.15))
    if fate < 0.21:
        return 2005, 2018, growth
    if fate < 0.33:
        return 2005, int(rng.integers(2020, 2024)), growth
    return 2005, None, growth


def to_lonlat(shape_px: shapely.Geometry) -> shapely.Geometry:
    """A geometry in world pixels (level 15) in degrees (EPSG:4326)."""

    def degrees(xy: np.ndarray) -> np.ndarray:
        x, y = xy[:, 0] * GRID.pixel_m - HALF_WORLD_M, HALF_WORLD_M - xy[:, 1] * GRID.pixel_m
        return np.column_stack(mercator_to_lonlat(x, y))

    return shapely.transform(shape_px, degrees)


def true_footprints(year: int) -> gpd.GeoDataFrame:
    """The exact drawn extents of the mines that are worked in a year.

    Returns:
        EPSG:4326, columns ``id, ISO3_CODE, COUNTRY_NAME, geometry``.
    """
    import geopandas as gpd

    worked = [mine for mine in mines() if mine.is_active(year)]
    return gpd.GeoDataFrame(
        {
            "id": [mine.id for mine in worked],
            "ISO3_CODE": [mine.iso3 for mine in worked],
            "COUNTRY_NAME": [mine.country for mine in worked],
        },
        geometry=[to_lonlat(mine.footprint_px(year)) for mine in worked],
        crs="EPSG:4326",
    )


def literature_polygons() -> gpd.GeoDataFrame:
    """The mines as a literature data set would have them: the state of 2019, drawn by hand.

    Returns:
        EPSG:4326, columns ``ISO3_CODE, COUNTRY_NAME, id, geometry``.
    """
    import geopandas as gpd

    from segmentation.demo.landscape.literature import hand_drawn, is_in_literature

    known = [mine for mine in mines() if is_in_literature(mine)]
    return gpd.GeoDataFrame(
        {
            "ISO3_CODE": [mine.iso3 for mine in known],
            "COUNTRY_NAME": [mine.country for mine in known],
            "id": [mine.id for mine in known],
        },
        geometry=[to_lonlat(hand_drawn(mine)) for mine in known],
        crs="EPSG:4326",
    )
