"""Sites: the polygons of all years that are one mine, under a name that stays, and their history.

Two polygons, of whatever years, belong to the same site if they intersect, or if a chain of polygons that intersect
connects them. So a mine keeps its site while it grows, moves on, splits and merges.

A site is named after its founder, the largest polygon of the first year that shows it: ``S05.98381W050.19357`` is a
point within the founder, in degrees. The name depends on nothing else. Another later year therefore leaves all names as
they are, except that sites which it connects go on under the name of the one founded first (of two founded in
the same year, the larger founder's). Another earlier year renames those sites that it shows, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.geo.unions import connected_groups, intersecting, unite_groups

MINE, ABSENT, NOT_OBSERVED, UNKNOWN = "mine", "absent", "not observed", "unknown"
# A site counts as looked at if at least this share of it was.
LEAST_SHARE = 0.5
# What a history says of the time since the year before, by its attributes.
SINCE = ("gained", "lost", "kept", "unseen")

_ROWS_AT_A_TIME = 100_000


@dataclass(frozen=True)
class Sites:
    """The sites of a panel, in the order of their names.

    Attributes:
        names: (s,) str.
        founder: (s,) int64, the row of the polygon that a site is named after.
        of_polygon: (n,) int64, the number of each polygon's site.
        places: (s,) polygons, what a site covers in all years together, EPSG:4326.
    """

    names: np.ndarray
    founder: np.ndarray
    of_polygon: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Sightings:
    """In which years sites were seen: s sites in the order of ``Sites``, k years in ascending order.

    Attributes:
        sites: their names and polygons.
        years: those of the panel, also if nothing was found in one.
        parts: (s, k) int64, number of polygons.
        share: (s, k) float64, observed share of the site; NaN where nothing is known of what was looked at.
    """

    sites: Sites
    years: tuple[int, ...]
    parts: np.ndarray
    share: np.ndarray

    @property
    def hidden(self) -> np.ndarray:
        """(s, k) bool, where a site has no polygon and was not looked at."""
        return (self.parts == 0) & (self.share < LEAST_SHARE)

    @property
    def status(self) -> np.ndarray:
        """(s, k) str: ``mine``, ``absent``, ``not observed``, or ``unknown`` where nobody noted what was looked at."""
        conditions = [self.parts > 0, self.hidden, np.isnan(self.share)]
        return np.select(conditions, [MINE, NOT_OBSERVED, UNKNOWN], ABSENT).astype(object)


@dataclass(frozen=True)
class History(Sightings):
    """Sightings with areas, and with what became of every site since the year before in ``years``.

    Attributes:
        area: (s, k) float64, m2, what a year's polygons cover together.
        gained: (s, k) float64, m2; 0 in the first year. ``change`` says what is gained, lost, kept and unseen.
        lost: likewise.
        kept: likewise.
        unseen: likewise.
    """

    area: np.ndarray
    gained: np.ndarray
    lost: np.ndarray
    kept: np.ndarray
    unseen: np.ndarray


def find_sites(polygons: gpd.GeoDataFrame, overlaps: np.ndarray) -> Sites:
    """Connect polygons to sites.

    Args:
        polygons: (n) rows, valid polygons in EPSG:4326, with ``year`` and ``area`` (m2).
        overlaps: (m, 2) rows that are known to intersect, as from ``temporal.consecutive_overlaps``. They spare
            most of the work: only polygons that are not connected yet are looked at again.
    """
    shapes, year = polygons.geometry.to_numpy(), polygons["year"].to_numpy()
    largest_first = -polygons["area"].to_numpy()
    west, south, _, _ = shapely.bounds(shapes).T

    label = _connect(shapes, overlaps)
    order = np.lexsort((south, west, largest_first, year, label))
    _, begins = np.unique(label[order], return_index=True)
    founder = order[begins]

    # In the order of their founding, so that of two names that are the same the older site's stays as it is.
    age = np.lexsort((south[founder], west[founder], largest_first[founder], year[founder]))
    names = np.empty(len(founder), dtype=object)
    names[age] = _name(shapes[founder[age]])

    by_name = np.argsort(names, kind="stable")
    number = np.empty(len(founder), dtype="int64")
    number[by_name] = np.arange(len(founder))
    of_polygon = number[label]
    places = unite_groups(shapes, of_polygon, len(founder))
    return Sites(names[by_name], founder[by_name], of_polygon, places)


def _connect(shapes: np.ndarray, overlaps: np.ndarray) -> np.ndarray:
    """The number of each polygon's site, in no particular order: (n,) int."""
    label = connected_groups(len(shapes), *overlaps.T)
    missed = _missed_overlaps(shapes, label)
    return connected_groups(len(shapes), *np.concatenate([overlaps, missed]).T)


def _missed_overlaps(shapes: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Polygons with different labels that intersect: within a year, or with years between them. (m, 2) rows."""
    tree = shapely.STRtree(shapes)
    found = [np.empty((0, 2), dtype="int64")]
    for start in range(0, len(shapes), _ROWS_AT_A_TIME):
        first, second = tree.query(shapes[start : start + _ROWS_AT_A_TIME])
        first = first + start
        # Nearly all pairs fall out by their labels alone.
        apart = (first < second) & (label[first] != label[second])
        pairs = np.column_stack([first[apart], second[apart]])
        found.append(intersecting(shapes, pairs))
    return np.concatenate(found)


def _name(founders: np.ndarray) -> np.ndarray:
    """A point within each founder as text, a metre fine; what recurs is numbered: (s,) str."""
    inside = shapely.point_on_surface(founders)
    lon, lat = shapely.get_x(inside), shapely.get_y(inside)
    northing = pd.Series(np.where(lat < 0, "S", "N")) + np.char.mod("%08.5f", np.abs(lat))
    easting = pd.Series(np.where(lon < 0, "W", "E")) + np.char.mod("%09.5f", np.abs(lon))
    places = northing + easting
    rank = places.groupby(places).cumcount() + 1
    numbered = places + "-" + rank.astype(str)
    return places.where(rank == 1, numbered).to_numpy(object)


def count_sightings(polygons: gpd.GeoDataFrame, years: tuple[int, ...], sites: Sites, share: np.ndarray) -> Sightings:
    """Count the polygons of every site and year.

    Args:
        polygons: of all years, with ``year``.
        years: k years of the panel, ascending.
        sites: that the polygons belong to.
        share: (s, k) observed share of every site, as from ``observed.observed_share``.
    """
    column = np.searchsorted(years, polygons["year"])
    parts = np.zeros((len(sites), len(years)), dtype="int64")
    np.add.at(parts, (sites.of_polygon, column), 1)
    return Sightings(sites, years, parts, share)


def site_years(history: History) -> pd.DataFrame:
    """A row a site and year.

    Returns:
        ``site_id``, ``year``, ``status``, ``polygons``, ``area_m2``, ``observed_share``, and since the year before
        ``gained_m2``, ``lost_m2``, ``kept_m2`` and ``unseen_m2`` (null in the first year).
    """
    columns = {
        "site_id": np.repeat(history.sites.names, len(history.years)),
        "year": np.tile(np.array(history.years, dtype="int32"), len(history.sites)),
        "status": history.status.ravel(),
        "polygons": history.parts.ravel(),
        "area_m2": np.where(history.hidden, np.nan, history.area).ravel(),
        "observed_share": history.share.ravel(),
    }
    for name in SINCE:
        since = getattr(history, name).copy()
        since[:, 0] = np.nan
        columns[f"{name}_m2"] = since.ravel()
    return pd.DataFrame(columns)
