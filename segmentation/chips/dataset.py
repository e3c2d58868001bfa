"""Step 1's work: fetch and cut all windows of a year, in parallel processes, while downloads go on."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import reduce
from operator import add
from threading import BoundedSemaphore

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.chips.cutting import BandSums, CutJob, Outcome, cut_batch
from segmentation.core.errors import DamagedFile
from segmentation.core.process.workers import worker_pool
from segmentation.core.progress import Bar, progress
from segmentation.core.workspace import YearFolder
from segmentation.geo.grid import CRS, QUAD_PX, Windows
from segmentation.imagery.planet.quads import reading_order
from segmentation.imagery.reflectance import STRETCH
from segmentation.imagery.source import ImagerySource, Prepared
from segmentation.windows.record import TOO_LITTLE_DATA, as_windows, read_windows

log = logging.getLogger(__name__)

# Batches under way for each worker: enough to keep it busy, few enough to keep memory flat.
_AHEAD = 4
_MEASURED_TOGETHER = 64


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
    encoding: str = STRETCH,
    quiet: bool = False,
) -> Dataset:
    """Fetch and cut all windows of a year.

    Args:
        plan: from ``plan_windows``.
        source: of the imagery.
        folder: the year's, locked by the caller.
        labels: every literature polygon, to be drawn into masks; None for a year without masks.
        workers: processes that cut.
        encoding: of the chips, see ``segmentation.chips.chip``.
        quiet: no progress bars.
    """
    outcomes = _too_little_before(plan, folder)
    todo = np.flatnonzero(_uncut(plan, folder, labels is not None, outcomes))
    settled = {outcome.position for outcome in outcomes} | set(todo.tolist())
    cut_before = [position for position in range(len(plan)) if position not in settled]
    cutter = _Cutter(_Jobs(plan, source, folder, labels, encoding), plan, source, workers)
    try:
        with progress(total=len(plan), desc="chips", unit="chip", quiet=quiet) as bar:
            bar.update(len(outcomes))
            outcomes += cutter.cut(todo, cut_before, bar)
        outcomes = _mended(outcomes, cutter, source, quiet)
    finally:
        source.close()
    outcomes.sort(key=lambda outcome: outcome.position)
    done = plan.assign(
        status=[outcome.status for outcome in outcomes],
        valid_share=[outcome.valid_share for outcome in outcomes],
        mine_share=np.array([outcome.mine_share for outcome in outcomes], "float64"),
    )
    sums = [o.sums for o, split in zip(outcomes, plan["split"], strict=True) if o.sums and split == "train"]
    return Dataset(done, reduce(add, sums) if sums else None, _ground(plan, outcomes))


def _ground(plan: gpd.GeoDataFrame, outcomes: list[Outcome]) -> gpd.GeoDataFrame:
    """The valid ground of the windows that are valid in part."""
    partly = [outcome for outcome in outcomes if outcome.ground is not None]
    names = plan["id"].to_numpy()[[outcome.position for outcome in partly]]
    return gpd.GeoDataFrame({"id": names}, geometry=[outcome.ground for outcome in partly], crs=CRS)


def _mended(outcomes: list[Outcome], cutter: _Cutter, source: ImagerySource, quiet: bool) -> list[Outcome]:
    """The outcomes, with those windows cut anew of which some file turned out to be damaged.

    Raises:
        DamagedFile: what was made again is damaged as well.
    """
    damaged = [outcome for outcome in outcomes if outcome.damage]
    if not damaged:
        return outcomes
    for path, damage in {outcome.damage.path: outcome.damage for outcome in damaged}.items():
        log.warning("%s is damaged (%s) and made anew", path, damage.reason)
        source.mark_damaged(path)
    positions = np.array([outcome.position for outcome in damaged])
    source.connect(cutter.windows(positions))
    with progress(total=len(damaged), desc="damaged", unit="chip", quiet=quiet) as bar:
        again = cutter.cut(positions, [], bar, anew=True)
    for outcome in again:
        if outcome.damage:
            raise outcome.damage
    return [outcome for outcome in outcomes if not outcome.damage] + again


def uncut(plan: gpd.GeoDataFrame, folder: YearFolder, masks: bool) -> np.ndarray:
    """Windows whose pixels have to be read, (n,) bool: those without chip (or mask), unless they show too little."""
    return _uncut(plan, folder, masks, _too_little_before(plan, folder, told=False))


def _uncut(plan: gpd.GeoDataFrame, folder: YearFolder, masks: bool, too_little_before: list[Outcome]) -> np.ndarray:
    too_little = {outcome.position for outcome in too_little_before}
    missing = [
        position not in too_little
        and not (folder.chip(split, name).exists() and (not masks or folder.mask(split, name).exists()))
        for position, (split, name) in enumerate(zip(plan["split"], plan["id"], strict=True))
    ]
    return np.array(missing, bool)


def _too_little_before(plan: gpd.GeoDataFrame, folder: YearFolder, *, told: bool = True) -> list[Outcome]:
    """Windows that an earlier run has found to show too little."""
    if not folder.windows.exists() or not folder.holds_chips():
        return []  # a run that cut nothing may have had other settings
    try:
        before = read_windows(folder.windows, folder.year)
    except DamagedFile as damage:
        if told:
            log.warning("%s is damaged (%s) and made anew", damage.path, damage.reason)
        return []
    share = before.loc[before["status"] == TOO_LITTLE_DATA].set_index("id")["valid_share"].to_dict()
    return [Outcome(n, TOO_LITTLE_DATA, share[name]) for n, name in enumerate(plan["id"]) if name in share]


def _by_quad(prepared: Iterator[Prepared], windows: Windows) -> Iterator[list[Prepared]]:
    """Group windows by the quad of their north-west corner; a group comes when all of it is prepared."""
    quad = list(zip((windows.col // QUAD_PX).tolist(), (windows.row // QUAD_PX).tolist(), strict=True))
    size = pd.Series(quad).value_counts().to_dict()
    groups: dict[tuple[int, int], list[Prepared]] = defaultdict(list)
    for item in prepared:
        group = groups[quad[item.position]]
        group.append(item)
        if len(group) == size[quad[item.position]]:
            yield sorted(groups.pop(quad[item.position]), key=lambda item: item.position)


class _Jobs:
    """Makes the cutting jobs of a plan."""

    def __init__(
        self,
        plan: gpd.GeoDataFrame,
        source: ImagerySource,
        folder: YearFolder,
        labels: gpd.GeoDataFrame | None,
        encoding: str,
    ):
        self._plan, self._source, self._folder, self._encoding = plan, source, folder, encoding
        self._reader = source.reader()
        self._tags = {key.upper(): str(value) for key, value in source.settings().items()}
        self._polygons = None if labels is None else labels.geometry.to_crs(CRS).to_numpy()
        self._tree = None if labels is None else shapely.STRtree(self._polygons)

    def of(self, position: int, *, anew: bool = False) -> CutJob:
        row = self._plan.iloc[position]
        labelled = self._tree is not None
        near = self._polygons[np.sort(self._tree.query(row.geometry))] if labelled else np.array([], object)
        return CutJob(
            position=position,
            col=int(row["col"]),
            row=int(row["row"]),
            side_px=int(row["side_px"]),
            chip=self._folder.chip(row["split"], row["id"]),
            mask=self._folder.mask(row["split"], row["id"]) if labelled else None,
            polygons_3857=near,
            reader=self._reader,
            grid=self._source.grid,
            encoding=self._encoding,
            anew=anew,
            tags={"WINDOW": row["id"], **self._tags},
        )


class _Cutter:
    """Has windows of a plan cut by worker processes, while the imagery of others is being prepared."""

    def __init__(self, jobs: _Jobs, plan: gpd.GeoDataFrame, source: ImagerySource, workers: int):
        self._jobs, self._plan, self._source, self._workers = jobs, plan, source, workers

    def windows(self, positions: np.ndarray) -> Windows:
        """The squares of some windows of the plan."""
        return as_windows(self._plan.iloc[positions])

    def cut(self, todo: np.ndarray, cut_before: list[int], bar: Bar, *, anew: bool = False) -> list[Outcome]:
        """Prepare and cut windows.

        Args:
            todo: their positions in the plan.
            cut_before: positions of windows that only have to be measured.
            bar: to be moved on.
            anew: cut what is there as well.
        """
        order = todo[reading_order(self.windows(todo))]
        windows = self.windows(order)
        outcomes = []
        with _Crew(self._workers, self._source) as crew:
            for start in range(0, len(cut_before), _MEASURED_TOGETHER):
                some = cut_before[start : start + _MEASURED_TOGETHER]
                crew.cut([self._jobs.of(position) for position in some], [], bar)
            for batch in _by_quad(self._source.prepare(windows), windows):
                lost = [Outcome(int(order[item.position]), item.problem) for item in batch if item.problem]
                outcomes += lost
                bar.update(len(lost))
                ready = [item.position for item in batch if not item.problem]
                if ready:
                    crew.cut([self._jobs.of(int(order[position]), anew=anew) for position in ready], ready, bar)
            return outcomes + crew.outcomes()


class _Crew:
    """Worker processes, with a bounded number of batches under way."""

    def __init__(self, workers: int, source: ImagerySource):
        self._source = source
        self._pool = worker_pool(workers)
        self._slots = BoundedSemaphore(_AHEAD * workers)
        self._futures: list[Future] = []
        self._failed: list[BaseException] = []

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def cut(self, jobs: list[CutJob], prepared: list[int], bar: Bar) -> None:
        """Hand a batch to the next free worker; waits while too many are under way.

        Args:
            jobs: the windows.
            prepared: their positions in the source's ``prepare``, to be released once they are cut.
            bar: to be moved on.

        Raises:
            Exception: what an earlier batch has raised, such as that the disk is full.
        """

        def end(future: Future) -> None:
            failure = None if future.cancelled() else future.exception()
            if failure is not None:
                self._failed.append(failure)
            self._slots.release()
            bar.update(len(jobs))
            if not future.cancelled() and failure is None:
                self._source.release(prepared)

        self._slots.acquire()
        if self._failed:
            raise self._failed[0]
        future = self._pool.submit(cut_batch, jobs)
        future.add_done_callback(end)
        self._futures.append(future)

    def outcomes(self) -> list[Outcome]:
        """All outcomes, once the last batch is done."""
        return [outcome for future in self._futures for outcome in future.result()]
