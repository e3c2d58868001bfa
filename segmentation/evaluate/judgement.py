"""The judgement on a model: everything that is computed from the compared windows of a split."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.evaluate.calibration import EDGES, reliability
from segmentation.evaluate.compare import Comparison
from segmentation.evaluate.estimates import (
    ALL,
    Draws,
    object_estimates,
    object_sizes,
    pixel_estimates,
    subset_estimates,
    window_estimates,
)
from segmentation.evaluate.objects import Objects, match, unite_objects
from segmentation.evaluate.pixels import MEASURES, THRESHOLDS, Agreement, agreement_at, agreement_by_level, best_level
from segmentation.geo.countries import assign_countries
from segmentation.geo.grid import CHIP_PX, Grid
from segmentation.predict.probability import CERTAIN

AT_BEST = "pixels at the best threshold"
_SWEPT = ("precision", "recall", "f1", "iou")


@dataclass(frozen=True)
class Judgement:
    """What a model is worth on some windows.

    Attributes:
        measures: a row a figure, see ``estimates.COLUMNS``.
        sizes: objects by size, see ``estimates.object_sizes``.
        thresholds: a row a threshold: precision, recall, F1 and IoU with their intervals; of the windows on which the
            threshold was chosen, ``chosen_on_f1`` and ``chosen_on_iou``.
        calibration: a row a bin of probability.
        windows: a row a window, EPSG:3857: subsets, counts and measures.
        objects: of ``reference`` and ``predicted``, EPSG:3857: ``status``, ``iou``, ``area`` (m2).
        level: the least encoded probability that was called mine.
        best: the level with the best F1 and IoU on other windows; None where there is no mine.
    """

    measures: pd.DataFrame
    sizes: pd.DataFrame
    thresholds: pd.DataFrame
    calibration: pd.DataFrame
    windows: gpd.GeoDataFrame
    objects: dict[str, gpd.GeoDataFrame]
    level: int
    best: int | None


def judge(
    windows: gpd.GeoDataFrame,
    compared: Comparison,
    *,
    grid: Grid,
    level: int,
    chosen_on: np.ndarray,
    countries: gpd.GeoDataFrame,
    replicates: int,
    seed: int = 0,
    min_area_m2: float = 0.0,
) -> Judgement:
    """Compute all figures.

    Args:
        windows: the compared ones, at least one, from ``inputs.written_windows``.
        compared: what was counted and outlined in them.
        grid: that they were cut from.
        level: the least encoded probability that is called mine.
        chosen_on: (2, 251), pixels by label and probability of the windows on which the threshold is chosen.
        countries: as from ``countries.read_countries``.
        replicates: of the bootstrap.
        seed: of the bootstrap.
        min_area_m2: smaller predicted objects do not count.
    """
    group = np.unique(windows["group"], return_inverse=True)[1]
    draws = Draws(group, replicates, seed)
    counted = agreement_at(compared.histograms, level)
    table = _window_table(windows, counted, countries)

    reference = unite_objects(compared.reference, group[compared.reference_window], grid)
    predicted = unite_objects(compared.predicted, group[compared.predicted_window], grid).of_at_least(min_area_m2)
    matching = match(reference, predicted)

    best = best_level(chosen_on)
    measures = [
        pixel_estimates(compared.histograms, level, draws),
        subset_estimates(counted, [ALL] * len(windows), ALL, draws, table["pixel_m2"].to_numpy()),
        window_estimates(counted, draws),
        object_estimates(reference, predicted, matching, draws),
        subset_estimates(counted, table["chip_pixel"], "chip pixel", draws),
        subset_estimates(counted, table["iso_a3"], "country", draws),
    ]
    if best is not None:
        at_best = pixel_estimates(compared.histograms, best, draws, AT_BEST)
        measures.append(at_best[at_best["measure"].isin(MEASURES)])

    totals = compared.histograms.sum(axis=0)
    spread = draws.resample(draws.by_group(compared.histograms))
    return Judgement(
        measures=pd.concat(measures, ignore_index=True),
        sizes=object_sizes(reference, predicted, matching),
        thresholds=_threshold_table(totals, spread, chosen_on, draws),
        calibration=_calibration_table(totals, spread, draws),
        windows=table,
        objects={
            "reference": _object_table(reference, matching.found, matching.reference_iou, ("found", "missed")),
            "predicted": _object_table(predicted, matching.right, matching.predicted_iou, ("right", "false")),
        },
        level=level,
        best=best,
    )


def _window_table(windows: gpd.GeoDataFrame, counted: Agreement, countries: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """A row a window: where it is, in which subsets it counts, and how prediction and reference agree in it."""
    assigned = assign_countries(windows.geometry.to_crs("EPSG:4326"), countries)
    counts = ("true_mine", "false_mine", "missed_mine", "true_background")
    return gpd.GeoDataFrame(
        {
            "id": windows["id"],
            "group": windows["group"],
            "iso_a3": assigned["iso_a3"].where(assigned["iso_a3"] != "", "none"),
            "country_name": assigned["country_name"],
            "chip_pixel": chip_pixel_classes((windows["side_px"] // CHIP_PX).to_numpy()),
            "pixel_m2": windows.geometry.to_crs("EPSG:6933").area / CHIP_PX**2,
        }
        | {name: getattr(counted, name) for name in (*counts, *MEASURES)},
        geometry=windows.geometry,
        crs=windows.crs,
    )


def chip_pixel_classes(grid_px: np.ndarray) -> np.ndarray:
    """Name the class of every window by the grid pixels along a chip pixel: 1, 2, 3-4, 5-8, ..., (n,) str."""
    power = np.ceil(np.log2(np.maximum(grid_px, 1))).astype("int64")
    last = 2**power
    first = np.where(power > 1, last // 2 + 1, last)
    return np.where(first < last, np.char.add(np.char.add(first.astype(str), "-"), last.astype(str)), last.astype(str))


def _object_table(objects: Objects, matched: np.ndarray, iou: np.ndarray, status: tuple[str, str]) -> gpd.GeoDataFrame:
    """The objects of one side, north to south, then west to east; ``status`` names those with and without partner."""
    columns = {"status": np.where(matched, *status), "iou": iou, "area": objects.area_m2}
    table = gpd.GeoDataFrame(columns, geometry=objects.geometry)
    west, _, _, north = table.bounds.to_numpy().reshape(-1, 4).T
    return table.iloc[np.lexsort((west, -north))].reset_index(drop=True)


def _threshold_table(totals: np.ndarray, spread: np.ndarray, chosen_on: np.ndarray, draws: Draws) -> pd.DataFrame:
    """A row a threshold, from (2, 251) totals, their (replicates, 2, 251) and those of the windows to choose it on."""
    found, replicates = agreement_by_level(totals), agreement_by_level(spread)
    other = agreement_by_level(chosen_on)
    columns = {"threshold": THRESHOLDS}
    for name in _SWEPT:
        low, high = draws.interval(getattr(replicates, name))
        columns |= {name: getattr(found, name), f"{name}_low": low, f"{name}_high": high}
    columns |= {"area_ratio": found.area_ratio, "chosen_on_f1": other.f1, "chosen_on_iou": other.iou}
    return pd.DataFrame(columns)


def _calibration_table(totals: np.ndarray, spread: np.ndarray, draws: Draws) -> pd.DataFrame:
    """A row a bin of probability, from (2, 251) totals and their (replicates, 2, 251)."""
    found, replicates = reliability(totals), reliability(spread)
    low, high = draws.interval(replicates.mine_share)
    return pd.DataFrame(
        {
            "from": EDGES[:-1],
            "to": EDGES[1:],
            "pixels": found.pixels.astype("int64"),
            "mean_probability": found.mean_probability,
            "mine_share": found.mine_share,
            "mine_share_low": low,
            "mine_share_high": high,
        }
    )


def as_threshold(level: int) -> float:
    """The threshold that calls mine what reaches an encoded probability."""
    return level / CERTAIN
