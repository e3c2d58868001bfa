"""Blocks of a quad instead of all of it: only those that windows need are read, by HTTP range requests.

They are kept in a sparse GeoTIFF of the quad's size, so that what reads quads need not know how they came.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from segmentation.core.errors import PipelineError
from segmentation.geo.geotiffs import new_geotiff, require_intact
from segmentation.geo.grid import QUAD_BLOCK_PX, QUAD_PX, Grid
from segmentation.imagery.planet.quads import check_layout
from segmentation.imagery.rasters.blocks import sparse_blocks
from segmentation.imagery.web.client import Web
from segmentation.imagery.web.ranges import REMOTE_NAME, RemoteFile

# Names the blocks that a sparse quad holds, so that nobody takes it for a whole one.
PARTIAL_TAG = "BLOCKS"
# Blocks of a whole quad.
QUAD_BLOCKS = (QUAD_PX // QUAD_BLOCK_PX) ** 2

_BLOCKS_ACROSS = QUAD_PX // QUAD_BLOCK_PX


def fetch_blocks(web: Web, link: str, target: Path, blocks: Sequence[int], grid: Grid, x: int, y: int) -> None:
    """Fetch some blocks of a quad into a sparse GeoTIFF, whole and checked or not at all.

    Args:
        web: sends the requests.
        link: of the quad's download, as the API gives it.
        target: the GeoTIFF to write.
        blocks: numbers of the blocks, see ``Grid.blocks_of``.
        grid: the mosaic's pixel grid.
        x: of the quad.
        y: of the quad, from the south.

    Raises:
        NoRanges: the server sends whole files only.
        NotGiven: the API does not give this quad.
        PipelineError: it failed for good.
    """
    remote = RemoteFile(web, link)
    try:
        with rasterio.open(REMOTE_NAME, opener=remote.opener) as quad:
            check_layout(quad, grid, x, y)
            windows = [_block_window(block) for block in blocks]
            # GDAL reads from memory what was read here.
            require_intact(quad, windows, remote.between)
            with new_geotiff(target, **_sparse_profile(quad)) as local:
                local.update_tags(**{PARTIAL_TAG: " ".join(map(str, blocks))})
                for window in windows:
                    local.write(quad.read(window=window), window=window)
    except (RasterioError, ValueError, zlib.error) as error:
        raise remote.failure or PipelineError(f"blocks of {target.stem}: not a usable quad: {error}") from None


def _block_window(block: int) -> Window:
    row, col = divmod(block, _BLOCKS_ACROSS)
    return Window(col * QUAD_BLOCK_PX, row * QUAD_BLOCK_PX, QUAD_BLOCK_PX, QUAD_BLOCK_PX)


def _sparse_profile(quad: rasterio.DatasetReader) -> dict[str, Any]:
    return {
        "width": quad.width,
        "height": quad.height,
        "count": quad.count,
        "dtype": "uint16",
        "crs": quad.crs,
        "transform": quad.transform,
        **sparse_blocks(QUAD_BLOCK_PX),
    }
