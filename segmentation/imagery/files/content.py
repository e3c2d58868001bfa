"""What raster files hold, by a look at a fixed sample of their blocks: a fingerprint, and figures to judge them by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Compression, Interleaving
from rasterio.windows import Window

from segmentation.core.errors import PipelineError
from segmentation.imagery.rasters.description import UNREADABLE, Raster, opened
from segmentation.imagery.rasters.values import read_values

# Pixels of a file that are looked at: all of a file of 2,000 x 2,000, 16 blocks of 512 x 512 of a larger one. That
# takes a fraction of a second however large the file is.
SAMPLE_PX = 16 * 512 * 512
# Pixels among them from which percentiles are taken.
_FIGURES_PX = 100_000
_PERCENTILES = (5, 50, 99)
# Files beside a raster that change nothing of its pixels: statistics and overviews, which viewers write at will.
_BESIDE = (".aux.xml", ".ovr")


@dataclass(frozen=True)
class Content:
    """What a sample of a file's pixels shows.

    Attributes:
        fingerprint: SHA-256 in hexadecimal, see ``examine``.
        dtype: of the first band.
        data: number of pixels looked at that count as data.
        fills: share of these that have one value in all bands, by value: always 0, and whatever a corner of the file
            shows.
        percentiles: (3, bands) float64, the 5th, 50th and 99th of the reflectance of the pixels that count as data but
            are no fill; None where there are none.
    """

    fingerprint: str
    dtype: str
    data: int
    fills: dict[float, float]
    percentiles: np.ndarray | None


def examine(raster: Raster) -> Content:
    """Look at a fixed sample of a file's blocks.

    The fingerprint is of what is read and how, not of the file: its size, CRS, transform, bands, scales and no-data
    values, the values of a fixed sample of blocks spread over the whole file (all of a small one), and, where blocks
    are compressed, the length of every block. So it stays the same where a file is touched, copied, given statistics
    or overviews; and it changes, with next to no exception, where pixels do, since a block of other pixels nearly
    always has another compressed length. What would be missed is a change of a few pixels within a large file that is
    not compressed. A VRT counts with the sample of every file that it is made of. Hashing all bytes would take minutes
    for every 100 GB, at every start.

    Raises:
        PipelineError: the file cannot be read.
    """
    digest = hashlib.sha256(repr(_read_how(raster)).encode())
    try:
        with opened(raster.path) as file:
            _add_layout(digest, file)
            values, data, corners = _sample(digest, file, raster)
            dtype = file.dtypes[raster.bands[0] - 1]
            for source in _sources(file):
                digest.update(source.encode())
    except UNREADABLE as error:
        raise PipelineError(f"{raster.path} cannot be read as a raster: {' '.join(str(error).split())}") from None
    count = int(data.sum())
    ground = data.copy()
    shares = {}
    for value in _fill_values(corners):
        filled = data & (values == np.float32(value)).all(axis=0)
        ground &= ~filled
        shares[value] = float(filled.sum() / max(count, 1))
    step = -(-len(data) // _FIGURES_PX)
    some_ground = values[:, ::step][:, ground[::step]]
    return Content(digest.hexdigest(), dtype, count, shares, _percentiles(some_ground, raster))


def by_time_of_change(rasters: Sequence[Raster]) -> str:
    """The fingerprint that earlier versions kept: of the files' names, sizes and times of change."""
    digest = hashlib.sha256()
    for raster in rasters:
        known = raster.path.stat()
        read = raster.bands, raster.scales, raster.offsets
        digest.update(f"{raster.path.name} {known.st_size} {known.st_mtime_ns} {read}\n".encode())
    return digest.hexdigest()[:16]


def _read_how(raster: Raster) -> tuple:
    return raster.bands, raster.scales, raster.offsets, raster.alpha, raster.no_data, raster.all_bands, raster.masked


def _add_layout(digest: hashlib._Hash, file: rasterio.DatasetReader) -> None:
    """Add what a file says of itself, and the lengths of its compressed blocks."""
    layout = (file.width, file.height, file.dtypes, str(file.crs), tuple(file.transform))
    digest.update(repr(layout).encode())
    if file.driver == "GTiff" and file.compression not in {None, Compression.none}:
        lengths = np.fromiter(_block_lengths(file), "int64")
        digest.update(lengths.astype("<i8").tobytes())


def _block_lengths(file: rasterio.DatasetReader) -> Iterator[int]:
    """Bytes of every block of a GeoTIFF, 0 for one that is not there."""
    height, width = file.block_shapes[0]
    by_pixel = file.interleaving == Interleaving.pixel
    for band in file.indexes[:1] if by_pixel else file.indexes:
        for row in range(-(-file.height // height)):
            for col in range(-(-file.width // width)):
                yield int(file.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band) or 0)


def _sample(
    digest: hashlib._Hash, file: rasterio.DatasetReader, raster: Raster
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the sampled blocks and add them to a digest.

    Returns:
        (bands, n) float32 values and (n,) bool, where they are data; (bands, 4) float32, the corners of the file that
        are data, NaN where they are not.
    """
    values, data = [], []
    for window in sample_windows(file):
        read, seen = read_values(file, raster, window)
        digest.update(np.where(seen, read, 0).astype("<f4").tobytes())
        digest.update(np.packbits(seen).tobytes())
        values.append(read.reshape(len(read), -1))
        data.append(seen.ravel())
    corners = []
    for col in (0, file.width - 1):
        for row in (0, file.height - 1):
            read, seen = read_values(file, raster, Window(col, row, 1, 1))
            corners.append(np.where(seen, read, np.nan).ravel())
    return np.concatenate(values, axis=1), np.concatenate(data), np.stack(corners, axis=1)


def sample_windows(file: rasterio.DatasetReader) -> list[Window]:
    """Windows of a file's blocks, spread evenly from its first corner to its last; all of them if it is small."""
    height, width = file.block_shapes[0]
    rows, cols = -(-file.height // height), -(-file.width // width)
    wanted = max(1, SAMPLE_PX // (height * width))
    down = across = max(1, int(np.sqrt(wanted)))
    if file.width * file.height <= SAMPLE_PX:
        down, across = rows, cols
    elif cols < across:
        down, across = wanted // cols, cols
    elif rows < down:
        down, across = rows, wanted // rows
    # A block may be a whole file; no more of one is held than of all others together.
    tallest = max(1, SAMPLE_PX // width)
    return [
        Window(left, top, min(width, file.width - left), min(height, tallest, file.height - top))
        for top in _spread(rows, down) * height
        for left in _spread(cols, across) * width
    ]


def _spread(count: int, wanted: int) -> np.ndarray:
    """Up to ``wanted`` of ``count`` positions, the first and the last among them, int64."""
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, max(wanted, 2)))).astype("int64"))


def _sources(file: rasterio.DatasetReader) -> Iterator[str]:
    """What the files hold that a VRT is made of, in order; the names of those that are elsewhere."""
    if file.driver != "VRT":
        return
    for name in file.files[1:]:
        path = Path(name)
        if name.lower().endswith(_BESIDE) or path == Path(file.name):
            continue
        yield _pixels_of(path, path.stat().st_mtime_ns) if path.is_file() else name


@lru_cache(maxsize=4096)
def _pixels_of(path: Path, modified_ns: int) -> str:
    """Fingerprint of all bands of a file, as they are."""
    with opened(path) as file:
        bands = tuple(file.indexes)
        everything = Raster(path, bands, (1.0,) * len(bands), (0.0,) * len(bands), masked=True)
        digest = hashlib.sha256()
        _add_layout(digest, file)
        _sample(digest, file, everything)
        for source in _sources(file):
            digest.update(source.encode())
    return digest.hexdigest()


def _fill_values(corners: np.ndarray) -> list[float]:
    """0, and what all bands of a corner have in common: (bands, 4) float32, NaN where a corner is no data."""
    alike = corners[0][(corners == corners[0]).all(axis=0)]
    return [0.0, *(float(value) for value in np.unique(alike) if value != 0)]


def _percentiles(values: np.ndarray, raster: Raster) -> np.ndarray | None:
    """Percentiles of reflectance, (3, bands) float64, of (bands, n) float32 values."""
    if not values.shape[1]:
        return None
    reflectance = values.astype("float64") * np.array(raster.scales)[:, None] + np.array(raster.offsets)[:, None]
    return np.percentile(reflectance, _PERCENTILES, axis=1)
