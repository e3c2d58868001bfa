"""Work on many geometries at once: in threads, and united group by group."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import shapely

_Item = TypeVar("_Item")
_CHUNK = 5_000
_FEW = 50  # below this, threads cost more than they save


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
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(work, *(np.array_split(array, cuts) for array in arrays))))


def ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items, each one in the making while the one before is being used."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item


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
    alone = np.bincount(group, minlength=count)[group] == 1
    united[group[alone]] = shapes[alone]
    if not alone.all():
        order = np.flatnonzero(~alone)[np.argsort(group[~alone], kind="stable")]
        crowded, place = np.unique(group[order], return_inverse=True)
        collections = shapely.geometrycollections(shapes[order], indices=place)
        united[crowded] = in_threads(lambda members: shapely.union_all(members[:, None], axis=1), collections)
    return united
