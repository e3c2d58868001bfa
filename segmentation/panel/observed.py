"""What was looked at in a year, so that "no polygon" is not taken for "no mine"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from segmentation.attributes import EQUAL_AREA_CRS
from segmentation.errors import PipelineError
from segmentation.panel.inputs import YearInput
from segmentation.windows import WRITTEN, read_windows

_COLUMNS = ["year", "mosaic", "windows", "valid_share", "area", "geometry"]


@dataclass(frozen=True)
class Observed:
    """What was looked at.

    Attributes:
        areas: a row a connected area of a year: ``year``, ``mosaic``; ``windows``, how many were united;
            ``valid_share``, their mean share of valid pixels, weighted by area; ``area`` in m2 (EPSG:6933);
            ``geometry`` (EPSG:4326).
        years: of which it is known.
    """

    areas: gpd.GeoDataFrame
    years: frozenset[int]


def read_observed(inputs: Sequence[YearInput]) -> Observed:
    """The observed areas of all years whose windows are known: those written, united where they overlap.

    Raises:
        PipelineError: a file of windows is not there, or is none.
    """
    known = sorted((source for source in inputs if source.windows), key=lambda source: source.year)
    areas = [_observed(_read(source.windows, source.year), source.year) for source in known]
    nothing = gpd.GeoDataFrame({"status": [], "mosaic": []}, geometry=[], crs=EQUAL_AREA_CRS)
    table = pd.concat(areas or [_observed(nothing, 0)], ignore_index=True)
    return Observed(gpd.GeoDataFrame(table, crs="EPSG:4326"), frozenset(source.year for source in known))


def _read(path: Path, year: int) -> gpd.GeoDataFrame:
    try:
        windows = read_windows(path, year)
    except (DataSourceError, DataLayerError) as error:
        raise PipelineError(f"cannot read the windows of {year} from {path}: {error}") from None
    if missing := {"status", "valid_share", "mosaic"} - set(windows.columns):
        raise PipelineError(f"{path} is no windows.gpkg of step 1: it lacks {', '.join(sorted(missing))}")
    return windows


def _observed(windows: gpd.GeoDataFrame, year: int) -> gpd.GeoDataFrame:
    # A rectangle in Web Mercator is one in degrees and in the equal-area projection as well.
    seen = windows[windows["status"] == WRITTEN].to_crs(EQUAL_AREA_CRS)
    parts = []
    for mosaic, group in seen.groupby(seen["mosaic"].fillna("")):
        united = shapely.get_parts(shapely.disjoint_subset_union_all(group.geometry.to_numpy()))
        order = np.lexsort(shapely.bounds(united)[:, :2].T)
        parts.append(_describe(united[order], group, str(mosaic)))
    empty = gpd.GeoDataFrame({name: [] for name in _COLUMNS[:-1]}, geometry=[], crs=EQUAL_AREA_CRS)
    table = pd.concat(parts, ignore_index=True) if parts else empty
    types = {"mosaic": object, "windows": "int32", "valid_share": "float64", "area": "float64"}
    return table.assign(year=year).astype({"year": "int32"} | types)[_COLUMNS].to_crs("EPSG:4326")


def _describe(areas: np.ndarray, windows: gpd.GeoDataFrame, mosaic: str) -> gpd.GeoDataFrame:
    area, window = shapely.STRtree(windows.geometry.to_numpy()).query(areas, predicate="intersects")
    weight = windows.area.to_numpy()[window]
    valid = windows["valid_share"].to_numpy("float64")[window]
    total = np.bincount(area, weight, minlength=len(areas))
    return gpd.GeoDataFrame(
        {
            "mosaic": mosaic,
            "windows": np.bincount(area, minlength=len(areas)),
            "valid_share": np.bincount(area, weight * valid, minlength=len(areas)) / total,
            "area": shapely.area(areas),
        },
        geometry=areas,
        crs=windows.crs,
    )


def observed_share(places: np.ndarray, observed: Observed, years: Sequence[int]) -> np.ndarray:
    """How much of each place was seen in each year.

    Within a window nothing says where its valid pixels are, so its valid share counts for all of it alike.

    Args:
        places: (s,) polygons, EPSG:4326.
        observed: as from ``read_observed``.
        years: k years.

    Returns:
        (s, k) float64, 0 to 1; NaN in years of which ``observed`` knows nothing.
    """
    tree, size = shapely.STRtree(places), shapely.area(places)
    shares = np.full((len(places), len(years)), np.nan)
    for column, year in enumerate(years):
        if year not in observed.years:
            continue
        there = observed.areas[observed.areas["year"] == year]
        areas, valid = there.geometry.to_numpy(), there["valid_share"].to_numpy()
        inside = tree.query(areas, predicate="covers")
        meeting = tree.query(areas, predicate="intersects")
        edge = meeting[:, ~np.isin(_key(meeting, len(places)), _key(inside, len(places)))]
        # Areas in square degrees: within one place only their ratio counts.
        part = shapely.area(shapely.intersection(areas[edge[0]], places[edge[1]])) / size[edge[1]]
        seen = np.bincount(inside[1], valid[inside[0]], minlength=len(places))
        shares[:, column] = np.minimum(seen + np.bincount(edge[1], part * valid[edge[0]], minlength=len(places)), 1)
    return shares


def country_observed_m2(observed: Observed, countries: gpd.GeoDataFrame) -> pd.Series:
    """Observed area by ``iso_a3`` and ``year``, in square metres; what lies outside all countries does not count."""
    lands = countries[["iso_a3", "geometry"]].explode(ignore_index=True)
    areas, tree = observed.areas.geometry.to_numpy(), observed.areas.sindex
    land, inside = tree.query(lands.geometry, predicate="covers")
    near = tree.query(lands.geometry, predicate="intersects")
    edge = near[:, ~np.isin(_key(near, len(areas)), _key(np.stack([land, inside]), len(areas)))]
    cut = shapely.intersection(lands.geometry.to_numpy()[edge[0]], areas[edge[1]])
    square = gpd.GeoSeries(cut, crs=observed.areas.crs).to_crs(EQUAL_AREA_CRS).area.to_numpy()
    table = pd.DataFrame(
        {
            "year": observed.areas["year"].to_numpy()[np.append(inside, edge[1])],
            "iso_a3": lands["iso_a3"].to_numpy()[np.append(land, edge[0])],
            "area": np.append(observed.areas["area"].to_numpy()[inside], square),
        }
    )
    return table.groupby(["iso_a3", "year"])["area"].sum()


def _key(pairs: np.ndarray, width: int) -> np.ndarray:
    return pairs[0] * width + pairs[1]
