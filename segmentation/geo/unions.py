"""What belongs together: connected groups, and the unions of polygons by group or by touch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import shapely

from segmentation.core.process.cores import usable_cores
from segmentation.core.process.threads import in_threads

# Up to so many polygons of a group are united one after the other; more of them all at once, as GEOS likes best.
_A_FEW = 16
# At least so many polygons a thread takes at a time.
_TOGETHER = 2_000


def connected_groups(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Connected components: (count,) int32, one label a group.

    Args:
        count: number of members.
        first: (m,) int, members that are connected...
        second: (m,) int, ...with these.
    """
    # Here, as it loads much of scipy, for which command lines and worker processes need not wait.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    return label


def unite(polygons: np.ndarray) -> np.ndarray:
    """The connected parts of a union: (n,) polygons to (m,) that do not overlap.

    Polygons whose boxes are connected are united together, some thousand at a time in threads: GEOS works without
    Python's lock.
    """
    if not len(polygons):
        return polygons
    first, second = shapely.STRtree(polygons).query(polygons)
    group = connected_groups(len(polygons), first, second)
    order = np.argsort(group, kind="stable")
    portions = np.split(polygons[order], _cuts_between_groups(group[order], _TOGETHER))
    with ThreadPoolExecutor(usable_cores()) as pool:
        united = list(pool.map(shapely.disjoint_subset_union_all, portions))
    return shapely.get_parts(np.array(united, dtype=object))


def _cuts_between_groups(group: np.ndarray, size: int) -> np.ndarray:
    """Where to cut (n,) rows, sorted by their group, into portions of about a size without cutting a group in two."""
    begins = np.flatnonzero(np.diff(group)) + 1
    # The first group that begins at or after every multiple of the size, where there is one.
    next_begin = np.searchsorted(begins, np.arange(size, len(group), size))
    return np.unique(begins[next_begin[next_begin < len(begins)]])


def intersecting(shapes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Those of some pairs that intersect.

    Args:
        shapes: (n,) geometries, one CRS.
        pairs: (m, 2) int rows, mostly of geometries whose boxes meet: a tree that is asked for intersections would
            prepare every geometry for the one or two that it meets.
    """
    first, second = shapes[pairs.T]
    return pairs[in_threads(shapely.intersects, first, second)]


def unite_groups(shapes: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
    """The union of every group of polygons.

    Args:
        shapes: (n,) Polygons or MultiPolygons.
        group: (n,) int, the number of each polygon's group, 0 to ``count`` - 1.
        count: number of groups.

    Returns:
        (count,) valid Polygons or MultiPolygons; None for a group without members.
    """
    united = np.full(count, None, dtype=object)
    size = np.bincount(group, minlength=count)
    alone = size[group] == 1
    united[group[alone]] = shapes[alone]
    crowded = np.flatnonzero(size > 1)
    if len(crowded):
        # A copy, as shapely makes an array read-only while it works on it, which other threads may not expect.
        members, group = shapes[~alone], group[~alone]
        members = members[np.lexsort((-shapely.area(members), group))]
        size = size[crowded]

        def unite_portion(begins: np.ndarray, size: np.ndarray) -> np.ndarray:
            return _unite_crowded(members[begins[0] : begins[-1] + size[-1]], size)

        united[crowded] = in_threads(unite_portion, np.cumsum(size) - size, size)
    return united


def _unite_crowded(shapes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The unions of groups of 2 or more polygons: (g,) of (n,) shapes, which come group by group, the largest first."""
    united = np.empty(len(size), dtype=object)
    begins = np.cumsum(size) - size
    few = size <= _A_FEW
    united[few] = _unite_one_by_one(shapes, begins[few], size[few])
    if not few.all():
        united[~few] = _unite_at_once(shapes[np.repeat(~few, size)], size[~few])
    return united


def _unite_one_by_one(shapes: np.ndarray, begins: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The unions of groups of few polygons: the second of every group joins the first, then the third both."""
    united = shapes[begins]
    for turn in range(1, size.max(initial=1)):
        group = np.flatnonzero(size > turn)
        member = shapes[begins[group] + turn]
        # A mine's earlier outlines mostly lie within its later ones: to see that takes a quarter of a union.
        shapely.prepare(united[group])
        new = ~shapely.covers(united[group], member)
        shapely.destroy_prepared(united[group])
        united[group[new]] = shapely.union(united[group[new]], member[new])
    return united


def _unite_at_once(shapes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The unions of groups of many polygons, which come group by group."""
    group = np.repeat(np.arange(len(size)), size)
    gathered = shapely.geometrycollections(shapes, indices=group)
    return shapely.union_all(gathered[:, None], axis=1)
