"""Parts of a quad instead of all of it: only the blocks that windows need are read, by HTTP range requests.

They are kept in a sparse GeoTIFF of the quad's size, so that what reads quads need not know how they came.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import rasterio
from rasterio.enums import Compression, Interleaving
from rasterio.errors import RasterioError
from rasterio.windows import Window

from segmentation.core.errors import PipelineError
from segmentation.geo.geotiffs import block_extents, new_geotiff
from segmentation.geo.grid import BLOCK_PX, QUAD_PX, Grid
from segmentation.imagery.planet.quads import check_layout
from segmentation.imagery.web.client import Web

# Names the blocks that a sparse quad holds, so that nobody takes it for a whole one.
PARTIAL_TAG = "BLOCKS"

REMOTE_NAME = "quad.tif"
_BLOCKS_ACROSS = QUAD_PX // BLOCK_PX

# Small reads (a TIFF's directory) are rounded up to this, so that they become few requests.
_LEAST_BYTES = 1 << 16
# Blocks of a row follow each other but for a few bytes that say how long they are.
_GAP_BYTES = 1 << 12


class RemoteFile:
    """A remote file that is read in parts; every part is fetched once.

    Args:
        web: sends the requests.
        link: where the file is, as the API gives it; redirects are followed and remembered while they last.

    Attributes:
        size: bytes of the file.
        failure: why a part could not be read.

    Raises:
        NoRanges: the server sends whole files only.
    """

    def __init__(self, web: Web, link: str):
        self._web, self._link = web, link
        self.failure: PipelineError | None = None
        head, self.size, self._address = web.part(link, 0, _LEAST_BYTES)
        self._parts = {0: head}

    def between(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``; none after a failure."""
        for first, part in self._parts.items():
            if first <= start and end <= first + len(part):
                return part[start - first : end - first]
        length = min(max(end - start, _LEAST_BYTES), self.size - start)
        try:
            part, _, self._address = self._web.part(self._link, start, length, self._address)
        except PipelineError as error:
            # GDAL calls this from C, where an exception would be lost: it sees a short read, the caller the reason.
            self.failure = error
            return b""
        self._parts[start] = part
        return part[: end - start]

    def fetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Read spans (first byte, end) of the file ahead, those that nearly follow each other in one request.

        Raises:
            PipelineError: it failed for good.
        """
        spans = sorted(spans)
        while spans:
            start, end = spans.pop(0)
            while spans and spans[0][0] <= end + _GAP_BYTES:
                end = max(end, spans.pop(0)[1])
            self.between(start, end)
            if self.failure is not None:
                raise self.failure

    def forget(self) -> None:
        """Let go of all parts but the first, which holds the file's directory."""
        self._parts = {0: self._parts[0]}

    def opener(self, path: str, mode: str = "rb") -> _View:
        """What ``rasterio.open`` opens the file with; there are no files beside it."""
        if not path.endswith(REMOTE_NAME) or "w" in mode:
            raise FileNotFoundError(path)
        return _View(self)


class _View(io.RawIOBase):
    """A remote file as Python's files are read."""

    def __init__(self, remote: RemoteFile):
        self._remote = remote
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._remote.size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._remote.size if size < 0 else min(self._position + size, self._remote.size)
        content = self._remote.between(self._position, end) if end > self._position else b""
        self._position += len(content)
        return content


def fetch_blocks(web: Web, link: str, target: Path, blocks: Sequence[int], grid: Grid, x: int, y: int) -> None:
    """Fetch some blocks of a quad into a sparse GeoTIFF, whole and checked or not at all.

    Args:
        web: sends the requests.
        link: of the quad's download, as the API gives it.
        target: the GeoTIFF to write.
        blocks: numbers of the blocks, see ``BLOCK_PX``.
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
            _check_parts(remote, quad, windows)
            with new_geotiff(target, **_sparse_profile(quad)) as local:
                local.update_tags(**{PARTIAL_TAG: " ".join(map(str, blocks))})
                for window in windows:
                    local.write(quad.read(window=window), window=window)
    except (RasterioError, ValueError, zlib.error) as error:
        raise remote.failure or PipelineError(f"blocks of {target.stem}: not a usable quad: {error}") from None


def _block_window(block: int) -> Window:
    row, col = divmod(block, _BLOCKS_ACROSS)
    return Window(col * BLOCK_PX, row * BLOCK_PX, BLOCK_PX, BLOCK_PX)


def _check_parts(remote: RemoteFile, quad: rasterio.DatasetReader, windows: Sequence[Window]) -> None:
    """Decompress the blocks down to zlib's checksum, which GDAL leaves out; it then reads them from memory."""
    if quad.compression != Compression.deflate:
        return
    for band in quad.indexes if quad.interleaving == Interleaving.band else quad.indexes[:1]:
        for offset, size in block_extents(quad, band, windows):
            zlib.decompress(remote.between(offset, offset + size))


def sparse_blocks(side_px: int) -> dict:
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


def _sparse_profile(quad: rasterio.DatasetReader) -> dict:
    return {
        "width": quad.width,
        "height": quad.height,
        "count": quad.count,
        "dtype": "uint16",
        "crs": quad.crs,
        "transform": quad.transform,
        **sparse_blocks(BLOCK_PX),
    }
