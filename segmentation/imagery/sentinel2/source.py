"""Sentinel-2's quarterly cloudless mosaics (10 m, 2017 on) as an imagery source that needs no key.

The Copernicus Data Space makes them, per pixel the first quartile of the cloud-free observations of three months; a
mirror gives them to everybody. Of the tiles only what windows need is read, by range requests, and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import CRS, HALF_WORLD_M, Grid, Windows
from segmentation.imagery.cache import COVERED, FAILED, NOT_COVERED, PieceRecord, TileCache
from segmentation.imagery.rasters.bands import COLOURS
from segmentation.imagery.rasters.places import on_world_map, outline_of
from segmentation.imagery.sentinel2.estimates import UNIT, forecast_tiles
from segmentation.imagery.sentinel2.fetch import TileFetcher
from segmentation.imagery.sentinel2.needed import NeededTiles
from segmentation.imagery.sentinel2.reader import TileReader
from segmentation.imagery.sentinel2.tiles import TILE_PX, tile
from segmentation.imagery.source import Forecast, Prepared
from segmentation.imagery.web.client import Server, Web
from segmentation.imagery.web.parallel import as_they_end
from segmentation.imagery.web.redaction import without_login
from segmentation.imagery.web.sessions import host_of
from segmentation.imagery.web.traffic import Traffic
from segmentation.windows.record import Footprint

MIRROR_URL = "https://data.source.coop/tge-labs/sentinel-2-quarterly-cloudless-mosaics"
FIRST_YEAR = 2017
QUARTERS = ("Q1", "Q2", "Q3", "Q4")
LEVEL = 14

# Tiles that may be missing in a row before it looks as if the address were wrong.
_MISSING_AT_FIRST = 25


class Sentinel2Imagery:
    """The mosaic of a quarter.

    Tiles that the server does not have are remembered in ``tiles.jsonl`` beside the others.

    Args:
        year: from 2017 on.
        quarter: one of ``QUARTERS``.
        cache: folder of the year's imagery.
        address: of the mirror, or of another one with the same layout.
        level: of the grid.
        max_rps: requests a second.
        tries: of a failing request.
        threads: tiles at the same time.
        quiet: no progress bars.

    Raises:
        PipelineError: there are no mosaics of that year.
    """

    def __init__(
        self,
        year: int,
        quarter: str,
        cache: Path,
        address: str = MIRROR_URL,
        *,
        level: int = LEVEL,
        max_rps: float = 5.0,
        tries: int = 8,
        threads: int = 4,
        quiet: bool = False,
    ):
        if year < FIRST_YEAR:
            raise PipelineError(f"year {year} is out of range: the Sentinel-2 mosaics begin in {FIRST_YEAR}")
        self.grid = Grid(level)
        self._quarter = quarter
        month = 3 * QUARTERS.index(quarter) + 1
        self._mosaic = f"sentinel2_cloudless_{year}-{month:02d}_{year}-{month + 2:02d}_mosaic"
        self._cache = TileCache(cache / self._mosaic)
        server = Server(host_of(address), check_address="check --sentinel2-url")
        self._web = Web(server, max_rps=max_rps, tries=tries, connections=threads)
        self._address = f"{address.rstrip('/')}/{year}/{quarter}"
        self._threads = threads
        self._quiet = quiet

    @property
    def traffic(self) -> Traffic:
        """What has gone over the wire so far."""
        return self._web.traffic

    def settings(self) -> dict[str, str | int]:
        """The quarter and the level."""
        return {
            "imagery": "sentinel2",
            "mosaic": self._mosaic,
            "quarter": self._quarter,
            "level": self.grid.level,
            "bands": " ".join(COLOURS),
        }

    def reader(self) -> TileReader:
        """Reads windows from the kept tiles."""
        return TileReader(self._cache.folder, self.grid)

    def forecast(self, windows: Windows, left: np.ndarray | None = None) -> Forecast:
        """What fetching would take, by the typical size of the mirror's blocks; a tile's blocks that are there stay."""
        return forecast_tiles(self._needed(windows), self._cache, unfinished=left)

    def connect(self, windows: Windows) -> None:
        """See that there are tiles at the address, unless that is known.

        Raises:
            PipelineError: there are none, or no answers.
        """
        names = self._needed(windows).candidates()
        known = [self._cache.get(name) for name in names]
        unknown = [name for name, record in zip(names, known, strict=True) if record is None]
        asked = unknown[:_MISSING_AT_FIRST]
        if not asked or any(record and record.status == COVERED for record in known):
            return
        fetcher = self._fetcher()
        if not any(fetcher.exists(name) for name in asked):
            raise PipelineError(
                f"none of {len(asked)} tiles asked for is at {without_login(self._address)}: check --sentinel2-url, "
                "year and --quarter"
            )

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Fetch what is missing; a window comes out as soon as all of its tiles are there or known to be missing."""
        self._cache.refresh()  # the year is locked now: what other runs have fetched before is known
        needed = self._needed(windows)
        failed: set[str] = set()
        left = set(range(len(windows)))

        def ready(positions: Iterable[int]) -> Iterator[Prepared]:
            """Those of some windows that need no tile any more."""
            for window in positions:
                if window in left and self._is_ready(window, needed, failed):
                    left.remove(window)
                    yield Prepared(window, _problem(needed.tiles(window), failed))

        yield from ready(range(len(windows)))
        while left:
            users = needed.windows_by_tile(sorted(left))
            for name, record in self._fetch(self._incomplete(users, needed, failed)):
                if record.status == FAILED:
                    failed.add(name)
                yield from ready(users[name])
            # A tile that turned out to be missing may have others in its place that are known.
            yield from ready(sorted(left))

    def _is_ready(self, window: int, needed: NeededTiles, failed: set[str]) -> bool:
        """Whether nothing is left to fetch for a window."""
        names = [name for name in needed.tiles(window) if name is not None and name not in failed]
        return all(self._cache.is_complete(name, needed.blocks(name, [window])) for name in names)

    def _incomplete(
        self, users: Mapping[str, Sequence[int]], needed: NeededTiles, failed: set[str]
    ) -> dict[str, list[int]]:
        """Tiles that have to be fetched, with the blocks that are needed of them."""
        blocks = {name: needed.blocks(name, windows) for name, windows in users.items() if name not in failed}
        return {name: numbers for name, numbers in blocks.items() if not self._cache.is_complete(name, numbers)}

    def release(self, positions: Sequence[int]) -> None:
        """Tiles are kept."""

    def mark_damaged(self, path: Path) -> None:
        """Have a file that cannot be read fetched again."""
        self._cache.mark_damaged(path)

    def close(self) -> None:
        """Leave the record of tiles in order."""
        self._cache.tidy()

    def footprint(self, windows: Windows) -> Footprint:
        """A piece a tile that windows were looked for in, by name."""
        touched = pd.DataFrame(self._needed(windows).pairs(), columns=["window", "name"])
        names = sorted(touched["name"].unique())
        records = [self._cache.told(name) for name in names]
        pieces = gpd.GeoDataFrame(
            {
                "name": names,
                "mosaic": [record.mosaic for record in records],
                "status": [record.status for record in records],
                "reason": [record.reason for record in records],
            },
            geometry=[_outline(name) for name in names],
            crs=CRS,
        )
        return Footprint(UNIT, pieces, touched)

    def _needed(self, windows: Windows) -> NeededTiles:
        return NeededTiles(windows, self.grid, self._cache)

    def _fetcher(self) -> TileFetcher:
        return TileFetcher(self._web, self._address, self._mosaic, self._cache)

    def _fetch(self, blocks: Mapping[str, list[int]]) -> Iterator[tuple[str, PieceRecord]]:
        """Every tile with what has become of it, as downloads end."""
        fetcher = self._fetcher()
        jobs = {name: (name, numbers) for name, numbers in blocks.items()}
        return as_they_end(
            fetcher.fetch, jobs, give_up=fetcher.give_up, threads=self._threads, unit=UNIT, quiet=self._quiet
        )


def _problem(names: Sequence[str | None], failed: set[str]) -> str | None:
    """Why a window with some tiles (None in cells that have none) cannot be cut; None if it can."""
    if failed.intersection(name for name in names if name):
        return FAILED
    return None if any(names) else NOT_COVERED


def _outline(name: str) -> shapely.Geometry:
    """Where a tile lies (EPSG:3857), on both sides of the antimeridian if it crosses it."""
    place = tile(name)
    _, parts = on_world_map([outline_of(f"EPSG:{place.epsg}", place.transform, TILE_PX, TILE_PX)])
    world = shapely.box(-HALF_WORLD_M, -HALF_WORLD_M, HALF_WORLD_M, HALF_WORLD_M)
    return shapely.intersection(shapely.union_all(parts), world)
