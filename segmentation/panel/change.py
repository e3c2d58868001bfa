"""What every site gained, lost and kept from one year to the next.

Computed in the equal-area projection itself (EPSG:6933), so that areas add up: gained + kept is this year's area,
lost + kept last year's. Where a site has no polygon in one of the two years because nobody looked, its polygon in the
other is neither gain nor loss but ``unseen``, and adds to kept instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.attributes import EQUAL_AREA_CRS
from segmentation.panel.groups import in_threads, map_ahead, unite_groups
from segmentation.panel.history import History
from segmentation.panel.temporal import year_rows
from segmentation.vectors import polygonal

_SITES_AT_A_TIME = 2_000
# The share of a site's area to which its pieces have to add up.
_TOLERANCE = 1e-9
KINDS = ("kept", "gained", "lost", "unseen")


@dataclass(frozen=True)
class _Step:
    """Some sites from one year to the next: (s,) shapes in EPSG:6933, and bool, where nobody looked.

    Attributes:
        column: of the later year in the history.
        sites: rows of the history.
        before: shapes in the earlier year, None where there is none.
        after: in the later year.
        hidden_before: without a polygon because nobody looked.
        hidden_after: likewise.
    """

    column: int
    sites: slice
    before: np.ndarray
    after: np.ndarray
    hidden_before: np.ndarray
    hidden_after: np.ndarray


def changes(polygons: gpd.GeoDataFrame, history: History) -> Iterator[gpd.GeoDataFrame]:
    """Follow the sites from year to year, and note areas and changes in their history.

    In portions, since the pieces of nine years do not fit into memory together; in threads, some portions ahead.

    Args:
        polygons: of all years, by year, in EPSG:4326.
        history: of their sites; its areas are filled in as this goes on.

    Yields:
        For every two consecutive years, for some thousand sites at a time: ``site_id``, ``kind`` (one of ``KINDS``),
        ``year_from``, ``year_to``, ``area`` (m2) and ``geometry`` (EPSG:4326), at most one row a site and kind.
    """
    yield from map_ahead(lambda step: _change(step, history), _steps(polygons, history))


def _steps(polygons: gpd.GeoDataFrame, history: History) -> Iterator[_Step]:
    rows = year_rows(polygons["year"].to_numpy(), history.years)
    hidden, before = history.hidden, None
    for column, year in enumerate(history.years):
        after = _site_shapes(polygons.iloc[rows[year]], history.sites.of_polygon[rows[year]], len(history.sites))
        history.area[:, column] = _area(after)
        if before is not None:
            for start in range(0, len(after), _SITES_AT_A_TIME):
                sites = slice(start, start + _SITES_AT_A_TIME)
                yield _Step(
                    column, sites, before[sites], after[sites], hidden[sites, column - 1], hidden[sites, column]
                )
        before = after


def _site_shapes(polygons: gpd.GeoDataFrame, site: np.ndarray, count: int) -> np.ndarray:
    """What each site covers in a year: (count,) polygons in EPSG:6933, None where there is none."""
    return unite_groups(in_threads(_project, polygons.geometry.to_numpy()), site, count)


def _project(shapes_4326: np.ndarray) -> np.ndarray:
    # Long edges bend a little under the projection, which can make an outline touch itself.
    return polygonal(gpd.GeoSeries(shapes_4326, crs="EPSG:4326").to_crs(EQUAL_AREA_CRS).to_numpy())


def _change(step: _Step, history: History) -> gpd.GeoDataFrame:
    names, year_from, year_to = history.sites.names[step.sites], *history.years[step.column - 1 : step.column + 1]
    tables = []
    for kind, shapes in _pieces(step).items():
        areas = _area(shapes)
        getattr(history, kind)[step.sites, step.column] = areas
        there = np.flatnonzero(areas > 0)
        table = {"site": there, "kind": kind, "year_from": np.int32(year_from), "year_to": np.int32(year_to)}
        tables.append(gpd.GeoDataFrame(table | {"area": areas[there]}, geometry=shapes[there], crs=EQUAL_AREA_CRS))
    table = pd.concat(tables, ignore_index=True).sort_values("site", kind="stable", ignore_index=True)
    table.insert(0, "site_id", names[table["site"]])
    return table.drop(columns="site").to_crs("EPSG:4326")


def _pieces(step: _Step) -> dict[str, np.ndarray]:
    """The shapes of every kind, (s,) each, None where there is none."""
    before, after = step.before, step.after
    was, now = ~shapely.is_missing(before), ~shapely.is_missing(after)
    pieces = {kind: np.full(len(before), None, dtype=object) for kind in KINDS}
    same = shapely.equals_exact(before, after)
    pieces["kept"][same] = after[same]
    both = was & now & ~same
    pieces["kept"][both], pieces["gained"][both], pieces["lost"][both] = _overlay(before[both], after[both])
    for kind, rows in (("gained", now & ~was & ~step.hidden_before), ("unseen", now & ~was & step.hidden_before)):
        pieces[kind][rows] = after[rows]
    for kind, rows in (("lost", was & ~now & ~step.hidden_after), ("unseen", was & ~now & step.hidden_after)):
        pieces[kind][rows] = before[rows]
    return pieces


def _overlay(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What both, only the second and only the first of two polygons cover: (n,) each, None where nothing.

    Both outlines together cut the plane into faces, each of which lies within or without either polygon. One overlay
    of two outlines takes less than three of two polygons, and the faces add up by themselves.
    """
    outlines = shapely.union(shapely.boundary(before), shapely.boundary(after))
    faces, pair = shapely.get_parts(shapely.polygonize(outlines[:, None]), return_index=True)
    inside = shapely.point_on_surface(faces)
    was, now = _contain(before, pair, inside), _contain(after, pair, inside)
    pieces = [_gather(faces[rows], pair[rows], len(before)) for rows in (was & now, now & ~was, was & ~now)]
    kept, gained, lost = map(_area, pieces)
    off = (np.abs(gained + kept - _area(after)) > _TOLERANCE * _area(after)) | (
        np.abs(lost + kept - _area(before)) > _TOLERANCE * _area(before)
    )
    if off.any():  # a face too thin for a point within it
        pieces[0][off] = _areas(shapely.intersection(before[off], after[off]))
        pieces[1][off] = shapely.difference(after[off], before[off])
        pieces[2][off] = shapely.difference(before[off], after[off])
    return tuple(pieces)


def _contain(polygons: np.ndarray, owner: np.ndarray, points: np.ndarray) -> np.ndarray:
    shapely.prepare(polygons)
    inside = shapely.contains_xy(polygons[owner], shapely.get_x(points), shapely.get_y(points))
    shapely.destroy_prepared(polygons)
    return inside


def _gather(parts: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """A MultiPolygon an owner of its parts, which come in a row: (count,), None for an owner without parts."""
    gathered = np.full(count, None, dtype=object)
    return shapely.multipolygons(parts, indices=owner, out=gathered) if len(parts) else gathered


def _areas(shapes: np.ndarray) -> np.ndarray:
    """Leave out the lines and points at which outlines merely touch."""
    mixed = ~np.isin(shapely.get_type_id(shapes), (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))
    shapes[mixed] = polygonal(shapes[mixed])
    return shapes


def _area(shapes: np.ndarray) -> np.ndarray:
    return np.nan_to_num(shapely.area(shapes))
