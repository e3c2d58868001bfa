"""Intervals over groups of windows: they are scipy's, and they cover a known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from segmentation.evaluate.bootstrap import LEAST_GROUPS, interval, resample, sum_by
from segmentation.evaluate.estimates import Draws, pixel_estimates, subset_estimates, window_estimates
from segmentation.evaluate.pixels import LEVELS, Agreement, agreement_at


def grouped_counts(rng, groups, precision=0.7):
    """True and false mine of windows whose precision varies from group to group: (n,) groups and (n, 4) counts."""
    size = rng.integers(1, 6, groups)
    own = rng.beta(5 * precision, 5 * (1 - precision), groups)
    group = np.repeat(np.arange(groups), size)
    predicted = 1000
    true = rng.binomial(predicted, own[group])
    nothing = np.zeros(len(group), "int64")
    return group, np.column_stack([true, predicted - true, nothing, nothing])


def test_a_seed_gives_the_same_draws_whatever_is_counted(rng):
    counts = rng.integers(0, 100, (30, 4))
    both = resample(np.column_stack([counts, 2 * counts]), 50, seed=3)
    np.testing.assert_array_equal(both[:, 4:], 2 * resample(counts, 50, seed=3))
    assert not np.array_equal(both[:, :4], resample(counts, 50, seed=4))


def test_as_many_groups_are_drawn_as_there_are(rng):
    assert (resample(np.ones((30, 1)), 200) == 30).all()
    # More draws than are made at once.
    many = resample(np.ones((50_000, 1)), 100)
    assert many.shape == (100, 1)
    assert (many == 50_000).all()


def test_intervals_agree_with_those_of_scipy(rng):
    group, counts = grouped_counts(rng, 60)
    sums = sum_by(group, np.zeros_like(group), counts, 60)[:, 0]
    ours = interval(Agreement.of(resample(sums, 8000)).precision)
    theirs = stats.bootstrap(
        (sums[:, 0], sums[:, 1]),
        lambda true, false, axis: true.sum(axis=axis) / (true.sum(axis=axis) + false.sum(axis=axis)),
        paired=True,
        n_resamples=8000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert ours == pytest.approx(theirs, abs=0.004)


def test_intervals_cover_the_truth_as_often_as_they_say(rng):
    covered = []
    for _ in range(300):
        group, counts = grouped_counts(rng, 80)
        sums = sum_by(group, np.zeros_like(group), counts, 80)[:, 0]
        low, high = interval(Agreement.of(resample(sums, 400, seed=int(rng.integers(1 << 30)))).precision)
        covered.append(low <= 0.7 <= high)
    # A percentile interval of 80 groups is a little short of 95 %.
    assert 0.89 <= np.mean(covered) <= 0.98


def test_windows_that_overlap_do_not_count_as_independent(rng):
    """Each window many times over: nothing is learned, and the interval must stay as wide."""
    group, counts = grouped_counts(rng, 40)
    agreement = Agreement.of(counts)

    def width(agreement, group):
        draws = Draws(group)
        row = subset_estimates(agreement, ["all"] * len(group), "all", draws).set_index("measure").loc["precision"]
        return row["high"] - row["low"]

    again = Agreement.of(np.repeat(counts, 10, axis=0))
    assert width(again, np.repeat(group, 10)) == pytest.approx(width(agreement, group))
    assert width(again, np.arange(10 * len(group))) < 0.6 * width(agreement, group)


def test_subsets_are_sums_of_their_windows(rng):
    group, counts = grouped_counts(rng, 20)
    country = np.where(np.arange(len(group)) % 3 == 0, "GHA", "PER")
    table = subset_estimates(Agreement.of(counts), country, "country", Draws(group))
    for code in ("GHA", "PER"):
        rows = country == code
        found = table[(table["subset"] == code) & (table["measure"] == "precision")].iloc[0]
        assert found["value"] == pytest.approx(Agreement.of(counts[rows].sum(axis=0)).precision)
        assert found["low"] <= found["value"] <= found["high"]
        assert (found["windows"], found["groups"]) == (rows.sum(), len(np.unique(group[rows])))


def test_few_groups_have_no_interval(rng):
    for groups in (LEAST_GROUPS - 1, LEAST_GROUPS):
        group, counts = grouped_counts(rng, groups)
        table = subset_estimates(Agreement.of(counts), ["all"] * len(group), "all", Draws(group))
        row = table.set_index("measure").loc["precision"]
        assert pd.isna(row["low"]) == pd.isna(row["high"]) == (groups < LEAST_GROUPS)
        assert np.isfinite(row["value"])


def test_ground_area_weighs_what_pixels_do_not(rng):
    counts = np.array([[90, 10, 0, 0], [10, 90, 0, 0]])
    table = subset_estimates(
        Agreement.of(counts), ["all", "all"], "all", Draws(np.arange(2)), weight=np.array([1.0, 4.0])
    )
    assert table.set_index("measure").loc["precision", "value"] == pytest.approx((90 + 40) / 500)
    assert set(table["unit"]) == {"ground area"}


def test_every_window_has_one_vote_in_the_mean(rng):
    histograms = rng.integers(0, 50, (12, 2, LEVELS))
    histograms[3] = 0
    histograms[4, 1] = 0
    histograms[4, :, 125:] = 0
    draws = Draws(np.arange(12) // 2)
    agreement = agreement_at(histograms, 125)
    table = window_estimates(agreement, draws).set_index("measure")
    for name in ("accuracy", "precision", "recall", "iou"):
        assert table.loc[name, "value"] == pytest.approx(np.nanmean(getattr(agreement, name)))
        assert table.loc[name, "low"] <= table.loc[name, "value"] <= table.loc[name, "high"]


def test_the_headline_is_the_sum_of_all_pixels(rng):
    histograms = rng.integers(0, 50, (12, 2, LEVELS))
    table = pixel_estimates(histograms, 125, Draws(np.arange(12))).set_index("measure")
    assert table.loc["iou", "value"] == pytest.approx(agreement_at(histograms.sum(axis=0), 125).iou)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
