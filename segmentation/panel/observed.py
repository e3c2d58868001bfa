"""What was looked at in a year, so that "no polygon" is not taken for "no mine".

What counts is the valid ground, pixel by pixel: where a window has no data, nobody looked. Ground that several windows
show counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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

_COLUMNS = ["year", "mosaic", "windows", "valid_share", "area", "geometry"]
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
    known = sorted((source for source in inputs if source.windows), key=lambda source: source.year)
    grounds = [read_ground(source.windows, source.year, quiet=quiet) for source in known]
    with ThreadPoolExecutor() as pool:
        tables = list(pool.map(_observed, grounds, [source.year for source in known]))
    nothing = gpd.GeoDataFrame({name: [] for name in _COLUMNS[:-1]}, geometry=[], crs="EPSG:4326").astype(_TYPES)
    areas = gpd.GeoDataFrame(pd.concat(tables or [nothing], ignore_index=True), crs="EPSG:4326")
    notes = tuple(note for ground in grounds for note in ground.notes)
    return Observed(areas, frozenset(source.year for source in known), notes)


def _observed(ground: YearGround, year: int) -> gpd.GeoDataFrame:
    """A row a connected group of windows that shows anything, from south to north."""
    known = ~shapely.is_missing(ground.valid)
    windows, valid = ground.windows[known], ground.valid[known]
    squares = windows.geometry.to_numpy()
    group = connected_groups(len(squares), *shapely.STRtree(squares).query(squares))
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
    order = np.lexsort(table.geometry.bounds[["minx", "miny"]].to_numpy().T)
    return table.iloc[order]


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
    tree, size = shapely.STRtree(places), shapely.area(places)
    shares = np.full((len(places), len(years)), np.nan)
    for column, year in enumerate(years):
        if year not in observed.years:
            continue
        # Parts do not overlap. One by one, a place is cut by those that it meets, not by a whole group's ground.
        ground = shapely.get_parts(observed.areas.geometry[observed.areas["year"] == year].to_numpy())
        inside = tree.query(ground, predicate="covers")
        meeting = tree.query(ground, predicate="intersects")
        edge = meeting[:, ~np.isin(_key(meeting, len(places)), _key(inside, len(places)))]
        # Areas in square degrees: within one place only their ratio counts.
        part = in_threads(_shared_area, ground[edge[0]], places[edge[1]]) / size[edge[1]]
        seen = np.bincount(inside[1], minlength=len(places)) + np.bincount(edge[1], part, minlength=len(places))
        shares[:, column] = np.minimum(seen, 1)
    return shares


def country_observed_m2(observed: Observed, countries: gpd.GeoDataFrame) -> pd.Series:
    """Valid ground by ``iso_a3`` and ``year``, in square metres; what lies outside all countries does not count."""
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


def _shared_area(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return shapely.area(shapely.intersection(first, second))


def _key(pairs: np.ndarray, width: int) -> np.ndarray:
    return pairs[0] * width + pairs[1]
