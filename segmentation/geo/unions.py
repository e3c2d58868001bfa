"""What belongs together: connected groups, and the unions of polygons by group or by touch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import shapely

from segmentation.core.process.cores import usable_cores
from segmentation.core.process.threads import in_threads

# So many polygons are united one after the other; more of them, as GEOS likes best.
_A_FEW = 16

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
    return connected_components(graph, directed=False)[1]


def unite(polygons: np.ndarray) -> np.ndarray:
    """The connected parts of a union: (n,) polygons to (m,) that do not overlap.

    Polygons whose boxes are connected are united together, some thousand at a time in threads: GEOS works without
    Python's lock.
    """
    if not len(polygons):
        return polygons
    group = connected_groups(len(polygons), *shapely.STRtree(polygons).query(polygons))
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[order])) + 1
    next_begin = np.searchsorted(begins, np.arange(_TOGETHER, len(polygons), _TOGETHER))
    cuts = np.unique(begins[next_begin[next_begin < len(begins)]])
    with ThreadPoolExecutor(usable_cores()) as pool:
        united = list(pool.map(shapely.disjoint_subset_union_all, np.split(polygons[order], cuts)))
    return shapely.get_parts(np.array(united, dtype=object))


def intersecting(shapes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Those of some pairs that intersect.

    Args:
        shapes: (n,) geometries, one CRS.
        pairs: (m, 2) int rows, mostly of geometries whose boxes meet: a tree that is asked for intersections would
            prepare every geometry for the one or two that it meets.
    """
    return pairs[in_threads(shapely.intersects, *shapes[pairs.T])]


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

        def unite(first: np.ndarray, size: np.ndarray) -> np.ndarray:
            return _unite(members[first[0] : first[-1] + size[-1]], size)

        united[crowded] = in_threads(unite, np.cumsum(size) - size, size)
    return united


def _unite(shapes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The unions of groups of 2 or more polygons, which come group by group, the largest first."""
    united = np.empty(len(size), dtype=object)
    few, first = size <= _A_FEW, np.cumsum(size) - size
    if not few.all():
        of_many = np.repeat(np.arange((~few).sum()), size[~few])
        gathered = shapely.geometrycollections(shapes[np.repeat(~few, size)], indices=of_many)
        united[~few] = shapely.union_all(gathered[:, None], axis=1)
    # A mine's earlier outlines mostly lie within its later ones: to see that takes a quarter of a union.
    united[few] = shapes[first[few]]
    for turn in range(1, size[few].max(initial=1)):
        group = np.flatnonzero(few & (size > turn))
        member = shapes[first[group] + turn]
        shapely.prepare(united[group])
        new = ~shapely.covers(united[group], member)
        shapely.destroy_prepared(united[group])
        united[group[new]] = shapely.union(united[group[new]], member[new])
    return united
