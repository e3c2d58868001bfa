"""Reading windows from the tiles that are kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmentation.core.errors import DamagedFile, PipelineError
from segmentation.geo.grid import CHIP_PX, Grid, Windows
from segmentation.imagery.rasters.description import Raster
from segmentation.imagery.rasters.warping import ChipCanvas, add_raster
from segmentation.imagery.sentinel2.fetch import BANDS, NO_DATA, SCALE
from segmentation.imagery.sentinel2.tiles import cells_of
from segmentation.imagery.source import Pixels


@dataclass(frozen=True)
class TileReader:
    """Reads windows from the kept tiles; small and picklable, so that every worker process has its own.

    Attributes:
        folder: holds the tiles; one that is not there counts as no data.
        grid: the chips' pixel grid.
    """

    folder: Path
    grid: Grid

    def read(self, col: int, row: int, side_px: int) -> Pixels:
        """Read a window (grid pixels, see ``Grid``) onto 512 x 512 pixels, see ``warping.warp``.

        Raises:
            DamagedFile: a tile on disk is.
        """
        window = Windows(np.array([col]), np.array([row]), np.array([side_px]))
        chip = self.grid.window_transform(col, row, side_px // CHIP_PX)
        canvas = ChipCanvas(len(BANDS))
        for names in cells_of(window, self.grid).candidates:
            path = self._first_there(names)
            if path is None or canvas.full:
                continue
            try:
                add_raster(canvas, _raster(path), chip)
            except PipelineError as error:
                raise DamagedFile(path, str(error), "remove it and run again to fetch it anew") from None
        return canvas.pixels()

    def _first_there(self, names: tuple[str, ...]) -> Path | None:
        """The file of the first of some tiles that is on disk."""
        paths = (self.folder / f"{name}.tif" for name in names)
        return next((path for path in paths if path.exists()), None)


def _raster(path: Path) -> Raster:
    """How a kept tile is read: a pixel that one band lacks is without data, since nothing else has that value."""
    bands = len(BANDS)
    return Raster(
        path=path,
        bands=tuple(range(1, bands + 1)),
        scales=(SCALE,) * bands,
        offsets=(0.0,) * bands,
        no_data=(NO_DATA,) * bands,
    )
