"""How well predictions agree with masks, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from segmentation.masks import IGNORE, MINE
from segmentation.probabilities import CERTAIN, NO_DATA


@dataclass(frozen=True)
class Agreement:
    """Pixels by what the mask and the prediction say, no-data left out."""

    true_mine: int = 0
    false_mine: int = 0
    missed_mine: int = 0
    true_background: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.true_mine + other.true_mine,
            self.false_mine + other.false_mine,
            self.missed_mine + other.missed_mine,
            self.true_background + other.true_background,
        )

    @property
    def pixels(self) -> int:
        """All pixels compared."""
        return self.true_mine + self.false_mine + self.missed_mine + self.true_background

    @property
    def accuracy(self) -> float:
        """Share of pixels on which both agree."""
        return _ratio(self.true_mine + self.true_background, self.pixels)

    @property
    def precision(self) -> float:
        """Share of the predicted mine that is mine."""
        return _ratio(self.true_mine, self.true_mine + self.false_mine)

    @property
    def recall(self) -> float:
        """Share of the mine that is predicted."""
        return _ratio(self.true_mine, self.true_mine + self.missed_mine)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall (the Dice coefficient)."""
        return _ratio(2 * self.true_mine, 2 * self.true_mine + self.false_mine + self.missed_mine)

    @property
    def iou(self) -> float:
        """Intersection over union of the mine class (the Jaccard index)."""
        return _ratio(self.true_mine, self.true_mine + self.false_mine + self.missed_mine)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def compare(mask: np.ndarray, probability: np.ndarray, threshold: float) -> Agreement:
    """Compare a mask with a prediction.

    Args:
        mask: (h, w) uint8, see ``segmentation.masks``.
        probability: (h, w) uint8, see ``segmentation.probabilities``.
        threshold: least probability that counts as mine, 0 to 1.
    """
    known = (mask != IGNORE) & (probability != NO_DATA)
    mine = (mask == MINE)[known]
    predicted = (probability >= threshold * CERTAIN)[known]
    return Agreement(
        true_mine=int((mine & predicted).sum()),
        false_mine=int((~mine & predicted).sum()),
        missed_mine=int((mine & ~predicted).sum()),
        true_background=int((~mine & ~predicted).sum()),
    )


def total(agreements: Iterable[Agreement]) -> Agreement:
    """All windows together."""
    return sum(agreements, Agreement())
