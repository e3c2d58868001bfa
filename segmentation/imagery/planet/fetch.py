"""Fetching one quad: whole, or the blocks of it that windows need."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event

import rasterio

from segmentation.core.errors import DiskFull, PipelineError
from segmentation.geo.grid import Grid, quad_name
from segmentation.imagery.cache import COVERED, FAILED, NOT_COVERED, PieceRecord, Quad, QuadCache
from segmentation.imagery.planet.blocks import PARTIAL_TAG
from segmentation.imagery.planet.client import PlanetClient, QuadNotCovered
from segmentation.imagery.planet.clouds import ChosenMosaic
from segmentation.imagery.planet.quads import check_quad
from segmentation.imagery.web.client import Refused

log = logging.getLogger(__name__)


class QuadFetcher:
    """Fetches quads into a cache; may be called from several threads.

    Args:
        client: of the API.
        cache: where quads end up.
        grid: the mosaics' pixel grid.
    """

    def __init__(self, client: PlanetClient, cache: QuadCache, grid: Grid):
        self._client, self._cache, self._grid = client, cache, grid
        self._given_up = Event()

    def give_up(self) -> None:
        """Wait no more for what another process is fetching."""
        self._given_up.set()

    def fetch(self, quad: Quad, choice: ChosenMosaic, blocks: Sequence[int] | None) -> PieceRecord:
        """Fetch a quad, unless another process has done so meanwhile, and keep and say what has become of it.

        Args:
            quad: its x and y.
            choice: the mosaic to take it from.
            blocks: numbers of the blocks that are needed, None for all.

        Raises:
            Refused: the key is of no use any more.
            GivenUp: nobody waits any more for what another process is fetching.
        """
        with self._cache.held(quad, self._given_up):
            if self._cache.is_complete(quad, blocks):
                return self._cache.record(quad)
            record = self._outcome(quad, choice, blocks)
            self._cache.keep(quad, record)
            return record

    def _outcome(self, quad: Quad, choice: ChosenMosaic, blocks: Sequence[int] | None) -> PieceRecord:
        """Fetch a quad and say what has become of it."""
        record = partial(PieceRecord, choice.mosaic.name, cloud=choice.cloud)
        try:
            got = self._fetch_file(quad, choice, blocks)
        except QuadNotCovered as reason:
            return record(NOT_COVERED, reason=str(reason))
        except (Refused, DiskFull):
            raise
        except PipelineError as error:
            log.warning("quad %s: %s", quad_name(*quad), error)
            return record(FAILED, reason=str(error))
        return record(COVERED, size=self._cache.path(quad).stat().st_size, blocks=got)

    def _fetch_file(self, quad: Quad, choice: ChosenMosaic, blocks: Sequence[int] | None) -> list[int] | None:
        """Fetch a quad's file; the numbers of the blocks in it, None for all."""
        path = self._cache.path(quad)
        known = self._cache.get(quad)
        # A file without a record may be whole: the run that fetched it was cut off, or someone has put it there.
        if known is None and choice.cloud is None and self._is_whole(path, quad):
            return None
        link = self._client.quad_link(choice.mosaic, *quad)
        if blocks is not None:
            if known is not None and known.status == COVERED:
                blocks = sorted({*blocks, *(known.blocks or ())})
            if self._client.download_blocks(link, path, blocks, self._grid, *quad):
                return list(blocks)
        self._client.download(link, path, self._check(quad))
        return None

    def _is_whole(self, path: Path, quad: Quad) -> bool:
        if not path.exists():
            return False
        try:
            self._check(quad)(path)
        except ValueError:
            return False
        with rasterio.open(path) as file:
            return PARTIAL_TAG not in file.tags()

    def _check(self, quad: Quad) -> partial[None]:
        return partial(check_quad, grid=self._grid, x=quad[0], y=quad[1])
