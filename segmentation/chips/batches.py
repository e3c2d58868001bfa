"""Windows in batches: cut by worker processes, those over the same quad together, while other imagery is fetched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import geopandas as gpd
import numpy as np
import shapely

from segmentation.chips.cutting import CutJob, Outcome, cut_batch
from segmentation.core.process.workers import Crew
from segmentation.core.progress import Bar
from segmentation.core.workspace import YearFolder
from segmentation.geo.grid import CRS, QUAD_PX, Windows
from segmentation.imagery.planet.quads import reading_order
from segmentation.imagery.source import ImagerySource, Prepared
from segmentation.windows.plan import as_windows

_MEASURED_TOGETHER = 64
_NO_POLYGONS = np.array([], dtype=object)


class Labels:
    """Polygons to draw into masks, found by the square of a window.

    Args:
        polygons: every literature polygon, any CRS.
    """

    def __init__(self, polygons: gpd.GeoDataFrame):
        self._polygons_3857 = polygons.geometry.to_crs(CRS).to_numpy()
        self._tree = shapely.STRtree(self._polygons_3857)

    def near(self, square_3857: shapely.Polygon) -> np.ndarray:
        """The polygons whose boxes meet a square: (n,) in EPSG:3857, in the order of the file."""
        return self._polygons_3857[np.sort(self._tree.query(square_3857))]


class Jobs:
    """Makes the jobs of worker processes.

    Args:
        source: of the imagery.
        folder: of the year.
        labels: to be drawn into masks; None for a year without masks.
        encoding: of the chips, see ``chips.chip``.
    """

    def __init__(self, source: ImagerySource, folder: YearFolder, labels: Labels | None, encoding: str):
        self._folder, self._labels, self._encoding = folder, labels, encoding
        self._grid = source.grid
        self._reader = source.reader()
        self._tags = {key.upper(): str(value) for key, value in source.settings().items()}

    def of(self, windows: gpd.GeoDataFrame, *, anew: bool = False) -> list[CutJob]:
        """A job a window.

        Args:
            windows: rows of the plan.
            anew: cut those that have a chip as well.
        """
        return [
            CutJob(
                window_id=window.id,
                col=int(window.col),
                row=int(window.row),
                side_px=int(window.side_px),
                chip=self._folder.chip(window.split, window.id),
                mask=None if self._labels is None else self._folder.mask(window.split, window.id),
                polygons_3857=_NO_POLYGONS if self._labels is None else self._labels.near(window.geometry),
                reader=self._reader,
                grid=self._grid,
                encoding=self._encoding,
                anew=anew,
                tags={"WINDOW": window.id, **self._tags},
            )
            for window in windows.itertuples()
        ]


class Cutter:
    """Has windows cut by worker processes.

    Args:
        source: of the imagery.
        jobs: makes their jobs.
        workers: number of processes.
    """

    def __init__(self, source: ImagerySource, jobs: Jobs, workers: int):
        self._source, self._jobs, self._workers = source, jobs, workers

    def cut(
        self, to_cut: gpd.GeoDataFrame, to_measure: gpd.GeoDataFrame, bar: Bar, *, anew: bool = False
    ) -> list[Outcome]:
        """Measure the windows that have a chip, then prepare the imagery of the others and cut them.

        Args:
            to_cut: rows of the plan.
            to_measure: likewise; a damaged chip among them gives an outcome that says so.
            bar: to be moved on.
            anew: cut those of ``to_cut`` that have a chip as well.

        Returns:
            An outcome a window, in no particular order.

        Raises:
            Exception: what a worker has raised, such as that the disk is full.
        """
        outcomes: list[Outcome] = []
        tasks: list[Future[list[Outcome]]] = []
        with Crew(self._workers) as crew:
            for start in range(0, len(to_measure), _MEASURED_TOGETHER):
                batch = to_measure.iloc[start : start + _MEASURED_TOGETHER]
                tasks.append(crew.submit(cut_batch, self._jobs.of(batch), done=partial(bar.update, len(batch))))
            for ready in self._prepared(to_cut):
                outcomes += ready.lost
                bar.update(len(ready.lost))
                if not ready.windows.empty:
                    jobs = self._jobs.of(ready.windows, anew=anew)
                    task = crew.submit(cut_batch, jobs, done=partial(bar.update, len(jobs)))
                    task.add_done_callback(partial(self._release, ready.positions))
                    tasks.append(task)
            for task in tasks:
                outcomes += task.result()
        return outcomes

    def _prepared(self, to_cut: gpd.GeoDataFrame) -> Iterator[_Batch]:
        """Prepare the imagery of windows; a batch comes as soon as all of its windows are prepared."""
        in_order = to_cut.iloc[reading_order(as_windows(to_cut))]
        windows = as_windows(in_order)
        for prepared in _by_quad(self._source.prepare(windows), windows):
            lost = [Outcome(in_order["id"].iloc[item.position], item.problem) for item in prepared if item.problem]
            positions = [item.position for item in prepared if not item.problem]
            yield _Batch(in_order.iloc[positions], positions, lost)

    def _release(self, positions: Sequence[int], task: Future) -> None:
        """Tell the source that windows have been read, unless their task was cancelled or failed."""
        if not task.cancelled() and task.exception() is None:
            self._source.release(positions)


@dataclass(frozen=True)
class _Batch:
    """Windows over the same quad whose imagery is prepared.

    Attributes:
        windows: rows of the plan, those that can be cut.
        positions: of these among the windows that the source was asked for, by which it is told that they are read.
        lost: the outcomes of those whose imagery is not to be had.
    """

    windows: gpd.GeoDataFrame
    positions: list[int]
    lost: list[Outcome]


def _by_quad(prepared: Iterator[Prepared], windows: Windows) -> Iterator[list[Prepared]]:
    """Group windows by the quad of their north-west corner; a group comes when all of it is prepared."""
    corners = np.column_stack([windows.col // QUAD_PX, windows.row // QUAD_PX])
    _, quad_of_window, size_of_quad = np.unique(corners, axis=0, return_inverse=True, return_counts=True)
    quads = quad_of_window.ravel().tolist()
    groups: dict[int, list[Prepared]] = defaultdict(list)
    for item in prepared:
        quad = quads[item.position]
        groups[quad].append(item)
        if len(groups[quad]) == size_of_quad[quad]:
            yield sorted(groups.pop(quad), key=lambda item: item.position)
