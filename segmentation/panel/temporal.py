"""The study's temporal filter: a polygon counts if the year before or the year after shows one in the same place.

What a single year shows and neither neighbour confirms is most likely a cloud, a fire scar or a bare field. The first
and the last year have one neighbour. Where a year is missing, the nearest year that is there takes its place: the rule
asks for a second look, and that is the nearest one there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyproj
import shapely

from segmentation.geo.areas import projected
from segmentation.geo.grid import CRS as MERCATOR
from segmentation.geo.unions import intersecting

_GEOD = pyproj.Geod(ellps="WGS84")
_TO_MERCATOR = pyproj.Transformer.from_crs("EPSG:4326", MERCATOR, always_xy=True)
# On the ellipsoid Mercator's stretch differs from 1 / cos(latitude) by up to 0.7 %, and by a little more over a
# long buffer. Candidates are looked for this much farther, then measured.
_MARGIN = 1.03
_NO_PAIRS = np.empty((0, 2), dtype="int64")


def year_rows(year: np.ndarray, years: Sequence[int]) -> dict[int, slice]:
    """The rows of each of some years, given the (n,) ascending years of all rows."""
    rows = {}
    for wanted in years:
        first, end = np.searchsorted(year, [wanted, wanted + 1]).tolist()
        rows[wanted] = slice(first, end)
    return rows


def consecutive_overlaps(shapes: np.ndarray, year: np.ndarray, years: Sequence[int]) -> np.ndarray:
    """Polygons of consecutive years that intersect.

    Args:
        shapes: (n,) valid polygons, one CRS.
        year: (n,) int, ascending.
        years: the years that there are, ascending; neighbours in this list are consecutive. A year may be in it
            without a polygon: nothing was found in it, and so nothing is confirmed by it.

    Returns:
        (m, 2) int64 rows: the earlier polygon, the later one.
    """
    found = [_NO_PAIRS]
    for earlier, later in pairwise(year_rows(year, years).values()):
        tree = shapely.STRtree(shapes[later])
        close = tree.query(shapes[earlier]).T
        found.append(intersecting(shapes, close + (earlier.start, later.start)))
    return np.concatenate(found)


def consecutive_neighbours(
    shapes_4326: np.ndarray, year: np.ndarray, years: Sequence[int], buffer_m: float
) -> np.ndarray:
    """Polygons of consecutive years that are at most ``buffer_m`` metres apart on the ground.

    The shortest line between two polygons is found in Web Mercator, which keeps shapes, and measured on the
    WGS 84 ellipsoid, so that a metre is a metre at every latitude. Polygons on both sides of the antimeridian are
    not neighbours.

    Args:
        shapes_4326: (n,) valid polygons.
        year: as for ``consecutive_overlaps``.
        years: likewise.
        buffer_m: metres, 0 or more.

    Returns:
        (m, 2) int64 rows: the earlier polygon, the later one.
    """
    shapes = projected(shapes_4326, _TO_MERCATOR)
    _, south, _, north = shapely.bounds(shapes_4326).T
    farthest_latitude = np.maximum(np.abs(south), np.abs(north))
    reach = buffer_m * _MARGIN / np.cos(np.radians(farthest_latitude))
    found = [_NO_PAIRS]
    for earlier, later in pairwise(year_rows(year, years).values()):
        tree = shapely.STRtree(shapes[later])
        close = tree.query(shapes[earlier], predicate="dwithin", distance=reach[earlier]).T
        pairs = close + (earlier.start, later.start)
        first, second = shapes[pairs.T]
        found.append(pairs[_ground_m(first, second) <= buffer_m])
    return np.concatenate(found)


def confirmed(count: int, pairs: np.ndarray) -> np.ndarray:
    """Which of ``count`` polygons occur in a pair: (count,) bool."""
    mask = np.zeros(count, dtype=bool)
    mask[pairs.ravel()] = True
    return mask


def _ground_m(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Geodesic length of the shortest lines between polygons in Web Mercator: (n,) metres."""
    if not len(first):
        return np.empty(0)
    x, y = shapely.get_coordinates(shapely.shortest_line(first, second)).T
    lon, lat = _TO_MERCATOR.transform(x, y, direction="INVERSE")
    from_lon, to_lon = lon[::2], lon[1::2]
    from_lat, to_lat = lat[::2], lat[1::2]
    # Lists, as pyproj takes an array of one for a number.
    _, _, length_m = _GEOD.inv(from_lon.tolist(), from_lat.tolist(), to_lon.tolist(), to_lat.tolist())
    return np.array(length_m)
