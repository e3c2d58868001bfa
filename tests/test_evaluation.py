"""Measures of agreement, counted by hand."""

import math

import numpy as np
import pytest

from segmentation.evaluation import Agreement, compare, total
from segmentation.masks import BACKGROUND, IGNORE, MINE
from segmentation.probabilities import NO_DATA

B, M, X, N = BACKGROUND, MINE, IGNORE, NO_DATA
MASK = np.array([[M, M, M, B], [B, B, B, B], [M, B, X, X]], "uint8")
PREDICTED = np.array([[250, 125, 124, 126], [0, 0, 250, 124], [N, N, 250, 0]], "uint8")


def test_pixels_are_counted_as_by_hand():
    found = compare(MASK, PREDICTED, 0.5)
    assert found == Agreement(true_mine=2, false_mine=2, missed_mine=1, true_background=3)
    assert found.pixels == 8
    assert found.accuracy == pytest.approx(5 / 8)
    assert found.precision == pytest.approx(2 / 4)
    assert found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert found.iou == pytest.approx(2 / 5)


@pytest.mark.parametrize(("threshold", "predicted"), [(0.1, 6), (0.5, 4), (0.504, 3), (0.9, 2)])
def test_a_higher_threshold_finds_less(threshold, predicted):
    found = compare(MASK, PREDICTED, threshold)
    assert found.true_mine + found.false_mine == predicted
    assert found.pixels == 8


def test_no_data_on_either_side_is_left_out():
    nothing = compare(np.full((4, 4), IGNORE, "uint8"), np.full((4, 4), 250, "uint8"), 0.5)
    unseen = compare(np.full((4, 4), MINE, "uint8"), np.full((4, 4), NO_DATA, "uint8"), 0.5)
    assert nothing == unseen == Agreement()


def test_windows_add_up_pixel_by_pixel(rng):
    masks = rng.choice([BACKGROUND, MINE, IGNORE], (5, 64, 64)).astype("uint8")
    probabilities = rng.integers(0, 256, (5, 64, 64)).astype("uint8")
    parts = [compare(mask, probability, 0.3) for mask, probability in zip(masks, probabilities, strict=True)]
    assert total(parts) == compare(masks, probabilities, 0.3)
    assert total([]) == Agreement()


def test_measures_of_nothing_are_not_a_number_rather_than_an_error():
    background = Agreement(true_background=10)
    assert background.accuracy == 1
    assert all(math.isnan(value) for value in (background.precision, background.recall, background.f1, background.iou))
    assert math.isnan(Agreement().accuracy)
