"""Probabilities of mine, kept a file a window so that another threshold needs no second inference.

Encoding: uint8, 0 to 250 for 0 to 1, 255 where the chip has no data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio import Affine

from segmentation.chips import PROFILE
from segmentation.workspace import whole_file

CERTAIN = 250
NO_DATA = 255


def encode(probability: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Probabilities (h, w) float, 0 to 1, and validity (h, w) bool as uint8."""
    return np.where(valid, np.rint(probability * CERTAIN), NO_DATA).astype("uint8")


def write_probability(path: Path, encoded: np.ndarray, transform: Affine) -> None:
    """Write a window's probabilities whole.

    Args:
        path: the GeoTIFF to write.
        encoded: (512, 512) uint8, from ``encode``.
        transform: of the chip, EPSG:3857.
    """
    with (
        whole_file(path) as partial,
        rasterio.open(partial, "w", **PROFILE, count=1, transform=transform, nodata=NO_DATA, predictor=2) as file,
    ):
        file.write(encoded, 1)
        file.scales = (1 / CERTAIN,)
        file.set_band_description(1, "probability of mine")


def read_probability(path: Path) -> np.ndarray:
    """A window's probabilities as written: (512, 512) uint8."""
    with rasterio.open(path) as file:
        return file.read(1)
