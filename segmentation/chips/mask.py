"""Masks: the literature polygons of a window, drawn on its chip's pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rasterio import Affine
from rasterio.features import rasterize

from segmentation.chips.chip import PROFILE
from segmentation.geo.geotiffs import new_geotiff, read_whole
from segmentation.geo.grid import CHIP_PX

BACKGROUND, MINE, IGNORE = 0, 1, 255
COLOURS = {BACKGROUND: (38, 70, 53, 255), MINE: (242, 143, 59, 255), IGNORE: (128, 128, 128, 255)}


def draw_mask(polygons_3857: np.ndarray, transform: Affine, valid: np.ndarray) -> np.ndarray:
    """Rasterise polygons: a pixel is mine where its centre lies inside one.

    Args:
        polygons_3857: (n,) shapely polygons in EPSG:3857, those that meet the window.
        transform: of the chip, EPSG:3857.
        valid: (512, 512) bool, where the chip has data.

    Returns:
        (512, 512) uint8: 0 background, 1 mine, 255 no data.
    """
    mask = np.full((CHIP_PX, CHIP_PX), BACKGROUND, "uint8")
    if len(polygons_3857):
        rasterize(polygons_3857, out=mask, transform=transform, default_value=MINE)
    return np.where(valid, mask, np.uint8(IGNORE))


def write_mask(path: Path, mask: np.ndarray, transform: Affine) -> None:
    """Write a mask whole, with a colour table so that it can be looked at.

    The file says nothing of a no-data value: readers that honour one would hide the ignored pixels.
    """
    with new_geotiff(path, on_disk=False, **PROFILE, count=1, transform=transform) as file:
        file.write(mask, 1)
        file.write_colormap(1, COLOURS)


def read_mask(path: Path) -> np.ndarray:
    """A mask as written: (512, 512) uint8.

    Raises:
        DamagedFile: not all of it can be read.
    """
    return read_whole(path, "run step 1 for the label year again, which makes it anew")[0]
