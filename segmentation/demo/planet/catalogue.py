"""What the stand-in has on offer: the tropical mosaics by name, their series, and the quads that they cover."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from segmentation.demo.landscape.districts import GRID, lone_quad
from segmentation.demo.landscape.noise import Frame, hash_lattice, seed_of
from segmentation.demo.landscape.sites import mines
from segmentation.demo.landscape.sky import gap_mask
from segmentation.demo.planet.quads import WITHOUT_ALPHA
from segmentation.geo.grid import QUAD_PX, mercator_to_lonlat

COVERED_ROWS = range(844, 1204)
_WITHHELD_ONE_IN = 60
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "synthetic tropical mosaics")
_ARCHIVE = (
    "2015-12_2016-05",
    "2016-06_2016-11",
    "2016-12_2017-05",
    "2017-06_2017-11",
    "2017-12_2018-05",
    "2018-06_2018-11",
    "2018-12_2019-05",
    "2019-06_2019-11",
    "2019-12_2020-05",
    "2020-06_2020-08",
)
_FIRST_MONTH, _LAST_MONTH = (2020, 9), (2024, 11)


@dataclass(frozen=True)
class StandinMosaic:
    """One mosaic.

    Attributes:
        name: its name, unique.
        id: its UUID.
        first_month: year and month in which it begins.
        end_month: year and month in which it has ended: the interval is half open.
    """

    name: str
    id: str
    first_month: tuple[int, int]
    end_month: tuple[int, int]

    @property
    def months(self) -> int:
        """Its length."""
        (y0, m0), (y1, m1) = self.first_month, self.end_month
        return 12 * (y1 - y0) + m1 - m0

    @property
    def interval(self) -> str:
        """Its length in the API's words."""
        return "1 mon" if self.months == 1 else f"{self.months} mons"

    @property
    def acquired(self) -> tuple[str, str]:
        """Begin and end of its half-open interval, midnight UTC."""
        first, last = (f"{y:04d}-{m:02d}-01T00:00:00.000Z" for y, m in (self.first_month, self.end_month))
        return first, last


@dataclass(frozen=True)
class Series:
    """Mosaics of one kind, in time order."""

    name: str
    id: str
    interval: str
    mosaics: tuple[StandinMosaic, ...]


def _next_month(month: tuple[int, int]) -> tuple[int, int]:
    year, number = month
    return (year + number // 12, number % 12 + 1)


def _mosaic(span: str, kind: str = "analytic") -> StandinMosaic:
    name = f"planet_medres_normalized_{kind}_{span}_mosaic"
    first, _, last = span.partition("_")
    return StandinMosaic(name, str(uuid.uuid5(_NAMESPACE, name)), _month(first), _next_month(_month(last or first)))


def _month(text: str) -> tuple[int, int]:
    """Year and month of ``YYYY-MM``."""
    year, month = text.split("-")
    return int(year), int(month)


@lru_cache(maxsize=1)
def all_series() -> tuple[Series, ...]:
    """The biannual archive and the monthly monitoring."""
    spans, month = [], _FIRST_MONTH
    while month <= _LAST_MONTH:
        spans.append(f"{month[0]:04d}-{month[1]:02d}")
        month = _next_month(month)
    return tuple(
        Series(name, str(uuid.uuid5(_NAMESPACE, name)), interval, tuple(map(_mosaic, chosen)))
        for name, interval, chosen in (
            ("PS Tropical Normalized Analytic Biannual Archive", "6 mons", _ARCHIVE),
            ("PS Tropical Normalized Analytic Monthly Monitoring", "1 mon", spans),
        )
    )


@lru_cache(maxsize=1)
def all_mosaics() -> dict[str, StandinMosaic]:
    """All mosaics by id, in time order."""
    return {mosaic.id: mosaic for series in all_series() for mosaic in series.mosaics}


@lru_cache(maxsize=1)
def unlisted_mosaic() -> StandinMosaic:
    """One whose quads lack the alpha band, for readers that know no quads of five; found by its full name alone."""
    return _mosaic(_ARCHIVE[7], f"analytic{WITHOUT_ALPHA}")


@lru_cache(maxsize=1)
def _promised_quads() -> frozenset[tuple[int, int]]:
    """Quads of the demo's mines and their surroundings; the lone mine's is the one that is withheld."""
    around = (-QUAD_PX / 4, QUAD_PX / 4)
    promised = {
        (int((mine.col + dc) // QUAD_PX), GRID.n_quads - 1 - int((mine.row + dr) // QUAD_PX))
        for mine in mines()
        for dc in around
        for dr in around
    }
    return frozenset(promised - {lone_quad()})


def is_covered(x: int, y: int) -> bool:
    """Whether a quad is part of the mosaics."""
    return 0 <= x < GRID.n_quads and y in COVERED_ROWS


def is_downloadable(x: int, y: int) -> bool:
    """Whether the key may download a covered quad; a few are listed without a download link."""
    if (x, y) in _promised_quads():
        return True
    dice = int(hash_lattice(np.array([x]), np.array([y]), seed_of("withheld"))[0])
    return (x, y) != lone_quad() and dice % _WITHHELD_ONE_IN != 0


def percent_covered(mosaic: StandinMosaic, x: int, y: int) -> float:
    """Share of a quad that a mosaic has data for, in percent."""
    col, row = GRID.quad_origin(x, y)
    gaps = gap_mask(Frame(col, row, QUAD_PX, QUAD_PX, 16), mosaic.name)
    return 100 if gaps is None else round(100 * (1 - float(gaps.mean())), 2)


def quad_bbox(x: int, y: int) -> list[float]:
    """Bounds of a quad in degrees, minlon, minlat, maxlon, maxlat, to 12 significant digits as in the API."""
    minx, miny, maxx, maxy = GRID.quad_bounds(x, y)
    lon, lat = mercator_to_lonlat(np.array([minx, maxx]), np.array([miny, maxy]))
    return [float(f"{value:.12g}") for value in (lon[0], lat[0], lon[1], lat[1])]
