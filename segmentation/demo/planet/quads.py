"""Quads as files: the GeoTIFFs that the stand-in serves, rendered when first asked for and kept on disk."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from segmentation.demo.landscape.render import render_quad
from segmentation.geo.geotiffs import new_geotiff
from segmentation.geo.grid import CRS, QUAD_BLOCK_PX, QUAD_PX, Grid, quad_name

WITHOUT_ALPHA = "_4band"  # in a mosaic's name
_RENDERED_AT_ONCE = 2
_COLOURS = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined, ColorInterp.alpha)


def write_quad(path: Path, grid: Grid, x: int, y: int, pixels: np.ndarray) -> None:
    """Write a quad as Planet delivers it: tiled GeoTIFF, Blue, Green, Red, NIR, alpha, without nodata tag.

    Args:
        path: the file, written beside and renamed.
        grid: the pixel grid.
        x: the quad's column.
        y: the quad's row, from the south edge.
        pixels: (5, 4096, 4096) uint16, or 4 bands without alpha.
    """
    minx, _, _, maxy = grid.quad_bounds(x, y)
    with new_geotiff(
        path,
        driver="GTiff",
        width=QUAD_PX,
        height=QUAD_PX,
        count=len(pixels),
        dtype="uint16",
        crs=CRS,
        transform=Affine(grid.pixel_m, 0.0, minx, 0.0, -grid.pixel_m, maxy),
        tiled=True,
        blockxsize=QUAD_BLOCK_PX,
        blockysize=QUAD_BLOCK_PX,
        interleave="band",
        compress="deflate",
        zlevel=1,
        predictor=2,
        photometric="minisblack",
        alpha="unspecified",
    ) as quad:
        quad.colorinterp = _COLOURS[: len(pixels)]
        quad.write(pixels)


@dataclass
class RenderedQuads:
    """Quads on disk under ``root/MOSAIC/X-Y.tif``; several processes may share the folder."""

    root: Path
    grid: Grid = field(default_factory=Grid)
    _locks: dict[Path, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    _slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_RENDERED_AT_ONCE))

    def file(self, mosaic: str, x: int, y: int) -> Path:
        """The file of a quad; the first to ask for it renders it, others wait."""
        path = self.root / mosaic / f"{quad_name(x, y)}.tif"
        with self._locks[path]:
            if not path.exists():
                with self._slots:
                    bands = 4 if WITHOUT_ALPHA in mosaic else 5
                    write_quad(path, self.grid, x, y, render_quad(self.grid, x, y, mosaic)[:bands])
        return path
