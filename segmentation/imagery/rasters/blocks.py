"""The blocks of GeoTIFFs: files that hold only some of theirs, and blocks that came as they were sent."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import rasterio
from rasterio.enums import Compression, Interleaving
from rasterio.windows import Window

from segmentation.geo.geotiffs import block_extents


def sparse_blocks(side_px: int) -> dict[str, Any]:
    """How to write a GeoTIFF of which only some blocks are there, as rasterio takes it; the others take no space."""
    return {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": side_px,
        "blockysize": side_px,
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 1,
        "interleave": "band",
        "sparse_ok": True,
    }


def require_intact(
    raster: rasterio.DatasetReader, windows: Sequence[Window], read: Callable[[int, int], bytes]
) -> None:
    """Decompress the blocks of all bands down to zlib's checksum, where they have one.

    GDAL leaves the checksum out: half of all damage would go unnoticed.

    Args:
        raster: whose blocks they are.
        windows: touch the blocks in question, in pixels of the raster.
        read: gives the bytes of the file from one position up to another.

    Raises:
        zlib.error: a block is damaged.
    """
    if raster.compression != Compression.deflate:
        return
    # Interleaved by pixel, a block holds all bands.
    bands = raster.indexes if raster.interleaving == Interleaving.band else raster.indexes[:1]
    for band in bands:
        for offset, size in block_extents(raster, band, windows):
            zlib.decompress(read(offset, offset + size))
