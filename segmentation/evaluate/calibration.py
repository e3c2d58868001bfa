"""Do probabilities mean what they say: of the pixels called 80 % mine, are 80 % mine?"""

from __future__ import annotations

import numpy as np

from segmentation.evaluate.pixels import LEVELS, ratio
from segmentation.predict.probability import CERTAIN

BINS = 10
# A bin holds the probabilities from its lower edge up to, and not including, the upper one; the last one has both.
_BIN_OF_LEVEL = np.minimum(np.arange(LEVELS) * BINS // CERTAIN, BINS - 1)
EDGES = np.arange(BINS + 1) / BINS


def reliability(histograms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare what is said with what is, in ten bins of equal width.

    Args:
        histograms: (..., 2, 251), pixels by label and probability.

    Returns:
        Three (..., 10) arrays: number of pixels, their mean probability, and the share of them that is mine, NaN in
        a bin without pixels.
    """
    histograms = np.asarray(histograms, "float64")
    into_bins = np.eye(BINS)[_BIN_OF_LEVEL]
    at_level = histograms.sum(axis=-2)
    pixels = at_level @ into_bins
    said = (at_level * (np.arange(LEVELS) / CERTAIN)) @ into_bins
    mine = histograms[..., 1, :] @ into_bins
    return pixels, ratio(said, pixels), ratio(mine, pixels)


def expected_calibration_error(histograms: np.ndarray) -> np.ndarray:
    """Mean distance of what is said and what is over the bins, weighted by their pixels (Naeini et al. 2015).

    Most pixels are background that every model is sure of, so the figure is small for any of them: the table of
    ``reliability`` says more.

    Args:
        histograms: (..., 2, 251), pixels by label and probability.
    """
    pixels, said, mine = reliability(histograms)
    return ratio(np.nansum(pixels * np.abs(said - mine), axis=-1), pixels.sum(axis=-1))
