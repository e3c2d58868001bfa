"""Probabilities that mean what they say, and ones that do not, on drawn cases."""

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from segmentation.evaluate.calibration import expected_calibration_error, reliability
from segmentation.evaluate.pixels import LEVELS


def drawn(**cells):
    """A histogram from ``p40=(background, mine)``, p in percent."""
    counts = np.zeros((2, LEVELS), "int64")
    for name, pixels in cells.items():
        counts[:, int(name[1:]) * 5 // 2] = pixels
    return counts


def test_probabilities_that_mean_what_they_say_have_no_error():
    assert expected_calibration_error(drawn(p0=(70, 0), p20=(80, 20), p80=(10, 40), p100=(0, 9))) == pytest.approx(0)


def test_the_error_is_the_weighted_distance():
    # 100 pixels said to be 20 % mine are 50 %, 300 said to be 90 % are 80 %.
    counts = drawn(p20=(50, 50), p90=(60, 240))
    assert expected_calibration_error(counts) == pytest.approx((100 * 0.3 + 300 * 0.1) / 400)
    assert expected_calibration_error(np.stack([counts, 7 * counts])) == pytest.approx([0.15, 0.15])


def test_bins_hold_their_lower_edge_and_the_last_one_both():
    found = reliability(drawn(p10=(4, 0), p18=(0, 4), p20=(1, 1), p100=(0, 3)))
    said, mine = found.mean_probability, found.mine_share
    assert found.pixels.tolist() == [0, 8, 2, 0, 0, 0, 0, 0, 0, 3]
    assert said[[1, 2, 9]] == pytest.approx([0.14, 0.2, 1.0])
    assert mine[[1, 2, 9]] == pytest.approx([0.5, 0.5, 1.0])
    assert np.isnan(said[[0, 3, 4, 5, 6, 7, 8]]).all()


def test_nothing_has_no_error():
    assert math.isnan(expected_calibration_error(np.zeros((2, LEVELS))))


def test_bins_are_those_of_scikit_learn(rng):
    counts = rng.integers(0, 20, (2, LEVELS))
    counts[:, [25, 50, 75, 100, 125, 150, 175, 200, 225]] = 0  # on an edge, scikit-learn chooses by rounding errors
    truth = np.repeat(np.repeat([0, 1], LEVELS), counts.ravel())
    probability = np.repeat(np.tile(np.arange(LEVELS) / 250, 2), counts.ravel())
    shares, means = calibration_curve(truth, probability, n_bins=10)
    found = reliability(counts)
    assert found.mean_probability == pytest.approx(means)
    assert found.mine_share == pytest.approx(shares)
