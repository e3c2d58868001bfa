"""Probabilities of mine, kept a file a window so that another threshold needs no second inference.

Levels: uint8, 0 to 250 for 0 to 1, 255 where the chip has no data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio import Affine
from scipy import ndimage

from segmentation.chips.chip import PROFILE
from segmentation.core.errors import DamagedFile
from segmentation.geo.geotiffs import new_geotiff, read_whole
from segmentation.geo.grid import CHIP_PX

CERTAIN = 250
NO_DATA = 255
_REMEDY = "run step 3 again, which makes it anew"


@dataclass(frozen=True)
class Prediction:
    """A window's probability file and where the window lies in the world's pixel grid (see ``grid.Windows``)."""

    probability: Path
    col: int
    row: int
    side_px: int

    @property
    def pixel_px(self) -> int:
        """Side of a chip's pixel in grid pixels."""
        return self.side_px // CHIP_PX

    def read(self) -> np.ndarray:
        """The window's levels, (512, 512) uint8."""
        return read_probability(self.probability)


def encode(levels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Levels (h, w) uint8, 0 to 250, where a chip is valid (h, w) bool; elsewhere no data, whatever the model says."""
    return np.where(valid, levels, np.uint8(NO_DATA))


def write_probability(path: Path, levels: np.ndarray, transform: Affine) -> None:
    """Write a window's probabilities whole.

    Args:
        path: the GeoTIFF to write.
        levels: (512, 512) uint8, from ``encode``.
        transform: of the chip, EPSG:3857.
    """
    with new_geotiff(path, on_disk=False, **PROFILE, count=1, transform=transform, nodata=NO_DATA, predictor=2) as file:
        file.write(levels, 1)
        file.scales = (1 / CERTAIN,)
        file.set_band_description(1, "probability of mine")


def read_probability(path: Path) -> np.ndarray:
    """A window's levels as written: (512, 512) uint8.

    Raises:
        DamagedFile: not all of it can be read.
    """
    levels = read_whole(path, _REMEDY)[0]
    if levels.shape != (CHIP_PX, CHIP_PX) or levels.dtype != np.uint8:
        height, width = levels.shape
        reason = f"{width} x {height} pixels of {levels.dtype}, not {CHIP_PX} x {CHIP_PX} of uint8"
        raise DamagedFile(path, reason, _REMEDY)
    return levels


def damage_of_probability(path: Path) -> str | None:
    """What is wrong with a window's probability file that is there; None if all of it can be read."""
    try:
        read_probability(path)
    except DamagedFile as error:
        return error.reason
    return None


def spread(levels: np.ndarray) -> np.ndarray:
    """Levels (h, w) with those of the nearest pixel that has data where there is none."""
    seen = levels != NO_DATA
    if seen.all() or not seen.any():
        return levels
    return levels[tuple(ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True))]
