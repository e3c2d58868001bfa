"""Work in threads, for libraries that compute without Python's lock."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from segmentation.core.process.cores import usable_cores

_Item = TypeVar("_Item")
_CHUNK = 1_000
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
    with ThreadPoolExecutor(usable_cores()) as pool:
        return np.concatenate(list(pool.map(work, *(np.array_split(array, cuts) for array in arrays))))


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
