"""Step 1's work: the chips and masks of a year, as far as they are not there yet, and what became of each window."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np

from segmentation.chips.batches import Cutter, Jobs, Labels
from segmentation.chips.cutting import BandSums, Outcome
from segmentation.core.errors import DamagedFile
from segmentation.core.progress import progress
from segmentation.core.workspace import YearFolder
from segmentation.geo.grid import CRS
from segmentation.imagery.reflectance import STRETCH
from segmentation.imagery.source import ImagerySource
from segmentation.windows.record import read_windows
from segmentation.windows.statuses import TOO_LITTLE_DATA

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """What step 1 made of a year.

    Attributes:
        windows: the plan with ``status``, ``valid_share`` and ``mine_share`` (NaN without mask) of each window.
        train: sums over the chips of the training split; None where it has none.
        ground: ``id`` of each window of which some pixels are valid and others are not, and as geometry (EPSG:3857)
            what its valid ones cover.
    """

    windows: gpd.GeoDataFrame
    train: BandSums | None
    ground: gpd.GeoDataFrame


def cut_windows(
    plan: gpd.GeoDataFrame,
    source: ImagerySource,
    folder: YearFolder,
    labels: gpd.GeoDataFrame | None,
    workers: int,
    *,
    encoding: str = STRETCH,
    quiet: bool = False,
) -> Dataset:
    """Fetch and cut all windows of a year.

    Windows that an earlier run has cut are measured, and cut anew where a file of theirs is damaged.

    Args:
        plan: from ``windows.plan.plan_windows``; every window has an ``id`` of its own.
        source: of the imagery.
        folder: the year's, locked by the caller.
        labels: every literature polygon, to be drawn into masks; None for a year without masks.
        workers: processes that cut.
        encoding: of the chips, see ``chips.chip``.
        quiet: no progress bars.

    Raises:
        DamagedFile: what was made again is damaged as well.
        PipelineError: the imagery cannot be fetched, or there is no room to write.
    """
    outcomes = _found_too_little(plan, folder)
    undecided = plan[~_is_among(plan, outcomes)]
    lacking = _lack_files(undecided, folder, masks=labels is not None)
    jobs = Jobs(source, folder, None if labels is None else Labels(labels), encoding)
    cutter = Cutter(source, jobs, workers)
    try:
        with progress(total=len(plan), desc="chips", unit="chip", quiet=quiet) as bar:
            bar.update(len(outcomes))
            outcomes += cutter.cut(undecided[lacking], undecided[~lacking], bar)
        outcomes = _cut_damaged_anew(plan, outcomes, source, cutter, quiet=quiet)
    finally:
        source.close()
    return _dataset(plan, outcomes)


def uncut(plan: gpd.GeoDataFrame, folder: YearFolder, *, masks: bool) -> np.ndarray:
    """Windows whose pixels have to be read, (n,) bool: those without chip (or mask), unless they show too little.

    Args:
        plan: from ``windows.plan.plan_windows``.
        folder: the year's.
        masks: whether the year's chips have masks.
    """
    too_little = _found_too_little(plan, folder, warn=False)
    return _lack_files(plan, folder, masks=masks) & ~_is_among(plan, too_little)


def _lack_files(plan: gpd.GeoDataFrame, folder: YearFolder, *, masks: bool) -> np.ndarray:
    """Windows without chip, or without mask where there are masks: (n,) bool."""
    lacking = []
    for split, window_id in zip(plan["split"], plan["id"], strict=True):
        has_chip = folder.chip(split, window_id).exists()
        has_mask = not masks or folder.mask(split, window_id).exists()
        lacking.append(not (has_chip and has_mask))
    return np.array(lacking, dtype=bool)


def _is_among(plan: gpd.GeoDataFrame, outcomes: Sequence[Outcome]) -> np.ndarray:
    """Windows that have an outcome: (n,) bool."""
    return plan["id"].isin({outcome.window_id for outcome in outcomes}).to_numpy()


def _found_too_little(plan: gpd.GeoDataFrame, folder: YearFolder, *, warn: bool = True) -> list[Outcome]:
    """The outcomes of windows that an earlier run has found to show too little.

    Args:
        plan: of this run.
        folder: the year's.
        warn: say it where the record of the earlier run is damaged.
    """
    if not folder.windows.exists() or not folder.holds_chips():
        return []  # a run that cut nothing may have had other settings
    try:
        before = read_windows(folder.windows, folder.year)
    except DamagedFile as damage:
        if warn:
            log.warning("%s is damaged (%s) and made anew", damage.path, damage.reason)
        return []
    too_little = before[(before["status"] == TOO_LITTLE_DATA) & before["id"].isin(plan["id"])]
    valid_share = zip(too_little["id"], too_little["valid_share"], strict=True)
    return [Outcome(window_id, TOO_LITTLE_DATA, share) for window_id, share in valid_share]


def _cut_damaged_anew(
    plan: gpd.GeoDataFrame, outcomes: list[Outcome], source: ImagerySource, cutter: Cutter, *, quiet: bool
) -> list[Outcome]:
    """The outcomes, with those windows cut anew of which some file turned out to be damaged.

    Raises:
        DamagedFile: what was made again is damaged as well.
    """
    damage_at = {outcome.damage.path: outcome.damage for outcome in outcomes if outcome.damage is not None}
    if not damage_at:
        return outcomes
    for path, damage in damage_at.items():
        log.warning("%s is damaged (%s) and made anew", path, damage.reason)
        source.mark_damaged(path)
    whole = [outcome for outcome in outcomes if outcome.damage is None]
    damaged = plan[~_is_among(plan, whole)]
    with progress(total=len(damaged), desc="damaged", unit="chip", quiet=quiet) as bar:
        again = cutter.cut(damaged, plan.iloc[:0], bar, anew=True)
    for outcome in again:
        if outcome.damage is not None:
            raise outcome.damage
    return whole + again


def _dataset(plan: gpd.GeoDataFrame, outcomes: Sequence[Outcome]) -> Dataset:
    """What the outcomes, in any order, come to."""
    outcome_of = {outcome.window_id: outcome for outcome in outcomes}
    in_order = [outcome_of[window_id] for window_id in plan["id"]]
    windows = plan.assign(
        status=[outcome.status for outcome in in_order],
        valid_share=[outcome.valid_share for outcome in in_order],
        mine_share=np.array([outcome.mine_share for outcome in in_order], "float64"),
    )
    trained_on = [outcome for outcome, split in zip(in_order, plan["split"], strict=True) if split == "train"]
    partly_valid = [outcome for outcome in in_order if outcome.ground is not None]
    ground = gpd.GeoDataFrame(
        {"id": [outcome.window_id for outcome in partly_valid]},
        geometry=[outcome.ground for outcome in partly_valid],
        crs=CRS,
    )
    return Dataset(windows, _total(trained_on), ground)


def _total(outcomes: Sequence[Outcome]) -> BandSums | None:
    """The sums over all chips; None where there is no chip."""
    total = None
    for outcome in outcomes:
        if outcome.sums is not None:
            total = outcome.sums if total is None else total + outcome.sums
    return total
