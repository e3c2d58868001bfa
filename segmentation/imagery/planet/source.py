"""Planet's basemaps as an imagery source: the quads that windows need, each fetched once and cached whole."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from threading import Lock

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.core.progress import progress
from segmentation.core.provenance import INVENTED, SYNTHETIC
from segmentation.geo.grid import CRS, Grid, Windows, boxes, quad_name
from segmentation.imagery.cache import COVERED, FAILED, NOT_COVERED, Quad, QuadCache, QuadRecord
from segmentation.imagery.planet.blocks import QUAD_BLOCKS
from segmentation.imagery.planet.client import PlanetClient
from segmentation.imagery.planet.clouds import Choice, CloudScores
from segmentation.imagery.planet.fetch import QuadFetcher
from segmentation.imagery.planet.quads import QuadReader
from segmentation.imagery.source import Forecast, Prepared
from segmentation.imagery.web.traffic import Traffic
from segmentation.windows.record import Footprint, quads_by_window

LEAST_CLOUDY = "least-cloudy"
WHOLE_QUADS, WINDOWS_ONLY = "quads", "windows"
UNKNOWN = "unknown"
_UNIT = "quad"

# Planet's documentation speaks of more than 100 MB for an analytic quad.
_TYPICAL_QUAD_BYTES = 100e6

log = logging.getLogger(__name__)


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
        fetch: ``WHOLE_QUADS``, or ``WINDOWS_ONLY`` for the blocks that windows need.
        discard: remove each quad once its windows are cut.
        threads: downloads at the same time.
        quiet: no progress bars.
        synthetic: the quads are the demo's, no photographs. They are cached apart from real ones, whose names they
            bear, and everything made from them says so.
    """

    def __init__(
        self,
        client: Callable[[], PlanetClient],
        mosaic: str,
        cache: Path,
        candidates: Sequence[str] = (),
        fetch: str = WHOLE_QUADS,
        discard: bool = False,
        threads: int = 4,
        quiet: bool = False,
        *,
        synthetic: bool = False,
    ):
        self.grid = Grid()
        self._client_maker = client
        self._names = (mosaic, *candidates)
        self._mosaic = LEAST_CLOUDY if candidates else mosaic
        self._synthetic = synthetic
        self._cache = QuadCache(cache / (f"{self._mosaic}_{SYNTHETIC}" if synthetic else self._mosaic))
        self._by_blocks = fetch == WINDOWS_ONLY
        self._discard = discard
        self._threads = threads
        self._quiet = quiet
        self._client: PlanetClient | None = None
        self._uses = _Uses([])
        self._to_discard: list[Quad] = []
        self._discarding = Lock()

    def settings(self) -> dict[str, str | int]:
        """The mosaic, or those to choose from, the level, and whether all of it is drawn."""
        named = {"candidates": " ".join(self._names[1:])} if self._mosaic == LEAST_CLOUDY else {}
        mark = {SYNTHETIC: INVENTED} if self._synthetic else {}
        return {"imagery": "planet", "mosaic": self._mosaic, "level": self.grid.level, **named, **mark}

    def reader(self) -> QuadReader:
        """Reads windows from the cached quads."""
        return QuadReader(self._cache.folder, self.grid)

    def forecast(self, windows: Windows, left: np.ndarray | None = None) -> Forecast:
        """What fetching would take; a block is as large as those on disk, or else as a quad is documented to be."""
        quads, unfinished = self._quads(windows), windows.chosen(left)
        missing = self._missing(unfinished)
        sizes = {quad: self._cache.size_of(quad) for quad in quads}
        there = [quad for quad in quads if quad not in missing and sizes[quad]]
        not_covered = [quad for quad in quads if self._cache.is_not_covered(quad)]
        block_bytes = self._block_bytes(quads)
        fetched = [
            QUAD_BLOCKS if blocks is None else len(self._with_known(quad, blocks)) for quad, blocks in missing.items()
        ]
        piece_bytes = block_bytes * (float(np.mean(fetched)) if fetched else QUAD_BLOCKS)
        discarded = set(self._quads(unfinished)) if self._discard else set()
        return Forecast(
            unit=_UNIT,
            pieces=len(quads),
            covered=len(there),
            not_covered=len(not_covered),
            requests=len(self._names) + len(missing) * (2 + len(self._names) - 1) if missing else 0,
            piece_bytes=piece_bytes,
            kept_bytes=0.0 if self._discard else piece_bytes,
            on_disk_bytes=float(sum(sizes[quad] for quad in there if quad not in discarded)),
            spared=len(quads) - len(there) - len(not_covered) - len(missing),
        )

    def _block_bytes(self, quads: Sequence[Quad]) -> float:
        """Mean size of a block, by the quads on disk."""
        size, blocks = 0, 0
        for quad in quads:
            if here := self._cache.size_of(quad):
                known = self._cache.record(quad).blocks
                size, blocks = size + here, blocks + (QUAD_BLOCKS if known is None else len(known))
        return size / blocks if blocks else _TYPICAL_QUAD_BYTES / QUAD_BLOCKS

    def _with_known(self, quad: Quad, blocks: Sequence[int]) -> set[int]:
        """Blocks that are needed of a quad and those that it has: all of them are fetched, see ``QuadFetcher``."""
        return {*blocks, *(self._cache.record(quad).blocks or () if self._cache.size_of(quad) else ())}

    @property
    def traffic(self) -> Traffic:
        """What has gone over the wire so far."""
        return self._client.traffic if self._client else Traffic()

    def connect(self, windows: Windows) -> None:
        """Find the mosaics, if any quad has yet to be fetched.

        Raises:
            PipelineError: no key, a refused key, or a mosaic that it does not see.
        """
        if self._client is None and self._missing(windows):
            self._client = self._client_maker()
            self._default, *self._candidates = [self._client.mosaic(name) for name in self._names]

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Fetch the missing quads; a window comes out as soon as all of its quads are settled.

        Raises:
            Refused: the key is of no use any more.
        """
        self._cache = QuadCache(self._cache.folder)  # as it is now that the year is locked
        if len(windows):
            self._cache.use()
        position, x, y = self.grid.quads_of(windows)
        quads = zip(x.tolist(), y.tolist(), strict=True)  # those of the first window, then of the second, and so on
        touched = [list(islice(quads, count)) for count in np.bincount(position, minlength=len(windows)).tolist()]
        self._uses = _Uses(touched)
        pending = [len(quads) for quads in touched]
        for quad in self._settle(windows):
            for window in self._uses.windows_of(quad):
                pending[window] -= 1
                if pending[window] == 0:
                    yield Prepared(window, self._problem(touched[window]))

    def release(self, positions: Sequence[int]) -> None:
        """Windows that have been cut: quads that no other window needs are discarded, if that is wanted."""
        freed = [quad for quad in self._uses.release(positions) if self._cache.record(quad).status == COVERED]
        if self._discard:
            self._discard_quads(freed)

    def footprint(self, windows: Windows) -> Footprint:
        """A piece a quad, from south-west to north-east, with the cloud score where that decided on the mosaic."""
        quads = sorted(self._quads(windows))
        unknown = QuadRecord("", UNKNOWN)
        records = [self._cache.record(quad) or unknown for quad in quads]
        x, y = np.array(quads, "int64").reshape(-1, 2).T
        pieces = gpd.GeoDataFrame(
            {
                "name": [quad_name(*quad) for quad in quads],
                "mosaic": [record.mosaic for record in records],
                "status": [record.status for record in records],
                "reason": [record.reason for record in records],
                "cloud": np.array([record.cloud for record in records], "float64"),
            },
            geometry=boxes(self.grid.quad_bounds(x, y)),
            crs=CRS,
        )
        return Footprint(_UNIT, pieces, quads_by_window(windows, self.grid))

    def doubt(self, path: Path) -> None:
        """A file that cannot be read is fetched again."""
        self._cache.doubt(path)

    def close(self) -> None:
        """Leave the record of quads in order, and discard what could not be discarded before."""
        if self._to_discard:
            self._discard_quads([])
        if self._to_discard:
            log.warning(
                "%d quads were not discarded, since another run uses them too: %s",
                len(self._to_discard),
                self._cache.folder,
            )
        self._cache.leave()
        self._cache.tidy()

    def _discard_quads(self, quads: Sequence[Quad]) -> None:
        """Discard quads, and those that another run was using at the last attempt."""
        with self._discarding:
            self._to_discard += quads
            if self._cache.discard(self._to_discard):
                self._to_discard = []

    def _quads(self, windows: Windows) -> list[Quad]:
        """The distinct quads of windows, north to south and west to east, as windows are read."""
        _, x, y = self.grid.quads_of(windows)
        distinct = np.unique(np.column_stack([-y, x]), axis=0)
        return list(zip(distinct[:, 1].tolist(), (-distinct[:, 0]).tolist(), strict=True))

    def _missing(self, windows: Windows) -> dict[Quad, list[int] | None]:
        """The quads that are not settled, with the blocks that are needed of them (None for all)."""
        if not self._by_blocks:
            return {quad: None for quad in self._quads(windows) if not self._cache.is_settled(quad)}
        x, y, number = self.grid.blocks_of(windows)
        blocks = pd.Series(number).groupby([x, y]).agg(list).to_dict()
        quads = self._quads(windows)
        return {quad: blocks[quad] for quad in quads if not self._cache.is_settled(quad, blocks[quad])}

    def _settle(self, windows: Windows) -> Iterator[Quad]:
        """Every quad, once its record is known: those at hand at once, the others as their downloads end."""
        missing = self._missing(windows)
        yield from (quad for quad in self._quads(windows) if quad not in missing)
        if not missing:
            return
        self.connect(windows)  # another run may have discarded quads since
        chosen = self._choose(list(missing))
        fetcher = QuadFetcher(self._client, self._cache, self.grid)
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="download")
        downloads = {pool.submit(fetcher.fetch, quad, chosen[quad], blocks): quad for quad, blocks in missing.items()}
        try:
            ended = as_completed(downloads)
            for download in progress(ended, total=len(downloads), desc="quads", unit="quad", quiet=self._quiet):
                download.result()
                yield downloads[download]
        finally:
            fetcher.give_up()
            pool.shutdown(cancel_futures=True)

    def _choose(self, quads: list[Quad]) -> dict[Quad, Choice]:
        if not self._candidates:
            return dict.fromkeys(quads, Choice(self._default))
        scores = CloudScores(self._client, self._cache.folder, self._threads, self._quiet)
        return scores.choose(quads, self._candidates, self._default)

    def _problem(self, quads: Sequence[Quad]) -> str | None:
        states = {self._cache.record(quad).status for quad in quads}
        if FAILED in states:
            return FAILED
        return NOT_COVERED if states == {NOT_COVERED} else None


class _Uses:
    """Which windows still need which quads."""

    def __init__(self, quads_of: Sequence[Sequence[Quad]]):
        self._quads_of = quads_of
        self._windows_of: dict[Quad, list[int]] = defaultdict(list)
        for window, quads in enumerate(quads_of):
            for quad in quads:
                self._windows_of[quad].append(window)
        self._left = {quad: len(windows) for quad, windows in self._windows_of.items()}
        self._lock = Lock()

    def windows_of(self, quad: Quad) -> list[int]:
        """The windows that touch a quad."""
        return self._windows_of[quad]

    def release(self, windows: Sequence[int]) -> list[Quad]:
        """Windows that need their quads no more; the quads that none needs now."""
        freed = []
        with self._lock:
            for quad in (quad for window in windows for quad in self._quads_of[window]):
                self._left[quad] -= 1
                if self._left[quad] == 0:
                    freed.append(quad)
        return freed
