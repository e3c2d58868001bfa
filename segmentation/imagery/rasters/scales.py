"""How the values of a raster file become reflectance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio

from segmentation.core.errors import PipelineError
from segmentation.imagery.rasters.quads import is_planet_quad
from segmentation.imagery.reflectance import REFLECTANCE_SCALE

# Values are reflectance, percent of it, or more of them: no scale is larger than this.
LARGEST_SCALE = 1.0
# Reflectance of the brightest cloud is little more than 1.
BRIGHTEST = 2.0
SAY_THE_SCALE = (
    "say it with --reflectance-scale (0.0001 where they are reflectance x 10,000, 1 where they are reflectance)"
)


@dataclass(frozen=True)
class Reflectance:
    """How values become reflectance: ``value * scale + offset``."""

    scale: float
    offset: float = 0.0

    def __str__(self) -> str:
        return f"{self.scale:g},{self.offset:g}" if self.offset else f"{self.scale:g}"


def reflectances_of(
    file: rasterio.DatasetReader, bands: Sequence[int], given: Reflectance | None = None
) -> list[Reflectance]:
    """How the values of each band become reflectance.

    Args:
        file: opened.
        bands: 1-based.
        given: by the user; None to go by the file's scales and offsets.

    Raises:
        PipelineError: the file does not say it, or what it says cannot be meant.
    """
    if given is None and is_planet_quad(file):
        given = Reflectance(REFLECTANCE_SCALE)
    if given is not None:
        found = [given] * len(bands)
    else:
        found = [Reflectance(float(file.scales[band - 1]), float(file.offsets[band - 1])) for band in bands]
        if set(found) == {Reflectance(1.0)}:
            raise PipelineError(f"{file.name} does not say how its values become reflectance: {SAY_THE_SCALE}")
    for band, reflectance in zip(bands, found, strict=True):
        _require_plausible(file, band, reflectance)
    return found


def _require_plausible(file: rasterio.DatasetReader, band: int, reflectance: Reflectance) -> None:
    """Make sure that a scale can be meant: reflectance is 0 to 1, with little beyond.

    Raises:
        PipelineError: it cannot.
    """
    said = f"{file.name}: band {band} would become reflectance by {reflectance}"
    if not (np.isfinite(reflectance.offset) and 0 < reflectance.scale <= LARGEST_SCALE):
        raise PipelineError(f"{said}, which no values need: {SAY_THE_SCALE}")
    if reflectance.scale >= 1 and np.dtype(file.dtypes[band - 1]).kind in "iu":
        raise PipelineError(f"{said}, but its values are whole numbers: {SAY_THE_SCALE}")
