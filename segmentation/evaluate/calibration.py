"""Do probabilities mean what they say: of the pixels called 80 % mine, are 80 % mine?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmentation.evaluate.pixels import LEVELS, ratio
from segmentation.predict.probability import CERTAIN

BINS = 10
# A bin holds the probabilities from its lower edge up to, and not including, the upper one; the last one has both.
_BIN_OF_LEVEL = np.minimum(np.arange(LEVELS) * BINS // CERTAIN, BINS - 1)
EDGES = np.arange(BINS + 1) / BINS


@dataclass(frozen=True)
class Reliability:
    """What is said and what is, in ten bins of probability, (..., 10) float64 each.

    Attributes:
        pixels: their number.
        mean_probability: of the pixels, what is said; NaN in a bin without pixels.
        mine_share: the share of the pixels that is mine, what is; NaN likewise.
    """

    pixels: np.ndarray
    mean_probability: np.ndarray
    mine_share: np.ndarray


def reliability(histograms: np.ndarray) -> Reliability:
    """Compare what is said with what is, in ten bins of equal width.

    Args:
        histograms: (..., 2, 251), pixels by label and probability.
    """
    histograms = np.asarray(histograms, "float64")
    into_bins = np.eye(BINS)[_BIN_OF_LEVEL]
    at_level = histograms.sum(axis=-2)
    pixels = at_level @ into_bins
    said = (at_level * (np.arange(LEVELS) / CERTAIN)) @ into_bins
    mine = histograms[..., 1, :] @ into_bins
    return Reliability(pixels, ratio(said, pixels), ratio(mine, pixels))


def expected_calibration_error(histograms: np.ndarray) -> np.ndarray:
    """Mean distance of what is said and what is over the bins, weighted by their pixels (Naeini et al. 2015).

    Most pixels are background that every model is sure of, so the figure is small for any of them: the table of
    ``reliability`` says more.

    Args:
        histograms: (..., 2, 251), pixels by label and probability.
    """
    found = reliability(histograms)
    distance = np.abs(found.mean_probability - found.mine_share)
    return ratio(np.nansum(found.pixels * distance, axis=-1), found.pixels.sum(axis=-1))
