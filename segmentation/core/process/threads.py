"""Work in threads, for libraries that compute without Python's lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from segmentation.core.process.cores import usable_cores

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
    count = len(arrays[0])
    if count < _FEW:
        return work(*arrays)
    cuts = range(_CHUNK, count, _CHUNK)
    pieces = [np.array_split(array, cuts) for array in arrays]
    with ThreadPoolExecutor(usable_cores()) as pool:
        results = list(pool.map(work, *pieces))
    return np.concatenate(results)
