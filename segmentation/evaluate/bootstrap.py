"""How much would the figures differ with other windows: percentile bootstrap over independent groups.

Windows that overlap show the same mines, so that a group of them, not a window and not a pixel, is what is drawn anew
(Efron and Tibshirani 1993, chapter 13). The thresholds, the model and the reference are taken as given.
"""

from __future__ import annotations

import numpy as np

REPLICATES = 2000
CONFIDENCE = 0.95
# Fewer groups than this cannot show how much they vary: no interval is given.
LEAST_GROUPS = 5
_DRAWN_TOGETHER = 4_000_000


def sum_by(group: np.ndarray, subset: np.ndarray, counts: np.ndarray, groups: int, subsets: int = 1) -> np.ndarray:
    """Add up the counts of windows or objects by group and subset.

    Args:
        group: (n,) int, number of the group.
        subset: (n,) int, number of the subset.
        counts: (n, c).
        groups: how many there are.
        subsets: how many there are.

    Returns:
        (groups, subsets, c) float64.
    """
    sums = np.zeros((groups, subsets, counts.shape[1]))
    np.add.at(sums, (group, subset), counts)
    return sums


def resample(counts: np.ndarray, replicates: int = REPLICATES, seed: int = 0) -> np.ndarray:
    """Draw as many groups as there are, with replacement, and add up their counts, again and again.

    The same seed draws the same groups, whatever is counted.

    Args:
        counts: (g, ...), of every group.
        replicates: how often.
        seed: of the draws.

    Returns:
        (replicates, ...) float64.
    """
    rng = np.random.default_rng(seed)
    groups = len(counts)
    flat = counts.reshape(groups, -1).astype("float64")
    totals = np.empty((replicates, flat.shape[1]))
    step = max(1, _DRAWN_TOGETHER // max(groups, 1))
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = rng.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)
        totals[start : start + rows] = times.astype("float64") @ flat
    return totals.reshape(replicates, *counts.shape[1:])


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle 95 % of replicates, of those in which the figure is defined.

    Args:
        values: (replicates, ...) float64.

    Returns:
        Lower and upper bounds, (...) each; NaN where the figure is never defined.
    """
    tail = 100 * (1 - CONFIDENCE) / 2
    known = ~np.isnan(values).all(axis=0)
    bounds = np.full((2, *values.shape[1:]), np.nan)
    bounds[:, known] = np.nanpercentile(values[:, known], [tail, 100 - tail], axis=0)
    return bounds[0][()], bounds[1][()]
