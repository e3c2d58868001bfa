"""Chips: one window's pixels as a 512 x 512 GeoTIFF that both MMSegmentation and QGIS open.

Encoding: uint8, bands red, green, blue and, where the source has it, NIR; 0 is no data, and
``reflectance = DN * scale + offset`` with the scale and offset stored in the file. The encoding of the published
scripts is there as well, for a checkpoint that was trained on it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rasterio import Affine
from rasterio.enums import ColorInterp

from segmentation.geo.geotiffs import new_geotiff, read_whole
from segmentation.geo.grid import CHIP_PX, CRS
from segmentation.imagery.reflectance import BAND_SCALES, NO_DATA, STRETCH

BAND_NAMES = ("Red", "Green", "Blue", "NIR")


PROFILE = {
    "driver": "GTiff",
    "dtype": "uint8",
    "width": CHIP_PX,
    "height": CHIP_PX,
    "crs": CRS,
    "compress": "deflate",
    "zlevel": 1,  # half the time of the default for 7 % more bytes
    "interleave": "pixel",
}


def write_chip(path: Path, dn: np.ndarray, transform: Affine, tags: dict[str, str], encoding: str = STRETCH) -> None:
    """Write a chip whole.

    Args:
        path: the GeoTIFF to write.
        dn: (bands, 512, 512) uint8, from ``encode``.
        transform: of the chip, EPSG:3857.
        tags: facts to keep in the file, such as the mosaic's name.
        encoding: of the DN; scale and offset are stored for ``STRETCH``.
    """
    count = len(dn)
    with new_geotiff(
        path,
        on_disk=False,
        **PROFILE,
        count=count,
        transform=transform,
        nodata=NO_DATA,
        predictor=2,
        photometric="RGB",
        alpha="NO",
    ) as chip:
        chip.write(dn)
        chip.descriptions = BAND_NAMES[:count]
        chip.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)[:count]
        if encoding == STRETCH:
            chip.scales = BAND_SCALES[:count]
            chip.offsets = tuple(-scale for scale in BAND_SCALES[:count])
        chip.update_tags(**tags)


def read_chip(path: Path) -> np.ndarray:
    """A chip as written: (bands, 512, 512) uint8.

    Raises:
        DamagedFile: not all of it can be read.
    """
    return read_whole(path, "run step 1 for its year again, which makes it anew")


def read_valid(path: Path) -> np.ndarray:
    """Where a chip has data: (512, 512) bool.

    Raises:
        DamagedFile: not all of it can be read.
    """
    return np.any(read_chip(path) != NO_DATA, axis=0)
