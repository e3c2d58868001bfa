"""What every site gained, lost and kept from one year to the next.

Computed in the equal-area projection itself (EPSG:6933), so that areas add up: gained + kept is this year's area,
lost + kept last year's. Where a site has no polygon in one of the two years because nobody looked, its polygon in the
other is neither gain nor loss but ``unseen``, and adds to kept instead.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely

from segmentation.core.process.cores import usable_cores
from segmentation.core.process.workers import map_ahead, worker_pool
from segmentation.geo.areas import EQUAL_AREA_CRS, planar_area, polygonal, projected
from segmentation.geo.overlay import overlay
from segmentation.geo.unions import unite_groups
from segmentation.panel.sites import History, Sightings

# So few that their pieces of all years take some tens of megabytes.
_SITES_AT_A_TIME = 1_000
# Below this, starting processes costs more than they save.
_FEW_SITES = 4_000
_TO_EQUAL_AREA = pyproj.Transformer.from_crs("EPSG:4326", EQUAL_AREA_CRS, always_xy=True)
_TO_DEGREES = pyproj.Transformer.from_crs(EQUAL_AREA_CRS, "EPSG:4326", always_xy=True)
_Kept = TypeVar("_Kept")
# What becomes of a site between two years, in the order of the rows.
KINDS = ("kept", "gained", "lost", "unseen")


@dataclass(frozen=True)
class _Portion:
    """Some sites in k years.

    Attributes:
        rows: of the sites among all.
        names: (s,) str.
        years: ascending.
        hidden: (s, k) bool, without a polygon because nobody looked.
        shapes: (n,) array, their polygons of all years as WKB, EPSG:4326: geometries take five times as long to a
            worker process.
        site: (n,) int, the number of each polygon's site, 0 to s - 1.
        column: (n,) int, of its year, 0 to k - 1.
    """

    rows: slice
    names: np.ndarray
    years: tuple[int, ...]
    hidden: np.ndarray
    shapes: np.ndarray
    site: np.ndarray
    column: np.ndarray


@dataclass(frozen=True)
class _Followed(Generic[_Kept]):
    """What became of the sites of a portion.

    Attributes:
        rows: of the sites among all.
        areas: (s, k) m2 by the name of an area in ``History``.
        pieces: what was kept of the pieces; None where there is but one year, so that nothing changes.
    """

    rows: slice
    areas: dict[str, np.ndarray]
    pieces: _Kept | None


def follow_sites(
    polygons: gpd.GeoDataFrame,
    sightings: Sightings,
    keep: Callable[[gpd.GeoDataFrame], _Kept],
) -> tuple[History, list[_Kept]]:
    """Follow the sites from year to year.

    In portions, since the pieces of nine years do not fit into memory together; of a large panel in parallel
    processes, as half of the time goes into what Python's lock lets one thread do at a time.

    Args:
        polygons: of all years, by year, in EPSG:4326.
        sightings: of their sites.
        keep: what to keep of the pieces of some hundred sites, asked where they were made; a function that can be
            pickled. It takes, by year and site, ``site_id``, ``kind`` (one of ``KINDS``), ``year_from``, ``year_to``,
            ``area`` (m2) and ``geometry`` (EPSG:4326), at most one row a site, year and kind.

    Returns:
        The history of the sites, and what was kept of their pieces, in the order of the sites.
    """
    totals = {name: np.zeros(sightings.parts.shape) for name in ("area", *KINDS)}
    kept = []
    portions = _portions(polygons, sightings)
    for followed in _follow_all(portions, len(sightings.sites), keep):
        for name, areas in followed.areas.items():
            totals[name][followed.rows] = areas
        if followed.pieces is not None:
            kept.append(followed.pieces)
    history = History(sightings.sites, sightings.years, sightings.parts, sightings.share, **totals)
    return history, kept


def _portions(polygons: gpd.GeoDataFrame, sightings: Sightings) -> Iterator[_Portion]:
    """The sites in their order, some hundred at a time, with their polygons."""
    sites, hidden = sightings.sites, sightings.hidden
    by_site = np.argsort(sites.of_polygon, kind="stable")
    site = sites.of_polygon[by_site]
    column = np.searchsorted(sightings.years, polygons["year"].to_numpy()[by_site])
    geometry = polygons.geometry.to_numpy()
    for start in range(0, len(sites), _SITES_AT_A_TIME):
        rows = slice(start, start + _SITES_AT_A_TIME)
        first, end = np.searchsorted(site, [rows.start, rows.stop])
        yield _Portion(
            rows,
            sites.names[rows],
            sightings.years,
            hidden[rows],
            shapely.to_wkb(geometry[by_site[first:end]]),
            site[first:end] - start,
            column[first:end],
        )


def _follow_all(
    portions: Iterator[_Portion], count: int, keep: Callable[[gpd.GeoDataFrame], _Kept]
) -> Iterator[_Followed[_Kept]]:
    follow, workers = partial(_follow, keep=keep), usable_cores()
    if count < _FEW_SITES:
        yield from map(follow, portions)
    else:
        with worker_pool(workers) as pool:
            yield from map_ahead(pool, follow, portions, waiting=3 * workers)


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Leave freeing memory to reference counts for as long as it takes to follow a portion.

    Geometries refer to nothing, so no cycle is among them. While hundreds of thousands come and go, Python would look
    for one again and again, in a fourteenth of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_no_search_for_cycles()
def _follow(portion: _Portion, keep: Callable[[gpd.GeoDataFrame], _Kept]) -> _Followed[_Kept]:
    covered = _covered_by_year(portion)
    areas = {name: np.zeros(portion.hidden.shape) for name in ("area", *KINDS)}
    tables = []
    for column, this_year in enumerate(covered):
        areas["area"][:, column] = planar_area(this_year)
        if column == 0:
            continue
        hidden_before, hidden_now = portion.hidden[:, column - 1], portion.hidden[:, column]
        pieces = _pieces(covered[column - 1], this_year, hidden_before, hidden_now)
        changed = {kind: planar_area(shapes) for kind, shapes in pieces.items()}
        for kind, area in changed.items():
            areas[kind][:, column] = area
        tables.append(_table(pieces, changed, portion, column))
    kept = keep(pd.concat(tables, ignore_index=True)) if tables else None
    return _Followed(portion.rows, areas, kept)


def _covered_by_year(portion: _Portion) -> list[np.ndarray]:
    """What the sites cover in each year: (s,) polygons in EPSG:6933, None where there is none."""
    projected_shapes = projected(shapely.from_wkb(portion.shapes), _TO_EQUAL_AREA)
    # Long edges bend a little under the projection, which can make an outline touch itself.
    shapes = polygonal(projected_shapes)
    covered = []
    for column in range(len(portion.years)):
        rows = portion.column == column
        covered.append(unite_groups(shapes[rows], portion.site[rows], len(portion.names)))
    return covered


def _pieces(
    before: np.ndarray, now: np.ndarray, hidden_before: np.ndarray, hidden_now: np.ndarray
) -> dict[str, np.ndarray]:
    """What became of sites between two years: (s,) shapes of every kind, None where there is none."""
    pieces = {kind: np.full(len(before), None, dtype=object) for kind in KINDS}
    was, is_now = ~shapely.is_missing(before), ~shapely.is_missing(now)

    same = shapely.equals_exact(before, now)
    pieces["kept"][same] = now[same]

    changed = was & is_now & ~same
    cut = overlay(before[changed], now[changed])
    pieces["kept"][changed] = cut.shared
    pieces["lost"][changed] = cut.first_only
    pieces["gained"][changed] = cut.second_only

    # What is there in one year alone has opened or closed, unless nobody looked in the other.
    only_now, only_before = is_now & ~was, was & ~is_now
    for kind, shapes, rows in (
        ("gained", now, only_now & ~hidden_before),
        ("unseen", now, only_now & hidden_before),
        ("lost", before, only_before & ~hidden_now),
        ("unseen", before, only_before & hidden_now),
    ):
        pieces[kind][rows] = shapes[rows]
    return pieces


def _table(
    pieces: dict[str, np.ndarray], areas: dict[str, np.ndarray], portion: _Portion, column: int
) -> gpd.GeoDataFrame:
    """A row a piece that came with the year of a column, by site and kind, given all pieces and their areas in m2."""
    shapes = np.stack([pieces[kind] for kind in KINDS], axis=1)
    area = np.stack([areas[kind] for kind in KINDS], axis=1)
    site, kind = np.nonzero(area > 0)
    year_from, year_to = np.array(portion.years[column - 1 : column + 1], dtype="int32")
    columns = {
        "site_id": portion.names[site],
        "kind": np.array(KINDS, dtype=object)[kind],
        "year_from": year_from,
        "year_to": year_to,
        "area": area[site, kind],
    }
    return gpd.GeoDataFrame(columns, geometry=projected(shapes[site, kind], _TO_DEGREES), crs="EPSG:4326")
