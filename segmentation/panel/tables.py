"""The panel as tables: how polygons descend from each other, the sites, and countries by year."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.core.files import whole_file
from segmentation.core.provenance import SYNTHETIC, with_mark
from segmentation.geo.metadata import PARQUET_PREFIX
from segmentation.panel.observed import Observed, country_observed_m2
from segmentation.panel.sites import ABSENT, SINCE, History, Sites

_COUNTRY = ["iso_a3", "country_name"]
_BY = ["iso_a3", "year"]
_COUNTS = ["polygons", "sites", "sites_absent", "sites_not_observed"]
_SINCE_KM2 = [f"{name}_km2" for name in SINCE]
_AREAS = ["area_km2", "observed_km2", "not_observed_km2", *_SINCE_KM2]
_COUNTRY_YEARS = [
    *("iso_a3", "country_name", "year", "polygons", "sites", "area_km2", "observed_km2"),
    *("sites_absent", "sites_not_observed", "not_observed_km2", *_SINCE_KM2),
]


def add_descent(polygons: gpd.GeoDataFrame, sites: Sites, overlaps: np.ndarray) -> gpd.GeoDataFrame:
    """Say of every polygon which site it belongs to, and what it came from and went into.

    Args:
        polygons: of all years, by year, (n) rows.
        sites: that they belong to.
        overlaps: (m, 2) rows, polygons of consecutive years that intersect.

    Returns:
        The polygons with ``site_id``; ``part``, which numbers a site's polygons of a year, the largest first;
        ``from_ids`` and ``into_ids``, the ``id`` of every polygon of the year before and after that intersects it,
        separated by blanks. Several in ``from_ids`` are a merger, several in ``into_ids`` a split.
    """
    ids, site = polygons["id"].to_numpy(), sites.of_polygon
    earlier, later = overlaps.T
    return polygons.assign(
        site_id=sites.names[site],
        part=_part(polygons, site),
        from_ids=_joined(later, ids[earlier], len(polygons)),
        into_ids=_joined(earlier, ids[later], len(polygons)),
    )


def _part(polygons: gpd.GeoDataFrame, site: np.ndarray) -> np.ndarray:
    key = pd.DataFrame({"site": site, "year": polygons["year"].to_numpy()})
    order = np.lexsort((polygons["id"], -polygons["area"]))
    part = np.empty(len(polygons), dtype="int32")
    part[order] = key.iloc[order].groupby(["site", "year"]).cumcount() + 1
    return part


def _joined(owner: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """The ids of every owner as text, ascending, separated by blanks: (count,) str."""
    order = np.lexsort((ids, owner))
    owner, texts = owner[order], ids[order].astype(str).astype(object)
    rank = pd.Series(owner).groupby(owner).cumcount().to_numpy()
    joined = np.full(count, "", dtype=object)
    for turn in range(rank.max(initial=-1) + 1):  # the first of every owner, then the second of those that have one
        now = rank == turn
        joined[owner[now]] += (" " if turn else "") + texts[now]
    return joined


def sites_table(polygons: gpd.GeoDataFrame, history: History, overlaps: np.ndarray) -> gpd.GeoDataFrame:
    """A row a site.

    Args:
        polygons: as for ``add_descent``.
        history: of their sites.
        overlaps: as for ``add_descent``.

    Returns:
        ``site_id``; the founder's ``iso_a3`` and ``country_name``; ``first_year``, ``last_year`` and ``years_seen``
        (a number); ``mergers`` and ``splits``, how many polygons met several of the year before or after;
        ``status_YEAR`` and ``area_YEAR`` (m2, null where not observed) for every year; what a site covers in all years
        together as ``geometry``.
    """
    sites, years = history.sites, np.array(history.years)
    seen = history.parts > 0
    first_seen = seen.argmax(axis=1)
    last_seen = seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    founder = polygons.iloc[sites.founder]
    earlier, later = overlaps.T
    splitting = np.bincount(earlier, minlength=len(polygons)) > 1
    merging = np.bincount(later, minlength=len(polygons)) > 1
    columns = {
        "site_id": sites.names,
        "iso_a3": founder["iso_a3"].to_numpy(),
        "country_name": founder["country_name"].to_numpy(),
        "first_year": years[first_seen].astype("int32"),
        "last_year": years[last_seen].astype("int32"),
        "years_seen": seen.sum(axis=1).astype("int32"),
        "mergers": np.bincount(sites.of_polygon[merging], minlength=len(sites)),
        "splits": np.bincount(sites.of_polygon[splitting], minlength=len(sites)),
    }
    area, status = np.where(history.hidden, np.nan, history.area), history.status
    for column, year in enumerate(history.years):
        columns[f"status_{year}"] = status[:, column]
        columns[f"area_{year}"] = area[:, column]
    return gpd.GeoDataFrame(columns, geometry=sites.places, crs="EPSG:4326")


def country_years(
    polygons: gpd.GeoDataFrame, history: History, observed: Observed, countries: gpd.GeoDataFrame
) -> pd.DataFrame:
    """A row a country and year, for every country with polygons or observed areas.

    A polygon counts for the country that it lies in, a site's changes for its founder's. A country that was not
    looked at in a year has no area in it (null), rather than an area of 0.

    Args:
        polygons: as for ``add_descent``.
        history: of their sites.
        observed: what was looked at.
        countries: as from ``countries.read_countries``.

    Returns:
        ``iso_a3``, ``country_name``, ``year``, ``polygons``, ``sites``, ``area_km2``, ``observed_km2`` (null where not
        known); ``sites_absent`` and ``sites_not_observed``, sites of other years that were looked at in vain, and that
        were not looked at; ``not_observed_km2``, the area that the latter had when last seen before, or else first
        after; ``gained_km2``, ``lost_km2``, ``kept_km2`` and ``unseen_km2`` since the year before in the panel (null
        in its first year).
    """
    mines = polygons.assign(iso_a3=polygons["iso_a3"].astype(str), site=history.sites.of_polygon).groupby(_BY)
    found = mines.agg(polygons=("id", "size"), sites=("site", "nunique"), area_km2=("area", "sum"))
    seen = country_observed_m2(observed, countries).rename("observed_km2")
    sums = found.join(_site_sums(polygons, history), how="outer").join(seen, how="outer")

    # A row for every country and year, also where there is nothing.
    codes = sums.index.get_level_values("iso_a3").unique()
    every_year = pd.MultiIndex.from_product([codes, history.years], names=_BY)
    table = sums.reindex(every_year).fillna(0)
    table[_COUNTS] = table[_COUNTS].astype("int64")
    table[_AREAS] /= 1e6

    # What is not known is null, not 0.
    year = table.index.get_level_values("year")
    known = year.isin(observed.years)
    nobody_looked = known & (table["observed_km2"] == 0) & (table["polygons"] == 0)
    table["area_km2"] = table["area_km2"].mask(nobody_looked)
    table["observed_km2"] = table["observed_km2"].where(known)
    table.loc[year == history.years[0], _SINCE_KM2] = np.nan
    table = table.reset_index()
    known_names = pd.concat([polygons[_COUNTRY].astype(str), countries[_COUNTRY]])
    names = known_names.drop_duplicates("iso_a3").set_index("iso_a3")["country_name"]
    table["country_name"] = table["iso_a3"].map(names).fillna("")
    return table[_COUNTRY_YEARS]


def _site_sums(polygons: gpd.GeoDataFrame, history: History) -> pd.DataFrame:
    """What the sites of a country add up to in every year; areas in m2, under the names that they get in km2."""
    country = polygons["iso_a3"].astype(str).to_numpy()[history.sites.founder]
    seen = pd.DataFrame(np.where(history.parts > 0, history.area, np.nan))
    before_or_after = seen.ffill(axis=1).bfill(axis=1).to_numpy()
    columns = {
        "iso_a3": np.repeat(country, len(history.years)),
        "year": np.tile(history.years, len(history.sites)),
        "sites_absent": (history.status == ABSENT).ravel(),
        "sites_not_observed": history.hidden.ravel(),
        "not_observed_km2": np.where(history.hidden, before_or_after, 0).ravel(),
    }
    for name in SINCE:
        columns[f"{name}_km2"] = getattr(history, name).ravel()
    return pd.DataFrame(columns).groupby(_BY).sum()


def write_table(path: Path, table: pd.DataFrame, metadata: Mapping[str, str]) -> list[Path]:
    """Write a table twice, whole: as CSV and as Parquet, under ``path`` with either suffix.

    Args:
        path: without suffix.
        table: what of synthetic imagery goes out with a column that says so.
        metadata: texts by name, for the Parquet file's own metadata; CSV has none.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    described = {f"{PARQUET_PREFIX}{name}": text for name, text in sorted(metadata.items())}
    columns = with_mark(table, metadata.get(SYNTHETIC))
    content = pa.Table.from_pandas(columns, preserve_index=False).replace_schema_metadata(described)
    written = [path.with_suffix(".csv"), path.with_suffix(".parquet")]
    for target, write in zip(written, (csv.write_csv, parquet.write_table), strict=True):
        with whole_file(target) as partial:
            write(content, partial)
    return written
