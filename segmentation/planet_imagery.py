"""Planet's basemaps as an imagery source: the quads that windows need, each fetched once and cached whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from tqdm import tqdm

from segmentation.clouds import Choice, CloudScores
from segmentation.errors import PipelineError
from segmentation.grid import CRS, Grid, Windows, boxes, quad_name
from segmentation.imagery import Prepared
from segmentation.planet import PlanetClient, QuadNotCovered
from segmentation.quad_cache import COVERED, FAILED, NOT_COVERED, Quad, QuadCache, QuadRecord
from segmentation.quads import QuadReader, check_quad
from segmentation.web import Refused

LEAST_CLOUDY = "least-cloudy"

# Planet's documentation speaks of more than 100 MB for an analytic quad.
_TYPICAL_QUAD_BYTES = 100e6

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Forecast:
    """What it would take to fetch the quads of some windows.

    Attributes:
        quads: needed in all.
        covered: of these, on disk and checked.
        not_covered: known not to be given by the API.
        requests: to the API, at least.
        quad_bytes: mean size of a quad, of those on disk or else as documented.
    """

    quads: int
    covered: int
    not_covered: int
    requests: int
    quad_bytes: float

    @property
    def missing(self) -> int:
        """Quads to fetch."""
        return self.quads - self.covered - self.not_covered


class PlanetImagery:
    """Quads of a Planet mosaic, or of the least cloudy of several.

    Quads that the API does not give are remembered in ``quads.jsonl`` beside the others; remove that file to have all
    quads checked and those asked for again.

    Args:
        client: makes the API client; called only when a quad has to be fetched, so that a complete cache needs
            neither network nor key.
        mosaic: Planet's name of the mosaic; with candidates, of the one for quads without scene metadata.
        cache: folder of the year's quads.
        candidates: names of the mosaics to choose from for each quad, in the order of time; none for no choice.
        threads: downloads at the same time.
        quiet: no progress bars.
    """

    def __init__(
        self,
        client: Callable[[], PlanetClient],
        mosaic: str,
        cache: Path,
        candidates: Sequence[str] = (),
        threads: int = 4,
        quiet: bool = False,
    ):
        self.grid = Grid()
        self._client_maker = client
        self._names = (mosaic, *candidates)
        self._mosaic = LEAST_CLOUDY if candidates else mosaic
        self._year_folder = cache
        self._cache = QuadCache(cache / self._mosaic)
        self._threads = threads
        self._quiet = quiet
        self._client: PlanetClient | None = None
        self._settled: dict[Quad, QuadRecord] = {}

    def settings(self) -> dict[str, str | int]:
        """The mosaic, or those to choose from, and the level."""
        named = {"candidates": " ".join(self._names[1:])} if self._mosaic == LEAST_CLOUDY else {}
        return {"imagery": "planet", "mosaic": self._mosaic, "level": self.grid.level, **named}

    def reader(self) -> QuadReader:
        """Reads windows from the cached quads."""
        return QuadReader(self._cache.folder, self.grid)

    def forecast(self, windows: Windows) -> Forecast:
        """What fetching would take; asks nothing."""
        quads = self._quads(windows)
        known = [self._cache.record(quad) for quad in quads if self._cache.is_settled(quad)]
        sizes = [record.size for record in known if record.status == COVERED]
        missing = len(quads) - len(known)
        mosaics = len(self._names) if missing else 0
        return Forecast(
            quads=len(quads),
            covered=len(sizes),
            not_covered=len(known) - len(sizes),
            requests=mosaics + missing * (2 + len(self._names) - 1),
            quad_bytes=float(np.mean(sizes)) if sizes else _TYPICAL_QUAD_BYTES,
        )

    def connect(self, windows: Windows) -> None:
        """Find the mosaics, if any quad has yet to be fetched.

        Raises:
            PipelineError: no key, a refused key, or a mosaic that it does not see.
        """
        if self._client is None and self.forecast(windows).missing:
            self._client = self._client_maker()
            self._default, *self._candidates = [self._client.mosaic(name) for name in self._names]

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Fetch the missing quads; a window comes out as soon as all of its quads are settled.

        Raises:
            Refused: the key is of no use any more.
        """
        self._cache = QuadCache(self._cache.folder)  # as it is now that the year is locked
        position, x, y = self.grid.quads_of(windows)
        starts = np.searchsorted(position, np.arange(len(windows) + 1))
        pending = np.diff(starts)
        waiting = pd.Series(position).groupby([x, y]).agg(list).to_dict()
        for quad in self._settle(self._quads(windows)):
            for window in waiting[quad]:
                pending[window] -= 1
                if pending[window] == 0:
                    own = slice(starts[window], starts[window + 1])
                    yield Prepared(window, self._problem(zip(x[own].tolist(), y[own].tolist(), strict=True)))
        self._cache.tidy()

    def footprint(self) -> gpd.GeoDataFrame:
        """A row a quad, from south-west to north-east, with the cloud score where that decided on the mosaic."""
        quads = sorted(self._settled)
        records = [self._settled[quad] for quad in quads]
        x, y = np.array(quads, "int64").reshape(-1, 2).T
        return gpd.GeoDataFrame(
            {
                "quad": [quad_name(*quad) for quad in quads],
                "mosaic": [record.mosaic for record in records],
                "status": [record.status for record in records],
                "reason": [record.reason for record in records],
                "cloud": np.array([record.cloud for record in records], "float64"),
            },
            geometry=boxes(self.grid.quad_bounds(x, y)),
            crs=CRS,
        )

    def _quads(self, windows: Windows) -> list[Quad]:
        """The distinct quads of windows, north to south and west to east, as windows are read."""
        _, x, y = self.grid.quads_of(windows)
        distinct = np.unique(np.column_stack([-y, x]), axis=0)
        return list(zip(distinct[:, 1].tolist(), (-distinct[:, 0]).tolist(), strict=True))

    def _settle(self, quads: list[Quad]) -> Iterator[Quad]:
        """Every quad, once its record is known: those at hand at once, the others as their downloads end."""
        at_hand = {quad: self._cache.record(quad) for quad in quads if self._cache.is_settled(quad)}
        self._settled.update(at_hand)
        yield from at_hand
        missing = [quad for quad in quads if quad not in at_hand]
        if not missing:
            return
        chosen = self._choose(missing)
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="download")
        downloads = {pool.submit(self._fetch, quad, chosen[quad]): quad for quad in missing}
        try:
            ended = as_completed(downloads)
            for download in tqdm(ended, total=len(downloads), desc="quads", unit="quad", disable=self._quiet):
                quad = downloads[download]
                self._settled[quad] = self._outcome(quad, chosen[quad], download)
                self._cache.keep(quad, self._settled[quad])
                yield quad
        finally:
            pool.shutdown(cancel_futures=True)

    def _choose(self, quads: list[Quad]) -> dict[Quad, Choice]:
        if not self._candidates:
            return dict.fromkeys(quads, Choice(self._default))
        scores = CloudScores(self._client, self._year_folder / LEAST_CLOUDY, self._threads, self._quiet)
        return scores.choose(quads, self._candidates, self._default)

    def _fetch(self, quad: Quad, choice: Choice) -> None:
        path = self._cache.path(quad)
        check = partial(check_quad, grid=self.grid, x=quad[0], y=quad[1])
        # A file without a record may be whole: the run that fetched it was cut off, or someone has put it there.
        if path.exists() and self._cache.record(quad) is None and choice.cloud is None and _passes(check, path):
            return
        self._client.download(self._client.quad_link(choice.mosaic, *quad), path, check)

    def _outcome(self, quad: Quad, choice: Choice, download: Future) -> QuadRecord:
        try:
            download.result()
        except QuadNotCovered as reason:
            return QuadRecord(choice.mosaic.name, NOT_COVERED, str(reason), cloud=choice.cloud)
        except Refused:
            raise
        except PipelineError as error:
            log.warning("quad %s: %s", quad_name(*quad), error)
            return QuadRecord(choice.mosaic.name, FAILED, str(error), cloud=choice.cloud)
        size = self._cache.path(quad).stat().st_size
        return QuadRecord(choice.mosaic.name, COVERED, size=size, cloud=choice.cloud)

    def _problem(self, quads: Iterator[Quad]) -> str | None:
        states = {self._settled[quad].status for quad in quads}
        if FAILED in states:
            return FAILED
        return NOT_COVERED if states == {NOT_COVERED} else None


def _passes(check: Callable[[Path], None], path: Path) -> bool:
    try:
        check(path)
    except ValueError:
        return False
    return True
