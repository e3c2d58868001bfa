"""What belongs together because it is connected, if only through others."""

from __future__ import annotations

import numpy as np


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
