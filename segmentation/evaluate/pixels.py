"""How prediction and reference agree, pixel by pixel.

Everything follows from one small table a window: its pixels by label and by probability. Tables of windows add up to
those of groups and splits, and the part of a table from some probability on is what that threshold calls mine.

Every pixel of every window counts once: ground that two windows show counts twice, and a pixel of a window that was
resampled to a chip counts like any other, although it covers more ground.

F1 and IoU of the mine class grow with each other, ``F1 = 2 IoU / (1 + IoU)``: the best threshold of one is that of the
other. It is to be chosen on other windows than it is reported on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from segmentation.chips.mask import IGNORE, MINE
from segmentation.predict.probability import CERTAIN, NO_DATA

LEVELS = CERTAIN + 1
# Every threshold that makes a difference, by the level that it calls mine first.
THRESHOLDS = np.arange(1, CERTAIN + 1) / CERTAIN
MEASURES = ("accuracy", "precision", "recall", "f1", "iou", "area_ratio")


@dataclass(frozen=True)
class Agreement:
    """Pixels of the mine class by what the reference and the prediction say, no-data left out.

    Each count is a number, or an array with an entry a window, threshold or replicate; so are the measures, which are
    not a number (NaN) where they are not defined.
    """

    true_mine: np.ndarray | int = 0
    false_mine: np.ndarray | int = 0
    missed_mine: np.ndarray | int = 0
    true_background: np.ndarray | int = 0

    @classmethod
    def of(cls, counts: np.ndarray) -> Agreement:
        """From counts along the last axis, (..., 4), in the order of the attributes."""
        return cls(*np.moveaxis(counts, -1, 0))

    @property
    def counts(self) -> np.ndarray:
        """The four counts along a new last axis, (..., 4)."""
        return np.stack([self.true_mine, self.false_mine, self.missed_mine, self.true_background], axis=-1)

    @property
    def pixels(self) -> np.ndarray | int:
        """All pixels compared."""
        return self.true_mine + self.false_mine + self.missed_mine + self.true_background

    @property
    def accuracy(self) -> np.ndarray:
        """Share of pixels on which both agree."""
        return ratio(self.true_mine + self.true_background, self.pixels)

    @property
    def precision(self) -> np.ndarray:
        """Share of the predicted mine that is mine."""
        return ratio(self.true_mine, self.true_mine + self.false_mine)

    @property
    def recall(self) -> np.ndarray:
        """Share of the mine that is predicted."""
        return ratio(self.true_mine, self.true_mine + self.missed_mine)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall (the Dice coefficient)."""
        return ratio(2 * self.true_mine, 2 * self.true_mine + self.false_mine + self.missed_mine)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of the mine class (the Jaccard index)."""
        return ratio(self.true_mine, self.true_mine + self.false_mine + self.missed_mine)

    @property
    def area_ratio(self) -> np.ndarray:
        """Predicted mine as a multiple of the reference's, wherever it lies: 1 is an unbiased total area."""
        return ratio(self.true_mine + self.false_mine, self.true_mine + self.missed_mine)


def ratio(part: np.ndarray | int, whole: np.ndarray | int) -> np.ndarray:
    """``part / whole``, NaN where ``whole`` is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, "float64"), whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)[()]


def histogram(mask: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Count the pixels that both know, by label and probability.

    Args:
        mask: (h, w) uint8, see ``segmentation.chips.mask``.
        probability: (h, w) uint8, see ``segmentation.predict.probability``.

    Returns:
        (2, 251) int64: background and mine, by probability from 0 to 250.
    """
    known = np.where(mask == IGNORE, np.uint8(NO_DATA), probability)
    cell = known + 256 * (mask == MINE).astype("uint16")
    return np.bincount(cell.ravel(), minlength=512).reshape(2, 256)[:, :LEVELS]


def level_of(threshold: float) -> int:
    """The least encoded probability, 1 to 250, that a threshold between 0 and 1 calls mine."""
    return math.ceil(threshold * CERTAIN)


def agreement_at(histograms: np.ndarray, level: int) -> Agreement:
    """Counts when every probability from a level on is called mine.

    Args:
        histograms: (..., 2, 251), as from ``histogram``.
        level: encoded probability, 1 to 250.
    """
    predicted, rest = histograms[..., level:].sum(axis=-1), histograms[..., :level].sum(axis=-1)
    return Agreement(predicted[..., 1], predicted[..., 0], rest[..., 1], rest[..., 0])


def agreement_by_level(histograms: np.ndarray) -> Agreement:
    """Counts at every level from 1 to 250, along a last axis of 250.

    Args:
        histograms: (..., 2, 251), as from ``histogram``.
    """
    predicted = np.cumsum(histograms[..., ::-1], axis=-1)[..., -2::-1]
    rest = histograms.sum(axis=-1, keepdims=True) - predicted
    return Agreement(predicted[..., 1, :], predicted[..., 0, :], rest[..., 1, :], rest[..., 0, :])


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
    descending = histograms[..., ::-1]
    called_mine = np.cumsum(descending, axis=-1)
    background, mine = called_mine[..., 0, :], called_mine[..., 1, :]
    gained_recall = ratio(descending[..., 1, :], mine[..., -1:])
    precision = np.nan_to_num(ratio(mine, mine + background))
    return np.sum(gained_recall * precision, axis=-1)
