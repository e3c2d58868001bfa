"""Planet's basemaps as an imagery source: the quads that windows need, each fetched once and cached whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.core.provenance import INVENTED, SYNTHETIC
from segmentation.geo.grid import CRS, Grid, Windows, boxes, quad_name
from segmentation.imagery.cache import COVERED, FAILED, NOT_COVERED, Quad, QuadCache
from segmentation.imagery.planet.client import Mosaic, PlanetClient
from segmentation.imagery.planet.clouds import ChosenMosaic, CloudScores
from segmentation.imagery.planet.estimates import mean_block_bytes, mean_blocks_to_fetch, requests_for
from segmentation.imagery.planet.fetch import QuadFetcher
from segmentation.imagery.planet.quads import QuadReader
from segmentation.imagery.planet.uses import QuadUses, quads_of_each
from segmentation.imagery.source import Forecast, Prepared
from segmentation.imagery.web.parallel import as_they_end
from segmentation.imagery.web.traffic import Traffic
from segmentation.windows.record import Footprint, quads_by_window

LEAST_CLOUDY = "least-cloudy"
WHOLE_QUADS, WINDOWS_ONLY = "quads", "windows"
_UNIT = "quad"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Api:
    """The API, asked for its mosaics.

    Attributes:
        client: of the API.
        default: the mosaic, or the one for quads without scene metadata.
        candidates: to choose from for each quad, in the order of time.
    """

    client: PlanetClient
    default: Mosaic
    candidates: Sequence[Mosaic]


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
        *,
        candidates: Sequence[str] = (),
        fetch: str = WHOLE_QUADS,
        discard: bool = False,
        threads: int = 4,
        quiet: bool = False,
        synthetic: bool = False,
    ):
        self.grid = Grid()
        self._make_client = client
        self._names = (mosaic, *candidates)
        self._mosaic = LEAST_CLOUDY if candidates else mosaic
        self._synthetic = synthetic
        self._cache = QuadCache(cache / (f"{self._mosaic}_{SYNTHETIC}" if synthetic else self._mosaic))
        self._by_blocks = fetch == WINDOWS_ONLY
        self._discard = discard
        self._threads = threads
        self._quiet = quiet
        self._api: _Api | None = None
        self._uses = QuadUses([])
        self._to_discard: list[Quad] = []
        self._discarding = Lock()

    def settings(self) -> dict[str, str | int]:
        """The mosaic, or those to choose from, the level, and whether all of it is drawn."""
        settings: dict[str, str | int] = {"imagery": "planet", "mosaic": self._mosaic, "level": self.grid.level}
        if self._mosaic == LEAST_CLOUDY:
            settings["candidates"] = " ".join(self._names[1:])
        if self._synthetic:
            settings[SYNTHETIC] = INVENTED
        return settings

    def reader(self) -> QuadReader:
        """Reads windows from the cached quads."""
        return QuadReader(self._cache.folder, self.grid)

    def forecast(self, windows: Windows, left: np.ndarray | None = None) -> Forecast:
        """What fetching would take; a block is as large as those on disk, or else as a quad is documented to be."""
        quads = self._quads(windows)
        unfinished = windows.chosen(left)
        missing = self._missing(unfinished)
        sizes = {quad: self._cache.size_of(quad) for quad in quads}
        there = [quad for quad in quads if sizes[quad] and quad not in missing]
        not_covered = [quad for quad in quads if self._cache.is_not_covered(quad)]
        leaving = set(self._quads(unfinished)) if self._discard else set()
        staying = [quad for quad in there if quad not in leaving]
        piece_bytes = mean_block_bytes(self._cache, quads) * mean_blocks_to_fetch(self._cache, missing)
        return Forecast(
            unit=_UNIT,
            pieces=len(quads),
            covered=len(there),
            not_covered=len(not_covered),
            requests=requests_for(len(missing), mosaics=len(self._names)),
            piece_bytes=piece_bytes,
            kept_bytes=0.0 if self._discard else piece_bytes,
            on_disk_bytes=float(sum(sizes[quad] for quad in staying)),
            spared=len(quads) - len(there) - len(not_covered) - len(missing),
        )

    @property
    def traffic(self) -> Traffic:
        """What has gone over the wire so far."""
        return Traffic() if self._api is None else self._api.client.traffic

    def connect(self, windows: Windows) -> None:
        """Find the mosaics, if any quad has yet to be fetched.

        Raises:
            PipelineError: no key, a refused key, or a mosaic that it does not see.
        """
        if self._missing(windows):
            self._connected()

    def _connected(self) -> _Api:
        """The API, with the mosaics that were found when it was first needed."""
        if self._api is None:
            client = self._make_client()
            default, *candidates = [client.mosaic(name) for name in self._names]
            self._api = _Api(client, default, candidates)
        return self._api

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Fetch the missing quads; a window comes out as soon as the last of its quads is there or known to be missing.

        Raises:
            Refused: the key is of no use any more.
        """
        self._cache.refresh()  # the year is locked now: what other runs have fetched before is known
        if len(windows):
            self._cache.begin_reading()
        self._uses = QuadUses(quads_of_each(windows, self.grid))
        waiting_for = [len(self._uses.quads_of(window)) for window in range(len(windows))]
        for quad in self._quads_as_they_come(windows):
            for window in self._uses.windows_of(quad):
                waiting_for[window] -= 1
                if waiting_for[window] == 0:
                    yield Prepared(window, self._problem(self._uses.quads_of(window)))

    def release(self, positions: Sequence[int]) -> None:
        """Windows that have been cut: quads that no other window needs are discarded, if that is wanted."""
        freed = self._uses.release(positions)
        if self._discard:
            self._discard_quads([quad for quad in freed if self._cache.record(quad).status == COVERED])

    def footprint(self, windows: Windows) -> Footprint:
        """A piece a quad, from south-west to north-east, with the cloud score where that decided on the mosaic."""
        quads = sorted(self._quads(windows))
        records = [self._cache.told(quad) for quad in quads]
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

    def mark_damaged(self, path: Path) -> None:
        """Have a file that cannot be read fetched again."""
        self._cache.mark_damaged(path)

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
        self._cache.end_reading()
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
        from_north = np.unique(np.column_stack([-y, x]), axis=0)
        return list(zip(from_north[:, 1].tolist(), (-from_north[:, 0]).tolist(), strict=True))

    def _missing(self, windows: Windows) -> dict[Quad, list[int] | None]:
        """The quads that have to be asked for, with the blocks that are needed of them (None for all)."""
        quads = self._quads(windows)
        if not self._by_blocks:
            return {quad: None for quad in quads if not self._cache.is_complete(quad)}
        x, y, number = self.grid.blocks_of(windows)
        blocks = pd.Series(number).groupby([x, y]).agg(list).to_dict()
        return {quad: blocks[quad] for quad in quads if not self._cache.is_complete(quad, blocks[quad])}

    def _quads_as_they_come(self, windows: Windows) -> Iterator[Quad]:
        """Every quad, once its record is known: those at hand at once, the others as their downloads end."""
        missing = self._missing(windows)
        for quad in self._quads(windows):
            if quad not in missing:
                yield quad
        if not missing:
            return
        api = self._connected()  # another run may have discarded quads since ``connect``
        chosen = self._choose(api, list(missing))
        fetcher = QuadFetcher(api.client, self._cache, self.grid)
        jobs = {quad: (quad, chosen[quad], blocks) for quad, blocks in missing.items()}
        ended = as_they_end(
            fetcher.fetch, jobs, give_up=fetcher.give_up, threads=self._threads, unit=_UNIT, quiet=self._quiet
        )
        for quad, _ in ended:
            yield quad

    def _choose(self, api: _Api, quads: list[Quad]) -> dict[Quad, ChosenMosaic]:
        """The mosaic to take each quad from."""
        if not api.candidates:
            return dict.fromkeys(quads, ChosenMosaic(api.default))
        scores = CloudScores(api.client, self._cache.folder, self._threads, quiet=self._quiet)
        return scores.choose(quads, api.candidates, api.default)

    def _problem(self, quads: Sequence[Quad]) -> str | None:
        """Why a window of some quads cannot be cut; a part that is not covered is no data in its chip."""
        states = {self._cache.record(quad).status for quad in quads}
        if FAILED in states:
            return FAILED
        return NOT_COVERED if states == {NOT_COVERED} else None
