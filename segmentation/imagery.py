"""Imagery sources: where the pixels of windows come from.

A source makes the pixels of windows available (with progress, resumable) and names a reader that worker processes
use to read one window. Planet's basemap quads, cached whole, are the source so far.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import geopandas as gpd
import numpy as np
import pandas as pd
from tqdm import tqdm

from segmentation.errors import PipelineError
from segmentation.grid import CRS, Grid, Windows, boxes, quad_name
from segmentation.planet import Mosaic, PlanetClient, QuadNotCovered
from segmentation.quads import Pixels, QuadReader, check_quad
from segmentation.windows import FAILED, NOT_COVERED
from segmentation.workspace import read_json, write_json

COVERED = "covered"

log = logging.getLogger(__name__)


class WindowReader(Protocol):
    """Reads one window; small and picklable."""

    def read(self, col: int, row: int, side_px: int) -> Pixels:
        """Read a window of the grid onto 512 x 512 pixels."""


@dataclass(frozen=True)
class Prepared:
    """A window whose imagery is settled.

    Attributes:
        position: of the window among those asked for.
        problem: why it cannot be read (``NOT_COVERED`` or ``FAILED``), None where it can.
    """

    position: int
    problem: str | None = None


class ImagerySource(Protocol):
    """Where pixels come from."""

    grid: Grid

    def settings(self) -> dict[str, str | int]:
        """What the chips made from this source depend on."""

    def connect(self, windows: Windows) -> None:
        """Fail early: make sure that the source can serve these windows, before anything is written."""

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Make pixels available; every window comes out once, in the order in which they are settled."""

    def reader(self) -> WindowReader:
        """What reads a prepared window."""

    def footprint(self) -> gpd.GeoDataFrame:
        """What ``prepare`` came across: ``quad``, ``mosaic``, ``status``, ``reason``, the square (EPSG:3857)."""


class PlanetImagery:
    """Quads of one Planet mosaic, each fetched once and cached whole.

    A quad that has its final name in the cache has passed ``check_quad``. Quads that the API does not give are
    remembered in ``not_covered.json`` beside them; remove that file to ask again.

    Args:
        client: makes the API client; called only when a quad has to be fetched, so that a complete cache needs
            neither network nor key.
        mosaic_name: Planet's name of the mosaic.
        cache: folder of the year's quads.
        grid: the mosaic's pixel grid.
        threads: downloads at the same time.
        quiet: no progress bar.
    """

    def __init__(
        self,
        client: Callable[[], PlanetClient],
        mosaic_name: str,
        cache: Path,
        grid: Grid,
        threads: int = 4,
        quiet: bool = False,
    ):
        self.grid = grid
        self._client_maker = client
        self._mosaic_name = mosaic_name
        self._folder = cache / mosaic_name
        self._threads = threads
        self._quiet = quiet
        self._client: PlanetClient | None = None
        self._mosaic: Mosaic | None = None
        self._reader = QuadReader(self._folder, grid)
        self._status: dict[tuple[int, int], tuple[str, str]] = {}

    def settings(self) -> dict[str, str | int]:
        """The mosaic and its level."""
        return {"imagery": "planet", "mosaic": self._mosaic_name, "level": self.grid.level}

    def reader(self) -> QuadReader:
        """Reads windows from the cached quads."""
        return self._reader

    def connect(self, windows: Windows) -> None:
        """Find the mosaic, if any quad has yet to be fetched.

        Raises:
            PipelineError: no key, a refused key, or a mosaic that it does not see.
        """
        known = self._not_covered()
        if any(self._missing(quad, known) for quad in self._quads(windows)):
            self._client = self._client_maker()
            self._mosaic = self._client.mosaic(self._mosaic_name)

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Fetch the missing quads; a window comes out as soon as all of its quads are settled."""
        position, x, y = self.grid.quads_of(windows)
        pending = np.bincount(position, minlength=len(windows))
        waiting = pd.Series(position).groupby([x, y]).agg(list).to_dict()
        for quad in self._settle(list(self._quads(windows))):
            for window in waiting[quad]:
                pending[window] -= 1
                if pending[window] == 0:
                    yield Prepared(window, self._problem(position, x, y, window))

    def footprint(self) -> gpd.GeoDataFrame:
        """A row a quad, from south-west to north-east."""
        quads = sorted(self._status)
        x, y = np.array(quads, "int64").reshape(-1, 2).T
        status, reason = zip(*(self._status[quad] for quad in quads), strict=True) if quads else ((), ())
        return gpd.GeoDataFrame(
            {
                "quad": [quad_name(*quad) for quad in quads],
                "mosaic": self._mosaic_name,
                "status": status,
                "reason": reason,
            },
            geometry=boxes(self.grid.quad_bounds(x, y)),
            crs=CRS,
        )

    def _quads(self, windows: Windows) -> Iterator[tuple[int, int]]:
        """The distinct quads of windows, north to south and west to east, as windows are read."""
        _, x, y = self.grid.quads_of(windows)
        distinct = np.unique(np.column_stack([-y, x]), axis=0)
        yield from zip(distinct[:, 1].tolist(), (-distinct[:, 0]).tolist(), strict=True)

    def _missing(self, quad: tuple[int, int], known: dict[str, str]) -> bool:
        return quad_name(*quad) not in known and not self._reader.quad_path(*quad).exists()

    def _settle(self, quads: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Every quad, once its status is known: those at hand at once, the others as their downloads end."""
        known = self._not_covered()
        missing = [quad for quad in quads if self._missing(quad, known)]
        unasked = set(missing)
        for quad in (quad for quad in quads if quad not in unasked):
            name = quad_name(*quad)
            self._status[quad] = (NOT_COVERED, known[name]) if name in known else (COVERED, "")
            yield quad
        if not missing:
            return
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="download")
        downloads = {pool.submit(self._fetch, quad): quad for quad in missing}
        try:
            for download in tqdm(
                as_completed(downloads), total=len(downloads), desc="quads", unit="quad", disable=self._quiet
            ):
                quad = downloads[download]
                self._status[quad] = self._outcome(quad, download, known)
                yield quad
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetch(self, quad: tuple[int, int]) -> None:
        link = self._client.quad_link(self._mosaic, *quad)
        check = partial(check_quad, grid=self.grid, x=quad[0], y=quad[1])
        self._client.download(link, self._reader.quad_path(*quad), check)

    def _outcome(self, quad: tuple[int, int], download: Future, known: dict[str, str]) -> tuple[str, str]:
        try:
            download.result()
        except QuadNotCovered as reason:
            known[quad_name(*quad)] = str(reason)
            write_json(self._folder / "not_covered.json", known)
            return NOT_COVERED, str(reason)
        except PipelineError as error:
            log.warning("quad %s: %s", quad_name(*quad), error)
            return FAILED, str(error)
        return COVERED, ""

    def _problem(self, position: np.ndarray, x: np.ndarray, y: np.ndarray, window: int) -> str | None:
        own = slice(*np.searchsorted(position, [window, window + 1]))
        states = {self._status[quad][0] for quad in zip(x[own].tolist(), y[own].tolist(), strict=True)}
        if FAILED in states:
            return FAILED
        return NOT_COVERED if states == {NOT_COVERED} else None

    def _not_covered(self) -> dict[str, str]:
        return read_json(self._folder / "not_covered.json")
