"""Which tiles windows need, as far as is known which tiles there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from segmentation.geo.grid import Grid, Windows
from segmentation.imagery.cache import TileCache
from segmentation.imagery.sentinel2.tiles import blocks_under, cells_of


class NeededTiles:
    """The tiles that windows need: in every cell the first one that is not known to be missing on the server.

    What is said changes with what becomes known.

    Args:
        windows: in question.
        grid: of the windows.
        cache: knows which tiles are missing.
    """

    def __init__(self, windows: Windows, grid: Grid, cache: TileCache):
        self._windows, self._grid, self._cache = windows, grid, cache
        self._cells = cells_of(windows, grid)
        self._cells_of: list[list[int]] = [[] for _ in range(len(windows))]
        for window, cell in zip(self._cells.window.tolist(), self._cells.cell.tolist(), strict=True):
            self._cells_of[window].append(cell)
        self._blocks: dict[tuple[str, int], list[int]] = {}

    def candidates(self) -> list[str]:
        """All tiles that may be needed, the likeliest first."""
        by_rank = zip_longest(*self._cells.candidates)
        names = [name for rank in by_rank for name in rank if name]
        return list(dict.fromkeys(names))

    def tiles(self, window: int) -> list[str | None]:
        """The tile of each cell of a window; None where all are missing."""
        return [self._tile(cell) for cell in self._cells_of[window]]

    def windows_by_tile(self, windows: Iterable[int] | None = None) -> dict[str, list[int]]:
        """Positions of the windows (of all, or of some) that need each tile, tiles by name."""
        found = defaultdict(list)
        for window in range(len(self._windows)) if windows is None else windows:
            names = dict.fromkeys(self.tiles(window))
            for name in names:
                if name is not None:
                    found[name].append(window)
        return dict(sorted(found.items()))

    def pairs(self) -> list[tuple[int, str]]:
        """Position of a window and name of a tile that it needs, or would need if there were one."""
        pairs = []
        for window, cells in enumerate(self._cells_of):
            names = [self._tile(cell) or self._cells.candidates[cell][0] for cell in cells]
            pairs += [(window, name) for name in dict.fromkeys(names)]
        return pairs

    def blocks(self, name: str, windows: Sequence[int]) -> list[int]:
        """Numbers of the blocks of a tile under some windows, ascending."""
        self._look_up(name, windows)
        numbers: set[int] = set()
        for window in windows:
            numbers.update(self._blocks[name, window])
        return sorted(numbers)

    def _look_up(self, name: str, windows: Sequence[int]) -> None:
        """Work out the blocks of a tile under windows, once."""
        new = [window for window in windows if (name, window) not in self._blocks]
        if not new:
            return
        some = Windows(self._windows.col[new], self._windows.row[new], self._windows.side_px[new])
        for window, numbers in zip(new, blocks_under(name, some, self._grid), strict=True):
            self._blocks[name, window] = numbers.tolist()

    def _tile(self, cell: int) -> str | None:
        """The first tile of a cell that is not known to be missing."""
        names = self._cells.candidates[cell]
        return next((name for name in names if not self._cache.is_not_covered(name)), None)
