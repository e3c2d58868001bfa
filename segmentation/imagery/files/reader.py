"""Reading windows from the user's own rasters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmentation.geo.grid import CHIP_PX, Grid
from segmentation.imagery.rasters.description import Raster
from segmentation.imagery.rasters.warping import ChipCanvas, add_raster
from segmentation.imagery.source import Pixels


@dataclass(frozen=True)
class RasterReader:
    """Reads windows from files; small and picklable, so that every worker process has its own.

    Attributes:
        grid: the chips' pixel grid.
        rasters: the files, the first valid pixel wins.
        file: (m,) int64, positions of files.
        bounds_3857: (m, 4) float64, where they lie on the world's map (a file at the antimeridian on both sides).
    """

    grid: Grid
    rasters: tuple[Raster, ...]
    file: np.ndarray
    bounds_3857: np.ndarray

    def read(self, col: int, row: int, side_px: int) -> Pixels:
        """Read a window (grid pixels, see ``Grid``) onto 512 x 512 pixels, see ``warping.warp``.

        Raises:
            PipelineError: a file cannot be read.
        """
        chip = self.grid.window_transform(col, row, side_px // CHIP_PX)
        west, north = chip @ (0, 0)
        east, south = chip @ (CHIP_PX, CHIP_PX)
        minx, miny, maxx, maxy = self.bounds_3857.T
        near = (minx < east) & (maxx > west) & (miny < north) & (maxy > south)
        canvas = ChipCanvas(len(self.rasters[0].bands))
        for position in np.unique(self.file[near]):
            add_raster(canvas, self.rasters[position], chip)
            if canvas.full:
                break
        return canvas.pixels()
