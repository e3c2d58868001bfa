"""Reading windows from quads: only the blocks a window needs, against merging the whole quads it touches."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from rasterio.merge import merge

from benchmarks.timing import compare
from segmentation.demo.landscape import render_quad
from segmentation.demo.quads import write_quad
from segmentation.grid import QUAD_PX, Grid, Windows
from segmentation.quads import QuadReader, open_quad

GRID = Grid()
X, Y = 717, 989  # four quads around a demo district
WINDOW_PX = 512


def windows(count: int) -> Windows:
    """Windows strewn over 2 x 2 quads; many touch two, some four."""
    col, row = GRID.quad_origin(X, Y + 1)
    rng = np.random.default_rng(count)
    place = rng.integers(0, 2 * QUAD_PX - WINDOW_PX, (2, count))
    return Windows(col + place[0], row + place[1], np.full(count, WINDOW_PX))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        reader = QuadReader(Path(folder), GRID)
        for x in (X, X + 1):
            for y in (Y, Y + 1):
                write_quad(reader.quad_path(x, y), GRID, x, y, render_quad(GRID, x, y, 2019))

        def ours(count: int) -> None:
            open_quad.cache_clear()  # closing the files also forgets the blocks that were read before
            chosen = windows(count)
            for col, row in zip(chosen.col, chosen.row, strict=True):
                reader.read(int(col), int(row), WINDOW_PX)

        def plain(count: int) -> None:
            chosen = windows(count)
            window, x, y = GRID.quads_of(chosen)
            bounds = GRID.window_bounds(chosen)
            for position in range(count):
                own = window == position
                paths = [reader.quad_path(*quad) for quad in zip(x[own].tolist(), y[own].tolist(), strict=True)]
                whole, transform = merge(paths)
                left, top = np.rint(~transform * (bounds[position][0], bounds[position][3])).astype(int)
                whole[:, top : top + WINDOW_PX, left : left + WINDOW_PX].copy()

        compare([2, 4, 8], ours, plain, "windows")


if __name__ == "__main__":
    main()
