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
from segmentation.imagery.planet.quads import REFLECTANCE_SCALE, Pixels

BAND_NAMES = ("Red", "Green", "Blue", "NIR")
# DN 1 is reflectance 0, DN 255 is 0.508 in the visible and 0.635 in the near infrared: bright tailings reach about
# 0.35 to 0.40 (99.9 % of the pixels of real tailings scenes lie below 0.37) and stay unsaturated.
BAND_SCALES = (0.002, 0.002, 0.002, 0.0025)
NO_DATA = 0

STRETCH, PUBLISHED = "stretch", "published"

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


def encode(pixels: Pixels, encoding: str = STRETCH) -> np.ndarray:
    """Reflectance to DN: (bands, 512, 512) uint8, 0 where not valid.

    ``STRETCH`` gives 1 to 255 elsewhere. ``PUBLISHED`` repeats what the study's scripts did to reflectance x 10000:
    255 times that, wrapped around at 16 bits, of which readers of the chips took the upper 8.
    """
    if encoding == PUBLISHED:
        # Clipped to what quads hold: a cast would turn what is below or beyond into some other number.
        quad_dn = np.clip(np.rint(pixels.reflectance / np.float32(REFLECTANCE_SCALE)), 0, 65535).astype("uint32")
        dn = ((255 * quad_dn % 65536) >> 8).astype("uint8")
    else:
        scales = np.array(BAND_SCALES[: len(pixels.reflectance)], "float32")[:, None, None]
        dn = np.clip(np.rint(pixels.reflectance / scales) + 1, 1, 255).astype("uint8")
    return np.where(pixels.valid, dn, np.uint8(NO_DATA))


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
    """Where a chip has data: (512, 512) bool."""
    return read_chip(path).any(axis=0)
