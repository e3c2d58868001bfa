"""Sites: the polygons of all years that are one mine, under a name that stays.

Two polygons, of whatever years, belong to the same site if they intersect, or if a chain of polygons that intersect
connects them. So a mine keeps its site while it grows, moves on, splits and merges.

A site is named after its founder, the largest polygon of the first year that shows it: ``S05.98381W050.19357`` is a
point within the founder, in degrees. The name depends on nothing else. Another later year therefore leaves all names as
they are, except that sites which it connects go on under the name of the one founded first (of two founded in
the same year, the larger founder's). Another earlier year renames those sites that it shows, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely

from segmentation.geo.unions import connected_groups, intersecting

_ROWS_AT_A_TIME = 100_000


@dataclass(frozen=True)
class Sites:
    """The sites of a panel, in the order of their names.

    Attributes:
        names: (s,) str.
        founder: (s,) int64, the row of the polygon that a site is named after.
        of_polygon: (n,) int64, the number of each polygon's site.
    """

    names: np.ndarray
    founder: np.ndarray
    of_polygon: np.ndarray

    def __len__(self) -> int:
        return len(self.names)


def find_sites(shapes: np.ndarray, years: np.ndarray, area_m2: np.ndarray, overlaps: np.ndarray) -> Sites:
    """Connect polygons to sites.

    Args:
        shapes: (n,) valid polygons, EPSG:4326.
        years: (n,) int.
        area_m2: (n,) float64.
        overlaps: (m, 2) rows that are known to intersect, as from ``temporal.consecutive_overlaps``. They spare
            most of the work: only polygons that are not connected yet are looked at again.
    """
    label = connected_groups(len(shapes), *overlaps.T)
    overlaps = np.concatenate([overlaps, _missed_overlaps(shapes, label)])
    label = connected_groups(len(shapes), *overlaps.T)
    west, south = shapely.bounds(shapes)[:, :2].T
    order = np.lexsort((south, west, -area_m2, years, label))
    founder = order[np.unique(label[order], return_index=True)[1]]
    # In the order of their founding, so that of two names that are the same the older site's stays as it is.
    age = np.lexsort((south[founder], west[founder], -area_m2[founder], years[founder]))
    names = np.empty(len(founder), dtype=object)
    names[age] = _name(shapes[founder[age]])
    by_name = np.argsort(names, kind="stable")
    number = np.empty(len(founder), dtype="int64")
    number[by_name] = np.arange(len(founder))
    return Sites(names[by_name], founder[by_name], number[label])


def _missed_overlaps(shapes: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Polygons with different labels that intersect: within a year, or with years between them."""
    tree = shapely.STRtree(shapes)
    found = [np.empty((0, 2), dtype="int64")]
    for start in range(0, len(shapes), _ROWS_AT_A_TIME):
        # Nearly all pairs fall out by their labels alone.
        pairs = tree.query(shapes[start : start + _ROWS_AT_A_TIME]).T + (start, 0)
        first, second = pairs.T
        found.append(intersecting(shapes, pairs[(first < second) & (label[first] != label[second])]))
    return np.concatenate(found)


def _name(founders: np.ndarray) -> np.ndarray:
    """A point within each founder as text, a metre fine; what recurs is numbered: (s,) str."""
    inside = shapely.point_on_surface(founders)
    lon, lat = shapely.get_x(inside), shapely.get_y(inside)
    places = pd.Series(np.where(lat < 0, "S", "N")) + np.char.mod("%08.5f", np.abs(lat))
    places += pd.Series(np.where(lon < 0, "W", "E")) + np.char.mod("%09.5f", np.abs(lon))
    again = places.groupby(places).cumcount().to_numpy()
    return np.where(again > 0, places + "-" + (again + 1).astype(str).astype(object), places).astype(object)
