"""Fetching the parts of one Sentinel-2 tile that windows need, by range requests, into one sparse GeoTIFF."""

from __future__ import annotations

import logging
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from threading import Event

import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from segmentation.core.errors import DiskFull, PipelineError
from segmentation.core.files import whole_file
from segmentation.geo.geotiffs import block_extents, check_written, damage, require_intact, written_by_gdal
from segmentation.geo.grid import PLACE_TOLERANCE_PX, misplaced_px
from segmentation.imagery.cache import COVERED, FAILED, NOT_COVERED, PieceRecord, TileCache
from segmentation.imagery.rasters.blocks import sparse_blocks
from segmentation.imagery.sentinel2.tiles import TILE_BLOCK_PX, TILE_BLOCKS_ACROSS, TILE_PX, Tile, tile
from segmentation.imagery.web.client import NoRanges, NotGiven, Refused, Web
from segmentation.imagery.web.ranges import REMOTE_NAME, RemoteFile

# Red, green, blue and near infrared, in the order of the chips' bands.
BANDS = ("B04", "B03", "B02", "B08")
NO_DATA = -32768
# Reflectance by value; the files do not say it.
SCALE = 1e-4

log = logging.getLogger(__name__)


class TileFetcher:
    """Fetches tiles into a cache; may be called from several threads.

    Args:
        web: sends the requests.
        address: of the quarter, ``.../2021/Q3``.
        mosaic: its name.
        cache: where tiles end up.
    """

    def __init__(self, web: Web, address: str, mosaic: str, cache: TileCache):
        self._web, self._address, self._mosaic, self._cache = web, address, mosaic, cache
        self._given_up = Event()

    def give_up(self) -> None:
        """Wait no more for what another process is fetching."""
        self._given_up.set()

    def exists(self, name: str) -> bool:
        """Whether the server has a tile.

        Raises:
            PipelineError: it gives no answer to that.
        """
        try:
            with self._asking(name):
                RemoteFile(self._web, self._link(name, BANDS[0]))
        except _Missing:
            return False
        return True

    def fetch(self, name: str, blocks: Sequence[int]) -> PieceRecord:
        """Fetch the blocks of a tile that are not there yet, and keep and say what has become of it.

        Args:
            name: of the tile.
            blocks: numbers of the blocks that are needed, see ``tiles``.

        Raises:
            Refused: the server answers no request any more.
            GivenUp: nobody waits any more for what another process is fetching.
        """
        with self._cache.held(name, self._given_up):
            if self._cache.is_complete(name, blocks):
                return self._cache.record(name)
            record = self._outcome(name, blocks)
            self._cache.keep(name, record)
            return record

    def _outcome(self, name: str, blocks: Sequence[int]) -> PieceRecord:
        """Fetch the blocks of a tile that are not there yet and say what has become of it."""
        known = self._cache.get(name)
        path = self._cache.path(name)
        there: set[int] = set()
        if known is not None and known.status == COVERED and self._is_whole(path):
            there.update(known.blocks or ())
        try:
            self._fetch_file(tile(name), path, sorted(set(blocks) - there), add=bool(there))
        except _Missing:
            return PieceRecord(self._mosaic, NOT_COVERED, reason="no such tile")
        except (Refused, DiskFull):
            raise
        except PipelineError as error:
            log.warning("tile %s: %s", name, error)
            return PieceRecord(self._mosaic, FAILED, reason=str(error))
        in_file = sorted(int(number) for number in there.union(blocks))
        return PieceRecord(self._mosaic, COVERED, size=path.stat().st_size, blocks=in_file)

    def _is_whole(self, path: Path) -> bool:
        """Whether blocks can be added to a tile; a damaged one is told, and fetched anew."""
        if not path.exists():
            return False
        reason = damage(path, sparse=True)
        if reason is not None:
            log.warning("%s is damaged (%s) and fetched anew", path, reason)
        return reason is None

    def _link(self, name: str, band: str) -> str:
        return f"{self._address}/{name}/{band}.tif"

    def _fetch_file(self, place: Tile, path: Path, blocks: list[int], *, add: bool) -> None:
        """Write the blocks of all bands to the tile's file, which appears whole or stays as it was."""
        with whole_file(path) as partial:
            if add:
                shutil.copyfile(path, partial)
            written: list[tuple[int, Window]] = []
            with _opened(partial, None if add else _profile(place)) as local:
                for number, band in enumerate(BANDS, 1):
                    try:
                        with self._asking(place.name):
                            remote = RemoteFile(self._web, self._link(place.name, band))
                    except _Missing:
                        if number == 1:
                            raise
                        raise PipelineError(f"{band} is missing on the server, other bands are there") from None
                    written += _copy(remote, place, blocks, local, number)
            check_written(partial, written)

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """Tell a tile that the server does not have from other refusals.

        Raises:
            _Missing: the server has no such tile.
            PipelineError: it answers otherwise, or sends whole files only.
        """
        try:
            yield
        except NotGiven as refusal:
            if refusal.status == 404:
                raise _Missing from None
            raise PipelineError(f"the server answers {refusal.status} for tile {name}") from None
        except NoRanges as error:
            raise PipelineError(f"{error}; parts of files are needed: choose another --sentinel2-url") from None


class _Missing(Exception):
    """The server has no such tile."""


def _copy(
    remote: RemoteFile, place: Tile, blocks: Sequence[int], local: rasterio.io.DatasetWriter, number: int
) -> list[tuple[int, Window]]:
    """Copy blocks of one remote band to a band of the local file, a row of the remote file's blocks at a time.

    Returns:
        The band's number and the place of every block that holds data.
    """
    written = []
    try:
        with rasterio.open(REMOTE_NAME, opener=remote.opener) as source:
            _check_layout(source, place)
            height, _ = source.block_shapes[0]
            windows = [_block_window(block) for block in blocks]
            for _, row in groupby(windows, lambda window: window.row_off // height):
                together = list(row)
                extents = [(offset, offset + size) for offset, size in block_extents(source, 1, together)]
                remote.fetch(extents)
                require_intact(source, together, remote.between)
                for window in together:
                    pixels = source.read(1, window=window)
                    with written_by_gdal(Path(local.name)):
                        local.write(pixels, number, window=window)
                    if (pixels != NO_DATA).any():
                        written.append((number, window))
                remote.forget()
    except (RasterioError, ValueError, zlib.error) as error:
        raise remote.failure or PipelineError(f"not a usable tile: {error}") from None
    return written


@contextmanager
def _opened(path: Path, profile: dict | None) -> Iterator[rasterio.io.DatasetWriter]:
    """A tile's file to write blocks to, a new one where there is a profile."""
    with written_by_gdal(path):
        local = rasterio.open(path, "r+") if profile is None else rasterio.open(path, "w", **profile)
    try:
        yield local
    finally:
        with written_by_gdal(path):
            local.close()


def _check_layout(source: rasterio.DatasetReader, place: Tile) -> None:
    """Make sure that a file is what its name says.

    Raises:
        ValueError: it is not; the message says why.
    """
    if (source.width, source.height, source.count, source.dtypes[0]) != (TILE_PX, TILE_PX, 1, "int16"):
        raise ValueError(f"{source.count} bands of {source.width} x {source.height} {source.dtypes[0]}")
    if source.crs != f"EPSG:{place.epsg}":
        raise ValueError(f"CRS {source.crs} instead of EPSG:{place.epsg}")
    off_px = misplaced_px(source.transform, place.transform, TILE_PX, TILE_PX)
    if not off_px <= PLACE_TOLERANCE_PX:
        raise ValueError(f"it begins at {source.transform.c}, {source.transform.f} m, not where its name says")


def _block_window(block: int) -> Window:
    row, col = divmod(int(block), TILE_BLOCKS_ACROSS)
    left, top = col * TILE_BLOCK_PX, row * TILE_BLOCK_PX
    return Window(left, top, min(TILE_BLOCK_PX, TILE_PX - left), min(TILE_BLOCK_PX, TILE_PX - top))


def _profile(place: Tile) -> dict:
    return {
        "width": TILE_PX,
        "height": TILE_PX,
        "count": len(BANDS),
        "dtype": "int16",
        "nodata": NO_DATA,
        "crs": f"EPSG:{place.epsg}",
        "transform": place.transform,
        **sparse_blocks(TILE_BLOCK_PX),
    }
