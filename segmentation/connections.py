"""What belongs together because it is connected, if only through others."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def connected_groups(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Connected components: (count,) int32, one label a group.

    Args:
        count: number of members.
        first: (m,) int, members that are connected...
        second: (m,) int, ...with these.
    """
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1]
