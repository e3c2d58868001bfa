"""What was looked at in a year, so that "no polygon" is not taken for "no mine".

What counts is the valid ground, pixel by pixel: where a window has no data, nobody looked. Ground that several windows
show counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely

from segmentation.core.process.threads import in_threads
from segmentation.geo.areas import EQUAL_AREA_CRS, projected
from segmentation.geo.grid import CRS as MERCATOR
from segmentation.geo.unions import connected_groups, unite_groups
from segmentation.panel.ground import YearGround, read_ground
from segmentation.panel.inputs import YearInput

_TYPES = {"year": "int32", "mosaic": object, "windows": "int32", "valid_share": "float64", "area": "float64"}
# All three projections are cylindrical: edges along pixels stay what they are.
_TO_EQUAL_AREA = pyproj.Transformer.from_crs(MERCATOR, EQUAL_AREA_CRS, always_xy=True)
_TO_DEGREES = pyproj.Transformer.from_crs(MERCATOR, "EPSG:4326", always_xy=True)


@dataclass(frozen=True)
class Observed:
    """What was looked at.

    Attributes:
        areas: a row a connected group of windows of a year: ``year``; ``mosaic``, all there are, separated by
            semicolons; ``windows``, how many they are; ``valid_share``, how much of the ground under them is valid,
            each ground once; ``area`` of the valid ground in m2 (EPSG:6933); ``geometry``, the valid ground
            (EPSG:4326).
        years: of which it is known.
        notes: what there is to say about where it comes from.
    """

    areas: gpd.GeoDataFrame
    years: frozenset[int]
    notes: tuple[str, ...] = ()


def read_observed(inputs: Sequence[YearInput], *, quiet: bool = False) -> Observed:
    """The valid ground of all years whose windows are known: that of windows written, each ground once.

    Raises:
        PipelineError: a file of windows is not there, or is none, or a chip that is needed is damaged.
    """
    ascending = sorted(inputs, key=lambda source: source.year)
    windows = {source.year: source.windows for source in ascending if source.windows}
    grounds = {year: read_ground(path, year, quiet=quiet) for year, path in windows.items()}
    with ThreadPoolExecutor() as pool:
        tables = list(pool.map(_observed, grounds.values(), grounds))
    areas = gpd.GeoDataFrame(pd.concat(tables or [_nothing_observed()], ignore_index=True), crs="EPSG:4326")
    notes = chain.from_iterable(ground.notes for ground in grounds.values())
    return Observed(areas, frozenset(grounds), tuple(notes))


def _nothing_observed() -> gpd.GeoDataFrame:
    """No row, with the columns of ``Observed.areas``."""
    return gpd.GeoDataFrame({name: [] for name in _TYPES}, geometry=[], crs="EPSG:4326").astype(_TYPES)


def _observed(ground: YearGround, year: int) -> gpd.GeoDataFrame:
    """A row a connected group of windows that shows anything, from south to north."""
    known = ~shapely.is_missing(ground.valid)
    windows, valid = ground.windows[known], ground.valid[known]
    squares = windows.geometry.to_numpy()
    first, second = shapely.STRtree(squares).query(squares)
    group = connected_groups(len(squares), first, second)
    count = int(group.max(initial=-1)) + 1
    seen = unite_groups(valid, group, count)
    area = shapely.area(projected(seen, _TO_EQUAL_AREA))
    looked_at = shapely.area(projected(unite_groups(squares, group, count), _TO_EQUAL_AREA))
    table = gpd.GeoDataFrame(
        {
            "year": np.full(count, year),
            "mosaic": _mosaics(windows["mosaic"].fillna(""), group, count),
            "windows": np.bincount(group, minlength=count),
            "valid_share": area / looked_at,
            "area": area,
        },
        geometry=projected(seen, _TO_DEGREES),
        crs="EPSG:4326",
    ).astype(_TYPES)
    west, south, _, _ = shapely.bounds(table.geometry.to_numpy()).T
    return table.iloc[np.lexsort((west, south))]


def _mosaics(mosaic: pd.Series, group: np.ndarray, count: int) -> np.ndarray:
    """The mosaics of every group of windows, separated by semicolons: (count,) str."""
    pairs = pd.DataFrame({"group": group, "mosaic": mosaic.to_numpy(object)}).drop_duplicates()
    names = np.full(count, "", dtype=object)
    # Nearly all groups have one mosaic; pandas takes its time for each that is joined.
    alone = ~pairs["group"].duplicated(keep=False)
    names[pairs.loc[alone, "group"]] = pairs.loc[alone, "mosaic"]
    joined = pairs[~alone].sort_values(["group", "mosaic"]).groupby("group")["mosaic"].agg("; ".join)
    names[joined.index] = joined
    return names


def observed_share(places: np.ndarray, observed: Observed, years: Sequence[int]) -> np.ndarray:
    """How much of each place was seen in each year.

    Args:
        places: (s,) polygons, EPSG:4326.
        observed: as from ``read_observed``.
        years: k years.

    Returns:
        (s, k) float64, 0 to 1; NaN in years of which ``observed`` knows nothing.
    """
    tree = shapely.STRtree(places)
    shares = np.full((len(places), len(years)), np.nan)
    for column, year in enumerate(years):
        if year not in observed.years:
            continue
        # Parts do not overlap. One by one, a place is cut by those that it meets, not by a whole group's ground.
        ground = shapely.get_parts(observed.areas.geometry[observed.areas["year"] == year].to_numpy())
        met = _meet(ground, tree)
        # Areas in square degrees: within one place only their ratio counts.
        shared = in_threads(_shared_area, ground[met.cutting], places[met.cut])
        part = shared / shapely.area(places[met.cut])
        whole = np.bincount(met.covered, minlength=len(places))
        seen = whole + np.bincount(met.cut, part, minlength=len(places))
        shares[:, column] = np.minimum(seen, 1)
    return shares


def country_observed_m2(observed: Observed, countries: gpd.GeoDataFrame) -> pd.Series:
    """Valid ground by ``iso_a3`` and ``year``, in square metres; what lies outside all countries does not count."""
    lands = countries[["iso_a3", "geometry"]].explode(ignore_index=True)
    land, ground = lands.geometry.to_numpy(), observed.areas.geometry.to_numpy()
    met = _meet(land, shapely.STRtree(ground))
    cut = shapely.intersection(land[met.cutting], ground[met.cut])
    cut_m2 = gpd.GeoSeries(cut, crs=observed.areas.crs).to_crs(EQUAL_AREA_CRS).area.to_numpy()
    covered_m2 = observed.areas["area"].to_numpy()[met.covered]
    table = pd.DataFrame(
        {
            "year": observed.areas["year"].to_numpy()[np.append(met.covered, met.cut)],
            "iso_a3": lands["iso_a3"].to_numpy()[np.append(met.covering, met.cutting)],
            "area": np.append(covered_m2, cut_m2),
        }
    )
    return table.groupby(["iso_a3", "year"])["area"].sum()


@dataclass(frozen=True)
class _Met:
    """Which polygons meet which others, the pairs as numbers on either side.

    Attributes:
        covering: (m,) int, polygons that cover the whole...
        covered: (m,) int, ...of these.
        cutting: (e,) int, polygons that meet a part, or no more than the outline...
        cut: (e,) int, ...of these.
    """

    covering: np.ndarray
    covered: np.ndarray
    cutting: np.ndarray
    cut: np.ndarray


def _meet(polygons: np.ndarray, others: shapely.STRtree) -> _Met:
    covering, covered = others.query(polygons, predicate="covers")
    meeting, met = others.query(polygons, predicate="intersects")
    # A pair as one number.
    whole = covering * len(others) + covered
    partly = ~np.isin(meeting * len(others) + met, whole)
    return _Met(covering, covered, meeting[partly], met[partly])


def _shared_area(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return shapely.area(shapely.intersection(first, second))
