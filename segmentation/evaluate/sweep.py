"""Every threshold at once: precision and recall against each other, and the threshold to take.

F1 and IoU of the mine class grow with each other, ``F1 = 2 IoU / (1 + IoU)``: the best threshold of one is that of the
other. It is to be chosen on other windows than it is reported on.
"""

from __future__ import annotations

import numpy as np

from segmentation.evaluate.pixels import agreement_by_level, ratio
from segmentation.predict.probability import CERTAIN

THRESHOLDS = np.arange(1, CERTAIN + 1) / CERTAIN


def best_level(histogram: np.ndarray) -> int | None:
    """The level, 1 to 250, with the largest IoU (and F1); the middle one of equals, None without any mine.

    Args:
        histogram: (2, 251), pixels by label and probability.
    """
    iou = np.nan_to_num(agreement_by_level(histogram).iou)
    if not iou.any():
        return None
    # Probabilities between two levels need not occur: all levels of a plateau call the same pixels mine.
    best = np.flatnonzero(iou == iou.max())
    return int(best[len(best) // 2]) + 1


def average_precision(histograms: np.ndarray) -> np.ndarray:
    """Precision averaged over recall, without interpolation: the sum of ``(R_n - R_(n-1)) P_n`` over the thresholds.

    Args:
        histograms: (..., 2, 251), pixels by label and probability.
    """
    histograms = np.asarray(histograms, "float64")
    # From the highest probability down to 0, where everything is called mine.
    background, mine = (np.cumsum(histograms[..., label, ::-1], axis=-1) for label in (0, 1))
    gained = ratio(histograms[..., 1, ::-1], mine[..., -1:])
    return np.sum(gained * np.nan_to_num(ratio(mine, mine + background)), axis=-1)
