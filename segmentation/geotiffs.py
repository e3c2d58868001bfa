"""GeoTIFFs of ours: written so that a full disk is noticed, and looked through for blocks that are not there."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Compression, Interleaving
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter, MemoryFile
from rasterio.windows import Window

from segmentation.errors import DamagedFile, DiskFull
from segmentation.quads import block_extents
from segmentation.workspace import whole_file


@contextmanager
def new_geotiff(path: Path, *, on_disk: bool = True, **profile: Any) -> Iterator[DatasetWriter]:
    """A GeoTIFF to fill; it is written whole when the block ends well.

    GDAL makes it in memory and Python writes the bytes: where a disk is full GDAL closes a file without a word, cut
    off or empty.

    Args:
        path: of the file.
        on_disk: see ``whole_file``.
        profile: as rasterio takes it.

    Raises:
        DiskFull: there is no room.
    """
    with MemoryFile(ext=path.suffix) as memory:
        with memory.open(**profile) as raster:
            yield raster
        with whole_file(path, on_disk=on_disk) as partial:
            partial.write_bytes(memory.getbuffer())


def check_written(path: Path, blocks: Collection[tuple[int, Window]]) -> None:
    """Make sure that blocks which GDAL has written to a file on disk are in it.

    Args:
        path: of a GeoTIFF of which only some blocks are there.
        blocks: bands (from 1) and places of blocks that hold data.

    Raises:
        DiskFull: one of them is not.
    """
    reason = damage(path, sparse=True)
    if reason is None:
        with rasterio.open(path) as raster:
            lost = sum(not any(block_extents(raster, band, [window])) for band, window in blocks)
        reason = f"{lost} blocks are missing" if lost else None
    if reason is not None:
        raise DiskFull(f"{path} was not written whole ({reason}): is the disk full? Make room, then run again")


@contextmanager
def written_by_gdal(path: Path) -> Iterator[None]:
    """Tell what GDAL cannot write from what it cannot read.

    Raises:
        DiskFull: it cannot write.
    """
    try:
        yield
    except RasterioError as error:
        raise DiskFull(f"{path} cannot be written ({error}): is the disk full? Make room, then run again") from None


def read_whole(path: Path, remedy: str) -> np.ndarray:
    """All bands of a file of ours, (bands, h, w).

    Args:
        path: of a GeoTIFF without missing blocks.
        remedy: what the user does where it is damaged.

    Raises:
        DamagedFile: it cannot be read, or not all of it.
    """
    reason = damage(path)
    if reason is None:
        try:
            with rasterio.open(path) as raster:
                return raster.read()
        except RasterioError as error:
            reason = str(error)
    raise DamagedFile(path, reason, remedy)


def damage(path: Path, *, sparse: bool = False) -> str | None:
    """What is wrong with a file that is there, None if all of it can be read.

    GDAL reads a block whose place was never written down as if it had no data, and one whose checksum is wrong as it
    is: every block has to have a place within the file, and to be what its checksum says.

    Args:
        path: of a GeoTIFF of ours.
        sparse: blocks may be missing.
    """
    try:
        with rasterio.open(path) as raster, path.open("rb") as file:
            size_bytes = path.stat().st_size
            for band in raster.indexes if raster.interleaving == Interleaving.band else raster.indexes[:1]:
                extents = list(block_extents(raster, band, [Window(0, 0, raster.width, raster.height)]))
                if not sparse and len(extents) < _count_blocks(raster, band):
                    return f"{_count_blocks(raster, band) - len(extents)} blocks are missing"
                for offset, size in extents:
                    if offset + size > size_bytes:
                        return f"cut off at {size_bytes} bytes"
                    if raster.compression == Compression.deflate:
                        file.seek(offset)
                        zlib.decompress(file.read(size))
    except (RasterioError, OSError, zlib.error) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _count_blocks(raster: rasterio.DatasetReader, band: int) -> int:
    height, width = raster.block_shapes[band - 1]
    return -(-raster.height // height) * -(-raster.width // width)
