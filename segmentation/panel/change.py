"""What every site gained, lost and kept from one year to the next.

Computed in the equal-area projection itself (EPSG:6933), so that areas add up: gained + kept is this year's area,
lost + kept last year's. Where a site has no polygon in one of the two years because nobody looked, its polygon in the
other is neither gain nor loss but ``unseen``, and adds to kept instead.
"""

from __future__ import annotations

from collections.abc import Iterator

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.attributes import EQUAL_AREA_CRS
from segmentation.panel.groups import in_threads, unite_groups
from segmentation.panel.history import History
from segmentation.panel.temporal import year_rows
from segmentation.vectors import polygonal

_SITES_AT_A_TIME = 20_000
KINDS = ("kept", "gained", "lost", "unseen")


def changes(polygons: gpd.GeoDataFrame, history: History) -> Iterator[gpd.GeoDataFrame]:
    """Follow the sites from year to year, and note areas and changes in their history.

    In portions, since the pieces of nine years do not fit into memory together.

    Args:
        polygons: of all years, by year, in EPSG:4326.
        history: of their sites; its areas are filled in as this goes on.

    Yields:
        For every two consecutive years, for some thousand sites at a time: ``site_id``, ``kind`` (one of ``KINDS``),
        ``year_from``, ``year_to``, ``area`` (m2) and ``geometry`` (EPSG:4326), at most one row a site and kind.
    """
    rows = year_rows(polygons["year"].to_numpy(), history.years)
    before = None
    for column, year in enumerate(history.years):
        after = _site_shapes(polygons.iloc[rows[year]], history.sites.of_polygon[rows[year]], len(history.sites))
        history.area[:, column] = _area(after)
        if before is not None:
            for start in range(0, len(after), _SITES_AT_A_TIME):
                yield _change(before, after, history, column, slice(start, start + _SITES_AT_A_TIME))
        before = after


def _site_shapes(polygons: gpd.GeoDataFrame, site: np.ndarray, count: int) -> np.ndarray:
    """What each site covers in a year: (count,) polygons in EPSG:6933, None where there is none."""
    flat = polygons.geometry.to_crs(EQUAL_AREA_CRS).to_numpy()
    # Long edges bend a little under the projection, which can make an outline touch itself.
    return unite_groups(polygonal(flat), site, count)


def _change(before: np.ndarray, after: np.ndarray, history: History, column: int, sites: slice) -> gpd.GeoDataFrame:
    pieces = _pieces(before[sites], after[sites], *history.hidden[sites, column - 1 : column + 1].T)
    year_from, year_to = history.years[column - 1], history.years[column]
    tables = []
    for kind, shapes in pieces.items():
        areas = _area(shapes)
        getattr(history, kind)[sites, column] = areas
        there = np.flatnonzero(areas > 0)
        table = {"site": there, "kind": kind, "year_from": np.int32(year_from), "year_to": np.int32(year_to)}
        tables.append(gpd.GeoDataFrame(table | {"area": areas[there]}, geometry=shapes[there], crs=EQUAL_AREA_CRS))
    table = pd.concat(tables, ignore_index=True).sort_values("site", kind="stable", ignore_index=True)
    table.insert(0, "site_id", history.sites.names[sites][table["site"]])
    return table.drop(columns="site").to_crs("EPSG:4326")


def _pieces(
    before: np.ndarray, after: np.ndarray, hidden_before: np.ndarray, hidden_after: np.ndarray
) -> dict[str, np.ndarray]:
    """The shapes of every kind, (s,) each, None where there is none."""
    was, now = ~shapely.is_missing(before), ~shapely.is_missing(after)
    pieces = {kind: np.full(len(before), None, dtype=object) for kind in KINDS}
    both = was & now
    pieces["kept"][both] = _areas(in_threads(shapely.intersection, before[both], after[both]))
    pieces["gained"][both] = in_threads(shapely.difference, after[both], before[both])
    pieces["lost"][both] = in_threads(shapely.difference, before[both], after[both])
    opened, closed = now & ~was, was & ~now
    pieces["gained"][opened & ~hidden_before] = after[opened & ~hidden_before]
    pieces["lost"][closed & ~hidden_after] = before[closed & ~hidden_after]
    pieces["unseen"][opened & hidden_before] = after[opened & hidden_before]
    pieces["unseen"][closed & hidden_after] = before[closed & hidden_after]
    return pieces


def _areas(shapes: np.ndarray) -> np.ndarray:
    """Leave out the lines and points at which outlines merely touch."""
    mixed = ~np.isin(shapely.get_type_id(shapes), (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))
    shapes[mixed] = polygonal(shapes[mixed])
    return shapes


def _area(shapes: np.ndarray) -> np.ndarray:
    return np.nan_to_num(shapely.area(shapes))
