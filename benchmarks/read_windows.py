"""Reading windows from quads: only the blocks a window needs, against merging the whole quads it touches."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.merge import merge

from benchmarks.timing import RUNS, compare, parser
from segmentation.core import cli
from segmentation.demo.landscape.render import render_quad
from segmentation.demo.planet.quads import write_quad
from segmentation.geo.grid import QUAD_PX, Grid, Windows
from segmentation.imagery.planet.quads import QuadReader, open_quad

GRID = Grid()
X, Y = 717, 989  # four quads around a demo district
WINDOW_PX = 512


def windows(count: int, side: int) -> Windows:
    """Windows strewn over ``side`` x ``side`` quads; of 2 x 2, many touch two, some four."""
    col, row = GRID.quad_origin(X, Y + side - 1)
    rng = np.random.default_rng(count)
    place = rng.integers(0, side * QUAD_PX - WINDOW_PX, (2, count))
    return Windows(col + place[0], row + place[1], np.full(count, WINDOW_PX))


def main(arguments: Sequence[str] | None = None) -> None:
    sizes = parser(__doc__, "windows", (2, 4, 8), RUNS)
    sizes.add_argument("--side", type=cli.positive, default=2, help="quads along a side (default: %(default)s)")
    options = sizes.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        reader = QuadReader(Path(folder), GRID)
        for x in range(X, X + options.side):
            for y in range(Y, Y + options.side):
                write_quad(reader.quad_path(x, y), GRID, x, y, render_quad(GRID, x, y, 2019))

        def ours(count: int) -> None:
            open_quad.cache_clear()  # closing the files also forgets the blocks that were read before
            chosen = windows(count, options.side)
            for col, row in zip(chosen.col, chosen.row, strict=True):
                reader.read(int(col), int(row), WINDOW_PX)

        def plain(count: int) -> None:
            chosen = windows(count, options.side)
            window, x, y = GRID.quads_of(chosen)
            bounds = GRID.window_bounds(chosen)
            for position in range(count):
                own = window == position
                paths = [reader.quad_path(*quad) for quad in zip(x[own].tolist(), y[own].tolist(), strict=True)]
                whole, transform = merge(paths)
                left, top = np.rint(~transform @ (bounds[position][0], bounds[position][3])).astype(int)
                whole[:, top : top + WINDOW_PX, left : left + WINDOW_PX].copy()

        compare(options.sizes, ours, plain, "windows", options.runs)


if __name__ == "__main__":
    main()
