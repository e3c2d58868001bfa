"""The values of a raster file, and where they are data: the one place that decides what means no data."""

from __future__ import annotations

import numpy as np
import rasterio
from rasterio.windows import Window

from segmentation.imagery.rasters.description import Raster


def read_values(file: rasterio.DatasetReader, raster: Raster, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Read a window that lies within a file.

    A pixel is data if the file's mask and alpha band say so, all of its bands are numbers, and it has not the value
    that means no data: in any band, or in all of them where light can give that value, too (see ``Raster``).

    Args:
        file: opened.
        raster: what is known of it.
        window: in its pixels.

    Returns:
        (bands, h, w) float32, as in the file, and (h, w) bool, where they are data.
    """
    values = file.read(raster.bands, window=window, out_dtype="float32")
    data = np.isfinite(values).all(axis=0)
    if raster.masked:
        data &= (file.read_masks(raster.bands, window=window) > 0).all(axis=0)
    if raster.alpha is not None:
        data &= file.read(raster.alpha, window=window) > 0
    if raster.no_data:
        # As float32, since a file's value need not be one that float32 can hold exactly.
        means_none = values == np.array(raster.no_data, "float32")[:, None, None]
        data &= ~(means_none.all(axis=0) if raster.all_bands else means_none.any(axis=0))
        values = np.where(means_none & data, np.maximum(values, _black(raster)), values)
    return values, data


def _black(raster: Raster) -> np.ndarray:
    """Value of reflectance 0 by band, (bands, 1, 1) float32.

    A band that ends with a negative value at its dark end would else be taken at its word, and darken its neighbours.
    """
    scales, offsets = np.array(raster.scales), np.array(raster.offsets)
    return (-offsets / scales).astype("float32")[:, None, None]
