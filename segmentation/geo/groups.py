"""Work on many geometries at once: in threads, and united group by group."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import shapely

from segmentation.core.process.cores import usable_cores

_Item = TypeVar("_Item")
_CHUNK = 1_000
_FEW = 50  # below this, threads cost more than they save
# So many polygons are united one after the other; more of them, as GEOS likes best.
_A_FEW = 16


def in_threads(work: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Apply a vectorised function to equally long arrays, in pieces and in threads.

    GEOS works without Python's lock, so that threads are as good as processes, and nothing is copied.

    Args:
        work: takes a piece of every array, returns an array as long as the pieces.
        arrays: at least one, all (n, ...).

    Returns:
        What ``work(*arrays)`` returns.
    """
    n = len(arrays[0])
    if n < _FEW:
        return work(*arrays)
    cuts = range(_CHUNK, n, _CHUNK)
    with ThreadPoolExecutor(usable_cores()) as pool:
        return np.concatenate(list(pool.map(work, *(np.array_split(array, cuts) for array in arrays))))


def intersecting(shapes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Those of some pairs that intersect.

    Args:
        shapes: (n,) geometries, one CRS.
        pairs: (m, 2) int rows, mostly of geometries whose boxes meet: a tree that is asked for intersections would
            prepare every geometry for the one or two that it meets.
    """
    return pairs[in_threads(shapely.intersects, *shapes[pairs.T])]


def ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items, each one in the making while the one before is being used, the first from now on."""
    end = object()
    pool = ThreadPoolExecutor(1)
    coming = pool.submit(next, items, end)

    def taken(coming: Future) -> Iterator[_Item]:
        with pool:
            while (item := coming.result()) is not end:
                coming = pool.submit(next, items, end)
                yield item

    return taken(coming)


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """Leave freeing memory to reference counts.

    Geometries refer to nothing, so no cycle is among them, but Python would look for one again and again while
    millions come and go: an eighth of all the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
