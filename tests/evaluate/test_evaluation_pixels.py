"""Measures by pixels: counted by hand, and equal to those of scikit-learn and MMSegmentation on the same pixels."""

import math

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric
from sklearn import metrics

from segmentation.chips.mask import BACKGROUND, IGNORE, MINE
from segmentation.evaluate.pixels import (
    LEVELS,
    MEASURES,
    THRESHOLDS,
    Agreement,
    agreement_at,
    agreement_by_level,
    average_precision,
    best_level,
    histogram,
    level_of,
)
from segmentation.predict.probability import CERTAIN, NO_DATA

B, M, X, N = BACKGROUND, MINE, IGNORE, NO_DATA
MASK = np.array([[M, M, M, B], [B, B, B, B], [M, B, X, X]], "uint8")
PREDICTED = np.array([[250, 125, 124, 126], [0, 0, 250, 124], [N, N, 250, 0]], "uint8")


def compare(mask, probability, threshold):
    return agreement_at(histogram(mask, probability), level_of(threshold))


@pytest.fixture
def noisy(rng):
    """Five windows of a mediocre prediction, with no-data in both mask and prediction."""
    mask = rng.choice([BACKGROUND, MINE], (5, 96, 96), p=[0.8, 0.2]).astype("uint8")
    probability = np.clip(np.rint(rng.normal(80 + 70 * mask, 60)), 0, CERTAIN).astype("uint8")
    mask[rng.random(mask.shape) < 0.1] = IGNORE
    probability[rng.random(mask.shape) < 0.1] = NO_DATA
    return mask, probability


def known_pixels(mask, probability):
    known = (mask != IGNORE) & (probability != NO_DATA)
    return mask[known] == MINE, probability[known] / CERTAIN


def test_pixels_are_counted_as_by_hand():
    found = compare(MASK, PREDICTED, 0.5)
    assert found == Agreement(true_mine=2, false_mine=2, missed_mine=1, true_background=3)
    assert found.pixels == 8
    assert found.accuracy == pytest.approx(5 / 8)
    assert found.precision == pytest.approx(2 / 4)
    assert found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert found.iou == pytest.approx(2 / 5)
    assert found.area_ratio == pytest.approx(4 / 3)


@pytest.mark.parametrize(("threshold", "predicted"), [(0.1, 6), (0.5, 4), (0.504, 3), (0.9, 2)])
def test_a_higher_threshold_finds_less(threshold, predicted):
    found = compare(MASK, PREDICTED, threshold)
    assert found.true_mine + found.false_mine == predicted
    assert found.pixels == 8


def test_no_data_on_either_side_is_left_out():
    nothing = histogram(np.full((4, 4), IGNORE, "uint8"), np.full((4, 4), 250, "uint8"))
    unseen = histogram(np.full((4, 4), MINE, "uint8"), np.full((4, 4), NO_DATA, "uint8"))
    assert nothing.sum() == unseen.sum() == 0


def test_windows_add_up_pixel_by_pixel(noisy):
    parts = np.stack([histogram(mask, probability) for mask, probability in zip(*noisy, strict=True)])
    np.testing.assert_array_equal(parts.sum(axis=0), histogram(*noisy))
    found = agreement_at(parts, 75)
    assert Agreement(*found.counts.sum(axis=0)) == compare(*noisy, 0.3)
    assert Agreement.of(found.counts[2]) == compare(noisy[0][2], noisy[1][2], 0.3)


def test_measures_of_nothing_are_not_a_number_rather_than_an_error():
    background = Agreement(true_background=10)
    assert background.accuracy == 1
    assert all(math.isnan(getattr(background, name)) for name in MEASURES if name != "accuracy")
    assert math.isnan(Agreement().accuracy)


def test_a_printed_threshold_means_its_level_again():
    assert [level_of(float(f"{value:.3g}")) for value in THRESHOLDS] == list(range(1, LEVELS))


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.73])
def test_measures_equal_those_of_scikit_learn(noisy, threshold):
    found = compare(*noisy, threshold)
    truth, probability = known_pixels(*noisy)
    predicted = probability >= threshold
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found.precision == pytest.approx(metrics.precision_score(truth, predicted))
    assert found.recall == pytest.approx(metrics.recall_score(truth, predicted))
    assert found.f1 == pytest.approx(metrics.f1_score(truth, predicted))
    assert found.iou == pytest.approx(metrics.jaccard_score(truth, predicted))
    (background, false_mine), (missed_mine, true_mine) = metrics.confusion_matrix(truth, predicted)
    assert found == Agreement(true_mine, false_mine, missed_mine, background)


def test_measures_equal_those_of_mmsegmentation(noisy):
    masks, probabilities = noisy
    metric = IoUMetric(iou_metrics=["mIoU", "mFscore"])
    metric.dataset_meta = {"classes": ("background", "mine")}
    masks = np.where(probabilities == NO_DATA, IGNORE, masks)
    samples = [
        {
            "pred_sem_seg": {"data": torch.from_numpy((probability >= 125).astype("int64"))[None]},
            "gt_sem_seg": {"data": torch.from_numpy(mask.astype("int64"))[None]},
        }
        for mask, probability in zip(masks, probabilities, strict=True)
    ]
    metric.process({}, samples)
    theirs = metric.compute_metrics(metric.results)
    found = compare(masks, probabilities, 0.5)
    background = Agreement(found.true_background, found.missed_mine, found.false_mine, found.true_mine)
    for name, ours in (("IoU", "iou"), ("Fscore", "f1"), ("Precision", "precision"), ("Recall", "recall")):
        both = [getattr(found, ours), getattr(background, ours)]
        assert theirs[f"m{name}"] == pytest.approx(100 * np.mean(both), abs=0.006), name  # they round to 0.01
    assert theirs["aAcc"] == pytest.approx(100 * found.accuracy, abs=0.006)


def test_every_threshold_at_once_is_each_threshold_alone(noisy):
    counts = histogram(*noisy)
    swept = agreement_by_level(np.stack([counts, 2 * counts])).counts
    alone = np.stack([agreement_at(counts, level).counts for level in range(1, LEVELS)])
    np.testing.assert_array_equal(swept, [alone, 2 * alone])


def test_average_precision_equals_that_of_scikit_learn(noisy):
    found = average_precision(np.stack([histogram(*noisy), np.zeros((2, LEVELS), "int64")]))
    assert found[0] == pytest.approx(metrics.average_precision_score(*known_pixels(*noisy)))
    assert math.isnan(found[1])


def test_the_best_threshold_has_the_largest_iou_and_f1(noisy):
    counts = histogram(*noisy)
    truth, probability = known_pixels(*noisy)
    f1 = [metrics.f1_score(truth, probability >= threshold) for threshold in THRESHOLDS]
    swept = agreement_by_level(counts)
    assert best_level(counts) - 1 == np.argmax(f1) == np.argmax(swept.iou)


def test_the_best_threshold_lies_in_the_middle_of_equals():
    counts = np.zeros((2, LEVELS), "int64")
    counts[0, 50], counts[1, 201] = 10, 10
    assert best_level(counts) == 126
    assert best_level(counts * [[1], [0]]) is None
    assert best_level(0 * counts) is None
