"""What tests of polygons share: shapes as a segmentor draws them, and probability files of windows."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from segmentation.geo.grid import Grid
from segmentation.predict.probability import Prediction, write_probability


def blobs(rng, threshold=0.0, size=512, smooth=12) -> np.ndarray:
    """Smooth random fields, cut at a level: (size, size) bool."""
    return field(rng, size, smooth) > threshold


def field(rng, size=512, smooth=12) -> np.ndarray:
    """A smooth random field with a deviation of about one."""
    return ndimage.gaussian_filter(rng.standard_normal((size, size)), smooth, mode="wrap") * smooth * 3


def levels_of(heights: np.ndarray) -> np.ndarray:
    """Heights as a model's probabilities: uint8 levels, 0 to 250."""
    return np.rint(250 / (1 + np.exp(-4 * heights))).astype("uint8")


def predicted(path: Path, col: int, row: int, side_px: int, levels: np.ndarray) -> Prediction:
    """Write a window's (512, 512) levels as step 3 keeps them."""
    write_probability(path, levels.astype("uint8"), Grid().window_transform(col, row, side_px // 512))
    return Prediction(path, col, row, side_px)
