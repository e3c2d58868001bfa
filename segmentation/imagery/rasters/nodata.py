"""Which values of a raster file mean no data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio
from rasterio.enums import MaskFlags

from segmentation.core.errors import PipelineError
from segmentation.imagery.rasters.quads import is_planet_quad
from segmentation.imagery.rasters.scales import BRIGHTEST, Reflectance

# What whole numbers of 8 and 16 bits end with; files of other types that were made from such have these values, too.
_WHOLE_NUMBER_LIMITS = {0, 255, 65535, -32768, 32767}


def no_data_values(
    file: rasterio.DatasetReader, bands: Sequence[int], alpha: int | None, given: float | None = None
) -> tuple[float, ...]:
    """The value of each band that means no data; none at all where no value does.

    Args:
        file: opened.
        bands: 1-based.
        alpha: band that is 0 where there is no data.
        given: by the user, NaN for none but what is not a number; None to go by the file's own.

    Raises:
        PipelineError: the bands cannot hold the given value.
    """
    if given is not None:
        for band in bands:
            _require_possible(file, given, file.dtypes[band - 1])
        return (given,) * len(bands)
    if is_planet_quad(file):
        return () if alpha else (0.0,) * len(bands)
    said = [file.nodatavals[band - 1] for band in bands]
    # Bands that say nothing are taken to mean what the others say.
    known = next((value for value in said if value is not None), None)
    return () if known is None else tuple(known if value is None else value for value in said)


def light_can_give(value: float, dtype: str, reflectance: Reflectance) -> bool:
    """Whether a value that means no data is also what some ground, or a very dark or saturated band, has."""
    limits = _WHOLE_NUMBER_LIMITS
    if np.dtype(dtype).kind in "iu":
        limits = limits | {np.iinfo(dtype).min, np.iinfo(dtype).max}
    return value in limits or 0 <= value * reflectance.scale + reflectance.offset <= BRIGHTEST


def has_mask(file: rasterio.DatasetReader, bands: Sequence[int]) -> bool:
    """Whether bands are masked otherwise than by a value of their own."""
    by_value = {(MaskFlags.all_valid,), (MaskFlags.nodata,)}
    return any(tuple(file.mask_flag_enums[band - 1]) not in by_value for band in bands)


def _require_possible(file: rasterio.DatasetReader, value: float, dtype: str) -> None:
    """Make sure that a band can hold a value.

    Raises:
        PipelineError: it cannot.
    """
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return
    limits = np.iinfo(kind)
    if not (np.isfinite(value) and value == int(value) and limits.min <= value <= limits.max):
        raise PipelineError(
            f"--nodata {value:g}: {file.name} cannot hold that, its values are {dtype} ({limits.min} to {limits.max})"
        )
