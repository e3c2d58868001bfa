"""Cutting one window into a chip and its mask: what a worker process of step 1 does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from rasterio import Affine

from segmentation.chips.chip import read_chip, write_chip
from segmentation.chips.mask import IGNORE, MINE, draw_mask, read_mask, write_mask
from segmentation.core.errors import DamagedFile
from segmentation.geo.grid import CHIP_PX, Grid
from segmentation.imagery.reflectance import NO_DATA, STRETCH, encode
from segmentation.windows.ground import valid_ground
from segmentation.windows.statuses import TOO_LITTLE_DATA, WRITTEN

if TYPE_CHECKING:
    from segmentation.imagery.source import WindowReader

# A chip with less than this share of valid pixels shows too little to learn from or to predict on.
LEAST_VALID = 0.05
# The status of a window until it is cut again.
DAMAGED = "damaged"


@dataclass(frozen=True)
class CutJob:
    """One window to cut: all that a worker process needs to know.

    Attributes:
        window_id: of the window; its files are called so.
        col: first pixel column on the grid, see ``geo.grid.Windows``.
        row: first pixel row.
        side_px: side in pixels of the grid, a multiple of ``CHIP_PX``.
        chip: where the chip is written.
        mask: where the mask is written; None for a year without masks.
        polygons_3857: (n,) polygons to draw into the mask, EPSG:3857.
        reader: of the imagery.
        grid: the imagery's pixel grid.
        tags: facts to keep in the chip.
        encoding: of the chip.
        anew: cut it even where its files are there, as one of them turned out to be damaged.
    """

    window_id: str
    col: int
    row: int
    side_px: int
    chip: Path
    mask: Path | None
    polygons_3857: np.ndarray
    reader: WindowReader
    grid: Grid
    tags: dict[str, str]
    encoding: str = STRETCH
    anew: bool = False


@dataclass(frozen=True)
class BandSums:
    """Sums over valid pixels from which mean and deviation follow, exact in whole numbers.

    Attributes:
        pixels: number of valid pixels.
        total: (bands,) sum of the DN.
        squares: (bands,) sum of their squares.
    """

    pixels: int
    total: np.ndarray
    squares: np.ndarray

    def __add__(self, other: BandSums) -> BandSums:
        return BandSums(self.pixels + other.pixels, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> np.ndarray:
        """(bands,) float64, mean DN."""
        return self.total / self.pixels

    @property
    def std(self) -> np.ndarray:
        """(bands,) float64, standard deviation of the DN."""
        return np.sqrt(self.squares / self.pixels - self.mean**2)


@dataclass(frozen=True)
class Outcome:
    """What became of a window.

    Attributes:
        window_id: of the window.
        status: see ``windows.record`` and ``imagery.cache``; ``DAMAGED`` until it is cut again.
        valid_share: of the chip's pixels.
        mine_share: of the valid pixels; None without mask.
        sums: over the chip's pixels; None without chip.
        ground: what the chip's valid pixels cover, EPSG:3857; None without chip, and where all are valid.
        damage: what cannot be read, of a window that is ``DAMAGED``.
    """

    window_id: str
    status: str
    valid_share: float = 0.0
    mine_share: float | None = None
    sums: BandSums | None = field(default=None, compare=False)
    ground: shapely.Polygon | shapely.MultiPolygon | None = None
    damage: DamagedFile | None = None


def cut_batch(jobs: list[CutJob]) -> list[Outcome]:
    """Cut windows that share quads, one after the other, so that each quad is opened once."""
    return [cut(job) for job in jobs]


def cut(job: CutJob) -> Outcome:
    """Read a window, write its mask and its chip; a window that has both is only measured.

    Where one of these files, or one that the imagery is read from, turns out to be damaged, the outcome says so.
    """
    try:
        return _measure(job) if _is_cut(job) else _cut(job)
    except DamagedFile as damage:
        return Outcome(job.window_id, DAMAGED, damage=damage)


def _is_cut(job: CutJob) -> bool:
    """Whether the files are there and may be taken as they are."""
    has_mask = job.mask is None or job.mask.exists()
    return job.chip.exists() and has_mask and not job.anew


def _measure(job: CutJob) -> Outcome:
    mask = None if job.mask is None else read_mask(job.mask)
    return _written(job, read_chip(job.chip), mask)


def _cut(job: CutJob) -> Outcome:
    pixels = job.reader.read(job.col, job.row, job.side_px)
    valid_share = float(pixels.valid.mean())
    if valid_share < LEAST_VALID:
        return Outcome(job.window_id, TOO_LITTLE_DATA, valid_share)
    transform = _transform(job)
    mask = None
    if job.mask is not None:
        mask = draw_mask(job.polygons_3857, transform, pixels.valid)
        write_mask(job.mask, mask, transform)
    dn = encode(pixels, job.encoding)
    write_chip(job.chip, dn, transform, job.tags, job.encoding)
    return _written(job, dn, mask)


def _transform(job: CutJob) -> Affine:
    """From the chip's pixels to EPSG:3857."""
    return job.grid.window_transform(job.col, job.row, job.side_px // CHIP_PX)


def _written(job: CutJob, dn: np.ndarray, mask: np.ndarray | None) -> Outcome:
    """The figures of a chip (bands, 512, 512) and its mask (512, 512)."""
    valid = np.any(dn != NO_DATA, axis=0)
    return Outcome(
        job.window_id,
        WRITTEN,
        valid_share=float(valid.mean()),
        mine_share=None if mask is None else _mine_share(mask),
        sums=_band_sums(dn, valid),
        ground=None if valid.all() else valid_ground(valid, _transform(job)),
    )


def _mine_share(mask: np.ndarray) -> float:
    """The share of mine of a mask's pixels with data; 0 where there are none."""
    mine, with_data = (mask == MINE).sum(), (mask != IGNORE).sum()
    return float(mine / max(with_data, 1))


def _band_sums(dn: np.ndarray, valid: np.ndarray) -> BandSums:
    # Counted by value, which is exact and fast: pixels without data are 0 and add nothing.
    counts = np.stack([np.bincount(band.ravel(), minlength=256) for band in dn])
    value = np.arange(256)
    return BandSums(int(valid.sum()), counts @ value, counts @ value**2)
