"""What the map in the browser shows, as plain columns: outlines and marks by year, places to go to, and titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.geo.grid import CRS as MERCATOR
from segmentation.panel.sites import History

# What a browser draws at ease, and what keeps the file at some megabytes.
LARGEST_SITES = 1_500
DETAIL_M = 5.0
# Of the largest sites, so many can be gone to by name.
_NAMED_SITES = 10
_LEAST_VIEW_M = 5_000


@dataclass(frozen=True)
class MapContent:
    """The largest sites of a panel.

    Attributes:
        sites: a row a site, EPSG:3857, as from ``tables.sites_table``.
        outlines: their polygons of all years, EPSG:3857, simplified, with ``site``, the number of the site among all.
        history: of all sites.
        chosen: (c,) int, the numbers of the largest sites among all, in the order of ``sites``.
    """

    sites: gpd.GeoDataFrame
    outlines: gpd.GeoDataFrame
    history: History
    chosen: np.ndarray


def choose_content(polygons: gpd.GeoDataFrame, sites: gpd.GeoDataFrame, history: History) -> MapContent:
    """Choose the sites that were largest in any year, and their outlines.

    Args:
        polygons: of all years, by year, EPSG:4326, with ``history.sites`` as their sites.
        sites: as from ``tables.sites_table``.
        history: of the sites.
    """
    by_size = np.argsort(-history.area.max(axis=1), kind="stable")
    chosen = np.sort(by_size[:LARGEST_SITES])
    of_polygon = history.sites.of_polygon
    shown = np.isin(of_polygon, chosen)
    outlines = polygons[shown].assign(site=of_polygon[shown]).to_crs(MERCATOR)
    outlines.geometry = shapely.simplify(outlines.geometry.to_numpy(), DETAIL_M)
    return MapContent(sites.iloc[chosen].to_crs(MERCATOR), outlines, history, chosen)


def outline_columns(content: MapContent) -> dict[str, list | np.ndarray]:
    """A row an outline: ``xs`` and ``ys``, see ``rings``, and what is said of it."""
    outlines = content.outlines
    xs, ys = rings(outlines.geometry.to_numpy())
    return {
        "xs": xs,
        "ys": ys,
        "site": content.history.sites.names[outlines["site"]].tolist(),
        "country": outlines["country_name"].astype(str).tolist(),
        "ha": (outlines["area"] / 1e4).round(2).to_numpy(),
    }


def outline_rows(content: MapContent) -> dict[str, list[int]]:
    """The rows of ``outline_columns`` by year."""
    return _rows_by_year(content.outlines["year"].to_numpy(), content.history.years)


def mark_columns(content: MapContent) -> dict[str, list | np.ndarray]:
    """A mark a site and year, so that sites can be found on a small map, and those not observed at all."""
    history, sites = content.history, content.sites
    years = len(history.years)
    inside = shapely.point_on_surface(sites.geometry.to_numpy())
    area_m2 = history.area[content.chosen].ravel()
    seen = sites["first_year"].astype(str) + " to " + sites["last_year"].astype(str)
    return {
        "x": np.repeat(shapely.get_x(inside).round(), years),
        "y": np.repeat(shapely.get_y(inside).round(), years),
        "size": 5 + 11 * np.sqrt(area_m2 / max(area_m2.max(), 1)),
        "status": history.status[content.chosen].ravel().tolist(),
        "site": np.repeat(sites["site_id"].to_numpy(), years).tolist(),
        "country": np.repeat(sites["country_name"].astype(str).to_numpy(), years).tolist(),
        "ha": (area_m2 / 1e4).round(2),
        "seen": np.repeat(seen, years).tolist(),
    }


def mark_rows(content: MapContent) -> dict[str, list[int]]:
    """The rows of ``mark_columns`` by year."""
    years = content.history.years
    return _rows_by_year(np.tile(years, len(content.sites)), years)


def _rows_by_year(years: np.ndarray, all_years: Sequence[int]) -> dict[str, list[int]]:
    return {str(year): np.flatnonzero(years == year).tolist() for year in all_years}


def rings(polygons: np.ndarray, unit_m: int = 1) -> tuple[list, list]:
    """Polygons as Bokeh's MultiPolygons takes them, x and y: per row a list of polygons, each a list of rings.

    Args:
        polygons: (n,) Polygons or MultiPolygons, EPSG:3857.
        unit_m: to which coordinates are rounded. Whole metres are short in the file, and finer than a pixel.
    """
    parts, row = shapely.get_parts(polygons, return_index=True)
    outlines, part = shapely.get_rings(parts, return_index=True)
    xy, outline = shapely.get_coordinates(outlines, return_index=True)
    rounded = np.round(xy / unit_m).astype("int64") * unit_m
    x, y = (_split_by_owner(values.tolist(), outline) for values in rounded.T)
    return _nested(x, part, row), _nested(y, part, row)


def _nested(by_outline: list, part: np.ndarray, row: np.ndarray) -> list:
    """Coordinates by row and polygon, from those by outline."""
    return _split_by_owner(_split_by_owner(by_outline, part), row)


def _split_by_owner(items: list, owner: np.ndarray) -> list:
    """Items that come owner by owner, as a list an owner."""
    cuts = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(items)]
    return [items[start:stop] for start, stop in pairwise(cuts)]


def places_to_go(content: MapContent) -> dict[str, list[int]]:
    """Everything, the countries, and the ten largest sites: west, east, south and north in EPSG:3857 by name."""
    bounds_3857 = {"all sites": content.sites.total_bounds}
    for name, country in content.sites.groupby(content.sites["country_name"].astype(str)):
        bounds_3857[name or "no country"] = country.total_bounds
    largest = np.argsort(-content.history.area[content.chosen].max(axis=1), kind="stable")[:_NAMED_SITES]
    for site in content.sites.iloc[largest].itertuples():
        bounds_3857[f"site {site.site_id} ({site.country_name})"] = site.geometry.bounds
    places = {}
    for name, bounds in bounds_3857.items():
        west, south, east, north = view(bounds)
        places[name] = [round(west), round(east), round(south), round(north)]
    return places


def view(bounds_3857: np.ndarray) -> tuple[float, float, float, float]:
    """Bounds with a margin, at least some kilometres, twice as wide as high: west, south, east, north."""
    west, south, east, north = bounds_3857
    height = max(north - south, (east - west) / 2, _LEAST_VIEW_M) * 1.1
    x, y = (west + east) / 2, (south + north) / 2
    return x - height, y - height / 2, x + height, y + height / 2


def titles(by_country: pd.DataFrame, warning: str) -> dict[str, str]:
    """What stands above the map, by year, from what ``tables.country_years`` gives; HTML."""
    end = f"<br><b>{warning}</b>" if warning else ""
    total = by_country.groupby("year")[["polygons", "area_km2", "sites_not_observed"]].sum()
    return {
        str(row.Index): f"<b>{row.Index}</b>: {row.polygons:,.0f} mining polygons, {row.area_km2:,.1f} km², "
        f"sites not observed: {row.sites_not_observed:,.0f}{end}"
        for row in total.itertuples()
    }
