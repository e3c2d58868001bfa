"""Step 1's work: cut every window into a chip and, for the label year, its mask, in parallel processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from tqdm import tqdm

from segmentation.chips import read_valid, write_chip
from segmentation.grid import CHIP_PX, CRS, Grid
from segmentation.imagery import ImagerySource, WindowReader
from segmentation.masks import IGNORE, MINE, draw_mask, read_mask, write_mask
from segmentation.quads import reading_order
from segmentation.windows import TOO_LITTLE_DATA, WRITTEN, as_windows
from segmentation.workspace import YearFolder

# A chip with less than this share of valid pixels shows too little to learn from or to predict on.
LEAST_VALID = 0.05


@dataclass(frozen=True)
class CutJob:
    """One window to cut: all that a worker process needs to know."""

    position: int
    col: int
    row: int
    side_px: int
    chip: Path
    mask: Path | None
    polygons_3857: np.ndarray
    reader: WindowReader
    grid: Grid
    tags: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What became of a window: its status, and shares of the chip's pixels (mine: of the valid ones)."""

    position: int
    status: str
    valid_share: float = 0.0
    mine_share: float | None = None


def cut(job: CutJob) -> Outcome:
    """Read a window, write its mask and its chip; a window that has both is only measured."""
    if not job.chip.exists() or (job.mask is not None and not job.mask.exists()):
        pixels = job.reader.read(job.col, job.row, job.side_px)
        valid_share = float(pixels.valid.mean())
        if valid_share < LEAST_VALID:
            return Outcome(job.position, TOO_LITTLE_DATA, valid_share)
        transform = job.grid.window_transform(job.col, job.row, job.side_px // CHIP_PX)
        if job.mask is not None:
            write_mask(job.mask, draw_mask(job.polygons_3857, transform, pixels.valid), transform)
        write_chip(job.chip, pixels, transform, job.tags)
    valid_share = float(read_valid(job.chip).mean())
    return Outcome(job.position, WRITTEN, valid_share, _mine_share(job.mask) if job.mask else None)


def _mine_share(path: Path) -> float:
    mask = read_mask(path)
    return float((mask == MINE).sum() / max((mask != IGNORE).sum(), 1))


def cut_windows(
    plan: gpd.GeoDataFrame,
    source: ImagerySource,
    folder: YearFolder,
    labels: gpd.GeoDataFrame | None,
    workers: int,
    quiet: bool = False,
) -> gpd.GeoDataFrame:
    """Fetch and cut all windows of a year; cutting goes on while downloads do.

    Args:
        plan: from ``plan_windows``.
        source: of the imagery.
        folder: the year's, locked by the caller.
        labels: every literature polygon, to be drawn into masks; None for a year without masks.
        workers: processes that cut.
        quiet: no progress bars.

    Returns:
        The plan with ``status``, ``valid_share`` and ``mine_share`` (NaN without mask) in place of nothing.
    """
    jobs = _Jobs(plan, source, folder, labels)
    order = reading_order(as_windows(plan))
    windows = as_windows(plan.iloc[order])
    outcomes: list[Outcome] = []
    futures: list[Future] = []
    with _pool(workers) as pool, tqdm(total=len(plan), desc="chips", unit="chip", disable=quiet) as bar:
        for prepared in source.prepare(windows):
            position = int(order[prepared.position])
            if prepared.problem:
                outcomes.append(Outcome(position, prepared.problem))
                bar.update()
            else:
                futures.append(pool.submit(cut, jobs.of(position)))
                futures[-1].add_done_callback(lambda _: bar.update())
        outcomes += [future.result() for future in futures]
    table = pd.DataFrame(outcomes).set_index("position").sort_index()
    return plan.assign(
        status=table["status"].to_numpy(),
        valid_share=table["valid_share"].to_numpy(),
        mine_share=table["mine_share"].to_numpy("float64"),
    )


class _Jobs:
    """Makes the cutting jobs of a plan."""

    def __init__(
        self,
        plan: gpd.GeoDataFrame,
        source: ImagerySource,
        folder: YearFolder,
        labels: gpd.GeoDataFrame | None,
    ):
        self._plan, self._source, self._folder = plan, source, folder
        self._tags = {key.upper(): str(value) for key, value in source.settings().items()}
        self._polygons = None if labels is None else labels.geometry.to_crs(CRS).to_numpy()
        self._tree = None if labels is None else shapely.STRtree(self._polygons)

    def of(self, position: int) -> CutJob:
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
            reader=self._source.reader(),
            grid=self._source.grid,
            tags={"WINDOW": row["id"], **self._tags},
        )


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, started afresh: forking a process whose threads are downloading is not safe."""
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
