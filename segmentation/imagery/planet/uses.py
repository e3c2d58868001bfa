"""Which windows still need which quads: when a window can be cut, and when a quad can go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from threading import Lock

import numpy as np

from segmentation.geo.grid import Grid, Windows
from segmentation.imagery.cache import Quad


def quads_of_each(windows: Windows, grid: Grid) -> list[list[Quad]]:
    """The quads that each window touches."""
    position, x, y = grid.quads_of(windows)
    counts = np.bincount(position, minlength=len(windows)).tolist()
    # Those of the first window come first, then those of the second, and so on.
    quads = zip(x.tolist(), y.tolist(), strict=True)
    return [list(islice(quads, count)) for count in counts]


class QuadUses:
    """Counts which windows need which quads; safe to use from several threads.

    Args:
        quads_of: the quads of each window.
    """

    def __init__(self, quads_of: Sequence[Sequence[Quad]]):
        self._quads_of = quads_of
        self._windows_of: dict[Quad, list[int]] = defaultdict(list)
        for window, quads in enumerate(quads_of):
            for quad in quads:
                self._windows_of[quad].append(window)
        self._windows_left = {quad: len(windows) for quad, windows in self._windows_of.items()}
        self._lock = Lock()

    def quads_of(self, window: int) -> Sequence[Quad]:
        """The quads that a window touches."""
        return self._quads_of[window]

    def windows_of(self, quad: Quad) -> list[int]:
        """Positions of the windows that touch a quad."""
        return self._windows_of[quad]

    def release(self, windows: Sequence[int]) -> list[Quad]:
        """Note that windows need their quads no more.

        Returns:
            The quads that no window needs now.
        """
        freed = []
        with self._lock:
            for window in windows:
                for quad in self._quads_of[window]:
                    self._windows_left[quad] -= 1
                    if self._windows_left[quad] == 0:
                        freed.append(quad)
        return freed
