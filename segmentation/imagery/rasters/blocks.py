"""GeoTIFFs that hold only some of their blocks."""

from __future__ import annotations

from typing import Any


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
