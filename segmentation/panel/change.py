"""What every site gained, lost and kept from one year to the next.

Computed in the equal-area projection itself (EPSG:6933), so that areas add up: gained + kept is this year's area,
lost + kept last year's. Where a site has no polygon in one of the two years because nobody looked, its polygon in the
other is neither gain nor loss but ``unseen``, and adds to kept instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely

from segmentation.core.process.cores import usable_cores
from segmentation.core.process.threads import no_search_for_cycles
from segmentation.core.process.workers import map_ahead, worker_pool
from segmentation.geo.areas import EQUAL_AREA_CRS, areal, polygonal, projected
from segmentation.geo.unions import unite_groups
from segmentation.panel.history import History

# So few that their pieces of all years take some tens of megabytes.
_SITES_AT_A_TIME = 1_000
# Below this, starting processes costs more than they save.
_FEW_SITES = 4_000
# The share of a site's area to which its pieces have to add up.
_TOLERANCE = 1e-9
_TO_EQUAL_AREA = pyproj.Transformer.from_crs("EPSG:4326", EQUAL_AREA_CRS, always_xy=True)
_TO_DEGREES = pyproj.Transformer.from_crs(EQUAL_AREA_CRS, "EPSG:4326", always_xy=True)
_Rows = TypeVar("_Rows")
KINDS = ("kept", "gained", "lost", "unseen")


@dataclass(frozen=True)
class _Sites:
    """Some sites in k years.

    Attributes:
        rows: their rows of the history.
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
class _Changes(Generic[_Rows]):
    """What became of some sites: their rows of the history, (s, k) areas in m2 of all kinds, and the pieces.

    Where there is but one year, nothing changes and there are no pieces, but None.
    """

    rows: slice
    areas: dict[str, np.ndarray]
    pieces: _Rows | None


def _as_they_are(pieces: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return pieces


def changes(
    polygons: gpd.GeoDataFrame, history: History, finish: Callable[[gpd.GeoDataFrame], _Rows] = _as_they_are
) -> Iterator[_Rows]:
    """Follow the sites from year to year, and note areas and changes in their history.

    In portions, since the pieces of nine years do not fit into memory together; of a large panel in parallel
    processes, as half of the time goes into what Python's lock lets one thread do at a time.

    Args:
        polygons: of all years, by year, in EPSG:4326.
        history: of their sites; its areas are filled in as this goes on.
        finish: what else to do with a portion's rows where they were made; a function that can be pickled.

    Yields:
        For some hundred sites at a time, by year and site: ``site_id``, ``kind`` (one of ``KINDS``), ``year_from``,
        ``year_to``, ``area`` (m2) and ``geometry`` (EPSG:4326), at most one row a site, year and kind; finished.
    """
    for found in _follow_all(_portions(polygons, history), len(history.sites), finish):
        for name, areas in found.areas.items():
            getattr(history, name)[found.rows] = areas
        if found.pieces is not None:
            yield found.pieces


def _portions(polygons: gpd.GeoDataFrame, history: History) -> Iterator[_Sites]:
    by_site = np.argsort(history.sites.of_polygon, kind="stable")
    site = history.sites.of_polygon[by_site]
    column = np.searchsorted(history.years, polygons["year"].to_numpy()[by_site])
    hidden, geometry = history.hidden, polygons.geometry.to_numpy()
    for start in range(0, len(history.sites), _SITES_AT_A_TIME):
        rows = slice(start, start + _SITES_AT_A_TIME)
        some = slice(*np.searchsorted(site, [rows.start, rows.stop]).tolist())
        shapes = shapely.to_wkb(geometry[by_site[some]])
        names = history.sites.names[rows]
        yield _Sites(rows, names, history.years, hidden[rows], shapes, site[some] - start, column[some])


def _follow_all(
    portions: Iterator[_Sites], count: int, finish: Callable[[gpd.GeoDataFrame], _Rows]
) -> Iterator[_Changes[_Rows]]:
    follow, workers = partial(_follow, finish=finish), usable_cores()
    if count < _FEW_SITES:
        yield from map(follow, portions)
    else:
        with worker_pool(workers) as pool:
            yield from map_ahead(pool, follow, portions, waiting=3 * workers)


@no_search_for_cycles()
def _follow(sites: _Sites, finish: Callable[[gpd.GeoDataFrame], _Rows]) -> _Changes[_Rows]:
    # Long edges bend a little under the projection, which can make an outline touch itself.
    flat = polygonal(projected(shapely.from_wkb(sites.shapes), _TO_EQUAL_AREA))
    areas = {name: np.zeros(sites.hidden.shape) for name in ("area", *KINDS)}
    tables, before = [], None
    for column in range(len(sites.years)):
        now = sites.column == column
        after = unite_groups(flat[now], sites.site[now], len(sites.names))
        areas["area"][:, column] = _area(after)
        if before is not None:
            pieces = _pieces(before, after, *sites.hidden[:, column - 1 : column + 1].T)
            area = np.stack([_area(shapes) for shapes in pieces.values()], axis=1)
            for number, kind in enumerate(pieces):
                areas[kind][:, column] = area[:, number]
            tables.append(_table(pieces, area, sites, column))
        before = after
    return _Changes(sites.rows, areas, finish(pd.concat(tables, ignore_index=True)) if tables else None)


def _table(pieces: dict[str, np.ndarray], area: np.ndarray, sites: _Sites, column: int) -> gpd.GeoDataFrame:
    """A row a piece, by site, given the (s, kinds) areas of all pieces."""
    shapes = np.stack(list(pieces.values()), axis=1)
    site, kind = np.nonzero(area > 0)
    year_from, year_to = np.array(sites.years[column - 1 : column + 1], dtype="int32")
    columns = {
        "site_id": sites.names[site],
        "kind": np.array(list(pieces), dtype=object)[kind],
        "year_from": year_from,
        "year_to": year_to,
        "area": area[site, kind],
    }
    return gpd.GeoDataFrame(columns, geometry=projected(shapes[site, kind], _TO_DEGREES), crs="EPSG:4326")


def _pieces(
    before: np.ndarray, after: np.ndarray, hidden_before: np.ndarray, hidden_after: np.ndarray
) -> dict[str, np.ndarray]:
    """The shapes of every kind, (s,) each, None where there is none."""
    was, now = ~shapely.is_missing(before), ~shapely.is_missing(after)
    pieces = {kind: np.full(len(before), None, dtype=object) for kind in KINDS}
    same = shapely.equals_exact(before, after)
    pieces["kept"][same] = after[same]
    both = was & now & ~same
    pieces["kept"][both], pieces["gained"][both], pieces["lost"][both] = _overlay(before[both], after[both])
    opened, closed = now & ~was, was & ~now
    pieces["gained"][opened & ~hidden_before] = after[opened & ~hidden_before]
    pieces["lost"][closed & ~hidden_after] = before[closed & ~hidden_after]
    pieces["unseen"][opened & hidden_before] = after[opened & hidden_before]
    pieces["unseen"][closed & hidden_after] = before[closed & hidden_after]
    return pieces


def _overlay(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What both, only the second and only the first of two polygons cover: (n,) each, None where nothing.

    What only one of them covers comes from one overlay, not from two: its parts lie within the second polygon, or else
    within the first.
    """
    kept = _areas(shapely.intersection(before, after))
    parts, pair = shapely.get_parts(shapely.symmetric_difference(before, after), return_index=True)
    there = ~shapely.is_empty(parts)  # where both are the same, GEOS gives a part without corners
    parts, pair = parts[there], pair[there]
    now = _contain(after, pair, _beside_first_edge(parts))
    gained, lost = (_gather(parts[rows], pair[rows], len(before)) for rows in (now, ~now))
    off = (np.abs(_area(gained) + _area(kept) - _area(after)) > _TOLERANCE * _area(after)) | (
        np.abs(_area(lost) + _area(kept) - _area(before)) > _TOLERANCE * _area(before)
    )
    if off.any():  # a part of both, where they share an edge from either side, or one too thin for a point within
        gained[off] = shapely.difference(after[off], before[off])
        lost[off] = shapely.difference(before[off], after[off])
    return kept, gained, lost


def _beside_first_edge(parts: np.ndarray) -> np.ndarray:
    """A point within each part, (n, 2): close to its first edge, on the right, as overlays go round clockwise."""
    corners, part = shapely.get_coordinates(parts, return_index=True)  # a polygon's outer ring comes first
    first = np.searchsorted(part, np.arange(len(parts)))
    start, end = corners[first], corners[first + 1]
    right = (end - start)[:, ::-1] * (1, -1)
    return (start + end) / 2 + 1e-4 * right


def _contain(polygons: np.ndarray, owner: np.ndarray, points: np.ndarray) -> np.ndarray:
    shapely.prepare(polygons)
    inside = shapely.contains_xy(polygons[owner], *points.T)
    shapely.destroy_prepared(polygons)
    return inside


def _gather(parts: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """A MultiPolygon an owner of its parts, which come in a row: (count,), None for an owner without parts."""
    gathered = np.full(count, None, dtype=object)
    return shapely.multipolygons(parts, indices=owner, out=gathered) if len(parts) else gathered


def _areas(shapes: np.ndarray) -> np.ndarray:
    """Leave out the lines and points at which outlines merely touch."""
    mixed = ~areal(shapes)
    shapes[mixed] = polygonal(shapes[mixed])
    return shapes


def _area(shapes: np.ndarray) -> np.ndarray:
    return np.nan_to_num(shapely.area(shapes))
