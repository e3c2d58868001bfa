"""GeoTIFFs of ours: written so that a full disk is noticed, and looked through for blocks that are not there."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import rasterio
from rasterio.enums import Compression, Interleaving
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter, MemoryFile
from rasterio.windows import Window

from segmentation.core.errors import DamagedFile, DiskFull
from segmentation.core.files import whole_file

# Bytes of a value by the number of its type (TIFF 6.0, section 2).
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}


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
            partial.write_bytes(bytes(memory.getbuffer()))  # a copy, as the memory goes before an error does


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


def damaged(
    paths: Sequence[Path],
    threads: int,
    *,
    damage_of: Callable[[Path], str | None] | None = None,
    done: Callable[[], object] = lambda: None,
) -> list[DamagedFile]:
    """Those of some files that cannot be read, or not all of them; the errors are not raised.

    Args:
        paths: of GeoTIFFs of ours without missing blocks.
        threads: to look through them in.
        damage_of: what is wrong with a file, None if nothing is; ``damage`` unless a kind of file has to be more.
        done: called after each file.
    """
    found = []
    with ThreadPoolExecutor(threads) as pool:
        for path, reason in zip(paths, pool.map(damage_of or damage, paths), strict=True):
            if reason is not None:
                found.append(DamagedFile(path, reason, "run the step that made it again"))
            done()
    return found


def damage(path: Path, *, sparse: bool = False) -> str | None:
    """What is wrong with a file that is there, None if all of it can be read.

    GDAL reads a block whose place was never written down as if it had no data, and one whose checksum is wrong as it
    is: every block has to have a place within the file, and to be what its checksum says.

    Args:
        path: of a GeoTIFF of ours.
        sparse: blocks may be missing.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            if _end_of_tags(file) > size_bytes:
                return f"cut off at {size_bytes} bytes"
        with rasterio.open(path) as raster:
            lost = _what_is_lost(raster, size_bytes, sparse=sparse)
            if lost is None:
                check_checksums(path, raster)
            return lost
    except (RasterioError, OSError, struct.error, zlib.error) as error:
        return " ".join(str(error).split()) or type(error).__name__


def _what_is_lost(raster: rasterio.DatasetReader, size_bytes: int, *, sparse: bool) -> str | None:
    """What a file lacks by its own tables, None if it is all there."""
    if raster.crs is None:
        return "its CRS is missing"
    for band in _bands_stored_apart(raster):
        extents = list(block_extents(raster, band, [_all_of(raster)]))
        missing = _count_blocks(raster, band) - len(extents)
        if missing > 0 and not sparse:
            return f"{missing} blocks are missing"
        if any(offset + size > size_bytes for offset, size in extents):
            return f"cut off at {size_bytes} bytes"
    return None


def check_checksums(path: Path, raster: rasterio.DatasetReader) -> None:
    """Make sure that every block of a GeoTIFF on disk is what was written, see ``require_intact``.

    Args:
        path: of the GeoTIFF.
        raster: the same, opened.

    Raises:
        zlib.error: a block is not what its checksum says.
    """
    with path.open("rb") as file:

        def read(start: int, end: int) -> bytes:
            file.seek(start)
            return file.read(end - start)

        require_intact(raster, [_all_of(raster)], read)


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
    for band in _bands_stored_apart(raster):
        for offset, size in block_extents(raster, band, windows):
            zlib.decompress(read(offset, offset + size))


def _bands_stored_apart(raster: rasterio.DatasetReader) -> Sequence[int]:
    """The bands that have blocks of their own; where all share the same blocks, the first stands for them."""
    return raster.indexes if raster.interleaving == Interleaving.band else raster.indexes[:1]


def _all_of(raster: rasterio.DatasetReader) -> Window:
    return Window(0, 0, raster.width, raster.height)


def _end_of_tags(file: BinaryIO) -> int:
    """Where the values of a TIFF's first directory end, which readers do without if they are not there.

    TIFF 6.0, section 2: the directory's place, its number of entries, and entries of 12 bytes: tag, type, number of
    values, and their place where they take more than 4 bytes.

    Raises:
        struct.error: the file ends before the directory does.
    """
    order, version, start = struct.unpack("<2sHI", file.read(8))
    if (order, version) != (b"II", 42):
        return 0  # not as GDAL writes files of less than 4 GB on our machines
    file.seek(start)
    [entries] = struct.unpack("<H", file.read(2))
    end = 0
    for _, kind, count, place in struct.iter_unpack("<HHII", file.read(12 * entries)):
        size = _TYPE_BYTES.get(kind, 1) * count
        if size > 4:
            end = max(end, place + size)
    return end


def _count_blocks(raster: rasterio.DatasetReader, band: int) -> int:
    height, width = raster.block_shapes[band - 1]
    return -(-raster.height // height) * -(-raster.width // width)


def block_extents(raster: rasterio.DatasetReader, band: int, windows: Sequence[Window]) -> Iterator[tuple[int, int]]:
    """Offset and size in bytes of the compressed blocks of a band that windows touch, each once, none without data."""
    height, width = raster.block_shapes[band - 1]
    touched: set[tuple[int, int]] = set()
    for part in windows:
        rows = range(part.row_off // height, -(-(part.row_off + part.height) // height))
        cols = range(part.col_off // width, -(-(part.col_off + part.width) // width))
        touched.update(product(rows, cols))
    for row, col in sorted(touched):
        offset = raster.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band)
        size = raster.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band)
        # GDAL knows neither of a block that was never written.
        if size and int(size):
            yield int(offset or 0), int(size)
