"""Figures with their intervals, as one long table: what is counted, in which subset, which measure, how sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segmentation.evaluate.bootstrap import LEAST_GROUPS, REPLICATES, interval, resample, sum_by
from segmentation.evaluate.calibration import expected_calibration_error
from segmentation.evaluate.objects import SIZE_NAMES, Matching, Objects
from segmentation.evaluate.pixels import MEASURES, Agreement, agreement_at, average_precision, ratio

COLUMNS = ("unit", "by", "subset", "measure", "value", "low", "high", "windows", "groups")
ALL = "all"
_Measures = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Draws:
    """How groups of windows are drawn anew.

    Attributes:
        group: (n,) int64, the number of each window's group, from 0.
        replicates: how often.
        seed: of the draws.
    """

    group: np.ndarray
    replicates: int = REPLICATES
    seed: int = 0

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.group.max(initial=-1)) + 1

    def resample(self, counts: np.ndarray) -> np.ndarray:
        """Totals of the groups' counts, (groups, ...) to (replicates, ...)."""
        return resample(counts, self.replicates, self.seed)

    def by_group(self, counts: np.ndarray) -> np.ndarray:
        """The windows' counts added up, (n, ...) to (groups, ...) float64."""
        flat = counts.reshape(len(counts), -1)
        everything = np.zeros(len(counts), "int64")
        return sum_by(self.group, everything, flat, self.groups).reshape(self.groups, *counts.shape[1:])

    def interval(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of replicates, (replicates, ...) to (...) each; NaN where groups are too few to tell."""
        low, high = interval(values)
        return (low, high) if self.groups >= LEAST_GROUPS else (np.full_like(low, np.nan), np.full_like(high, np.nan))


def pixel_estimates(histograms: np.ndarray, level: int, draws: Draws, unit: str = "pixels") -> pd.DataFrame:
    """The measures of all windows together, and of the probabilities whatever the threshold.

    Args:
        histograms: (n, 2, 251), pixels of every window by label and probability.
        level: the least encoded probability that is called mine.
        draws: of the windows.
        unit: what to call it.
    """

    def measures(totals: np.ndarray) -> dict[str, np.ndarray]:
        found = agreement_at(totals, level)
        return {name: getattr(found, name) for name in MEASURES} | {
            "average_precision": average_precision(totals),
            "calibration_error": expected_calibration_error(totals),
        }

    sums = draws.by_group(histograms)[:, None]
    return _table(unit, ALL, [ALL], counts=sums, measures=measures, draws=draws, windows=[len(histograms)])


def subset_estimates(
    agreement: Agreement, subset: Sequence[str], by: str, draws: Draws, weight: np.ndarray | None = None
) -> pd.DataFrame:
    """The measures of subsets of the windows.

    Args:
        agreement: of n windows.
        subset: (n,) names.
        by: what the subsets are.
        draws: of the windows.
        weight: (n,) ground area of a window's pixel, to weight them by it; None to count each as one.
    """
    names, place = np.unique(np.asarray(subset, dtype=str), return_inverse=True)
    counts = agreement.counts if weight is None else agreement.counts * weight[:, None]
    sums = sum_by(draws.group, place, counts, draws.groups, len(names))
    unit = "pixels" if weight is None else "ground area"
    windows = np.bincount(place, minlength=len(names)).tolist()
    return _table(unit, by, names.tolist(), counts=sums, measures=_pixel_measures, draws=draws, windows=windows)


def window_estimates(agreement: Agreement, draws: Draws) -> pd.DataFrame:
    """Means over windows, each window one vote; a window in which a measure is not defined has none."""
    values = np.stack([getattr(agreement, name) for name in MEASURES], axis=-1)
    known = np.isfinite(values)
    sums = draws.by_group(np.concatenate([np.where(known, values, 0), known], axis=1))

    def measures(totals: np.ndarray) -> dict[str, np.ndarray]:
        means = ratio(totals[..., : len(MEASURES)], totals[..., len(MEASURES) :])
        return dict(zip(MEASURES, np.moveaxis(means, -1, 0), strict=True))

    # The mean of ratios to a small reference says nothing: one stray pixel decides.
    table = _table("windows", ALL, [ALL], counts=sums[:, None], measures=measures, draws=draws, windows=[len(values)])
    return table[table["measure"] != "area_ratio"]


def object_estimates(reference: Objects, predicted: Objects, matching: Matching, draws: Draws) -> pd.DataFrame:
    """Precision, recall and F1 of the objects, and recall and precision by their size.

    Recall by size is that of reference objects of a size, precision that of predicted ones; an object and its partner
    may be of different sizes.
    """
    found = _matched_by_size(reference, matching.found, draws)
    right = _matched_by_size(predicted, matching.right, draws)
    sums = np.concatenate([found, right], axis=2)
    everything = _object_table(ALL, [ALL], sums.sum(axis=1, keepdims=True), draws)
    by_size = _object_table("object size", SIZE_NAMES, sums, draws)
    return pd.concat([everything, by_size[by_size["measure"] != "f1"]], ignore_index=True)


def _matched_by_size(objects: Objects, matched: np.ndarray, draws: Draws) -> np.ndarray:
    """Objects with a partner, and all of them, by group of windows and size: (groups, sizes, 2) float64."""
    counts = np.column_stack([matched, np.ones(len(matched))])
    return sum_by(objects.group, objects.size, counts, draws.groups, len(SIZE_NAMES))


def _object_table(by: str, names: Sequence[str], counts: np.ndarray, draws: Draws) -> pd.DataFrame:
    """Measures of objects, whatever windows show them: their number is that of all windows."""
    windows = [len(draws.group)] * len(names)
    return _table("objects", by, names, counts=counts, measures=_object_measures, draws=draws, windows=windows)


def object_sizes(reference: Objects, predicted: Objects, matching: Matching) -> pd.DataFrame:
    """Objects by class of ground area: how many there are, how many were missed or false, with areas in km2.

    ``untouched`` are those of the missed that no prediction overlaps at all, ``baseless`` those of the false that
    overlap no reference.
    """
    columns = {
        "reference": (reference, np.ones(len(reference), bool)),
        "missed": (reference, ~matching.found),
        "untouched": (reference, matching.reference_iou == 0),
        "predicted": (predicted, np.ones(len(predicted), bool)),
        "false": (predicted, ~matching.right),
        "baseless": (predicted, matching.predicted_iou == 0),
    }
    table: dict[str, Sequence[str] | np.ndarray] = {"size": SIZE_NAMES}
    for name, (objects, rows) in columns.items():
        table[name] = np.bincount(objects.size[rows], minlength=len(SIZE_NAMES))
    for name, objects in (("reference", reference), ("predicted", predicted)):
        area_m2 = np.bincount(objects.size, objects.area_m2, minlength=len(SIZE_NAMES))
        table[f"{name}_km2"] = area_m2 / 1e6
    return pd.DataFrame(table)


def _pixel_measures(totals: np.ndarray) -> dict[str, np.ndarray]:
    found = Agreement.of(totals)
    return {name: getattr(found, name) for name in MEASURES}


def _object_measures(totals: np.ndarray) -> dict[str, np.ndarray]:
    found, reference, right, predicted = np.moveaxis(totals, -1, 0)
    return {
        "precision": ratio(right, predicted),
        "recall": ratio(found, reference),
        "f1": ratio(found + right, reference + predicted),
    }


def _table(
    unit: str,
    by: str,
    names: Sequence[str],
    *,
    counts: np.ndarray,
    measures: _Measures,
    draws: Draws,
    windows: Sequence[int],
) -> pd.DataFrame:
    """Measures with their intervals in k subsets, a row a measure and subset, see ``COLUMNS``.

    Args:
        unit: what is counted.
        by: what the subsets are.
        names: of the k subsets.
        counts: (groups, k, ...).
        measures: gives (k,) measures of (k, ...) counts, and (replicates, k) of (replicates, k, ...).
        draws: of the groups.
        windows: number of windows of each subset.
    """
    counted = counts.reshape(*counts.shape[:2], -1) != 0
    groups = counted.any(axis=2).sum(axis=0)
    values, spread = measures(counts.sum(axis=0)), measures(draws.resample(counts))
    tables = []
    for name, value in values.items():
        low, high = interval(spread[name])
        few = (groups < LEAST_GROUPS) | np.isnan(value)
        tables.append(
            pd.DataFrame(
                {
                    "unit": unit,
                    "by": by,
                    "subset": list(names),
                    "measure": name,
                    "value": value,
                    "low": np.where(few, np.nan, low),
                    "high": np.where(few, np.nan, high),
                    "windows": windows,
                    "groups": groups,
                },
                columns=COLUMNS,
            )
        )
    return pd.concat(tables, ignore_index=True)
