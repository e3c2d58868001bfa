"""Sentinel-2's quarterly cloudless mosaics (10 m, 2017 on) as an imagery source that needs no key.

The Copernicus Data Space makes them, per pixel the first quartile of the cloud-free observations of three months; a
mirror gives them to everybody. Of the tiles only what windows need is read, by range requests, and kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.core.errors import DamagedFile, PipelineError
from segmentation.core.progress import progress
from segmentation.geo.grid import CHIP_PX, CRS, HALF_WORLD_M, Grid, Windows
from segmentation.imagery.cache import COVERED, FAILED, NOT_COVERED, PieceCache, QuadRecord
from segmentation.imagery.rasters.description import COLOURS, Raster, outline_of, placed
from segmentation.imagery.rasters.warping import Mosaic, add_raster
from segmentation.imagery.sentinel2.fetch import BANDS, NO_DATA, SCALE, TileFetcher
from segmentation.imagery.sentinel2.tiles import (
    TILE_BLOCK_PX,
    TILE_BLOCKS_ACROSS,
    TILE_PX,
    blocks_under,
    cells_of,
    tile,
)
from segmentation.imagery.source import Forecast, Pixels, Prepared
from segmentation.imagery.web.client import Server, Web
from segmentation.imagery.web.redaction import without_login
from segmentation.imagery.web.sessions import host_of
from segmentation.imagery.web.traffic import Traffic
from segmentation.windows.record import Footprint

MIRROR_URL = "https://data.source.coop/tge-labs/sentinel-2-quarterly-cloudless-mosaics"
FIRST_YEAR = 2017
QUARTERS = ("Q1", "Q2", "Q3", "Q4")
LEVEL = 14
UNKNOWN = "unknown"

_UNIT, _RECORD = "tile", "tiles.jsonl"
_BANDS = tuple(range(1, len(BANDS) + 1))
# Of the mirror's files; their blocks have 1,024 pixels a side and take 1.15 MB on average (113,088 files of 2024 Q2
# take 16.65 TB, of which the overviews are a quarter).
_REMOTE_BLOCK_PX = 1024
_TYPICAL_BLOCK_BYTES = 1.15e6
# Tiles that may be missing in a row before it looks as if the address were wrong.
_MISSING_AT_FIRST = 25


@dataclass(frozen=True)
class TileReader:
    """Reads windows from the kept tiles; small and picklable, so that every worker process has its own.

    Attributes:
        folder: holds the tiles; one that is not there counts as no data.
        grid: the chips' pixel grid.
    """

    folder: Path
    grid: Grid

    def read(self, col: int, row: int, side_px: int) -> Pixels:
        """Read a window (grid pixels, see ``Grid``) onto 512 x 512 pixels, see ``warping.warp``.

        Raises:
            DamagedFile: a tile on disk is.
        """
        cells = cells_of(Windows(*(np.array([value]) for value in (col, row, side_px))), self.grid)
        chip = self.grid.window_transform(col, row, side_px // CHIP_PX)
        mosaic = Mosaic(len(_BANDS))
        for names in cells.candidates:
            path = next((path for name in names if (path := self.folder / f"{name}.tif").exists()), None)
            if path is not None and not mosaic.full:
                try:
                    add_raster(mosaic, _raster(path), chip)
                except PipelineError as error:
                    raise DamagedFile(path, str(error), "remove it and run again to fetch it anew") from None
        return mosaic.pixels()


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
        self._cache: PieceCache[str] = PieceCache(cache / self._mosaic, _RECORD, str)
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
        need = self._need(windows)
        unfinished = set(range(len(windows)) if left is None else np.flatnonzero(left).tolist())
        users = need.users()
        sizes = {name: self._cache.size_of(name) for name in users}
        new, ours = {}, 0
        for name, positions in users.items():
            blocks = need.blocks_of(name, [window for window in positions if window in unfinished])
            if blocks and not self._cache.is_settled(name, blocks):
                kept = self._cache.record(name).blocks if sizes[name] else ()
                new[name] = sorted(set(blocks) - set(kept))
                ours += len(new[name])
        remote = [_remote_blocks(blocks) for blocks in new.values()]
        covered = sum(1 for name in users if sizes[name] and name not in new)
        not_covered = sum(map(self._cache.is_not_covered, users))
        pieces = max(len(new), 1)
        return Forecast(
            unit=_UNIT,
            pieces=len(users),
            covered=covered,
            not_covered=not_covered,
            requests=len(BANDS) * sum(1 + len(np.unique(of[:, 0])) for of in remote),
            piece_bytes=len(BANDS) * _TYPICAL_BLOCK_BYTES * sum(map(len, remote)) / pieces,
            kept_bytes=len(BANDS) * _TYPICAL_BLOCK_BYTES * (TILE_BLOCK_PX / _REMOTE_BLOCK_PX) ** 2 * ours / pieces,
            on_disk_bytes=float(sum(sizes.values())),
            spared=len(users) - covered - not_covered - len(new),
        )

    def connect(self, windows: Windows) -> None:
        """See that there are tiles at the address, unless that is known.

        Raises:
            PipelineError: there are none, or no answers.
        """
        names = self._need(windows).candidates()
        known = [self._cache.record(name) for name in names]
        asked = [name for name, record in zip(names, known, strict=True) if record is None][:_MISSING_AT_FIRST]
        if not asked or any(record and record.status == COVERED for record in known):
            return
        if not any(map(self._fetcher().exists, asked)):
            raise PipelineError(
                f"none of {len(asked)} tiles asked for is at {without_login(self._address)}: check --sentinel2-url, "
                "year and --quarter"
            )

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Fetch what is missing; a window comes out as soon as all of its tiles are settled."""
        self._cache = PieceCache(self._cache.folder, _RECORD, str)  # as it is now that the year is locked
        need, failed, left = self._need(windows), set(), set(range(len(windows)))

        def settled(positions: Sequence[int]) -> Iterator[Prepared]:
            """Those of some windows that need no tile any more."""
            for window in positions:
                names = need.tiles(window)
                blocks = {name: need.blocks(name, window) for name in names if name and name not in failed}
                if window in left and all(self._cache.is_settled(*each) for each in blocks.items()):
                    left.remove(window)
                    problem = FAILED if failed & set(names) else (None if any(names) else NOT_COVERED)
                    yield Prepared(window, problem)

        yield from settled(range(len(windows)))
        while left:
            users = need.users(sorted(left))
            blocks = {name: need.blocks_of(name, users[name]) for name in users if name not in failed}
            unsettled = {name: of for name, of in blocks.items() if not self._cache.is_settled(name, of)}
            for name, record in self._fetch(unsettled):
                if record.status == FAILED:
                    failed.add(name)
                yield from settled(users[name])
            # A tile that turned out to be missing may have others in its place that are known.
            yield from settled(sorted(left))

    def release(self, positions: Sequence[int]) -> None:
        """Tiles are kept."""

    def doubt(self, path: Path) -> None:
        """A file that cannot be read is fetched again."""
        self._cache.doubt(path)

    def close(self) -> None:
        """Leave the record of tiles in order."""
        self._cache.tidy()

    def footprint(self, windows: Windows) -> Footprint:
        """A piece a tile that windows were looked for in, by name."""
        touched = pd.DataFrame(self._need(windows).pairs(), columns=["window", "name"])
        names = sorted(touched["name"].unique())
        records = [self._cache.record(name) or QuadRecord("", UNKNOWN) for name in names]
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
        return Footprint(_UNIT, pieces, touched)

    def _need(self, windows: Windows) -> _Need:
        return _Need(windows, self.grid, self._record)

    def _record(self, name: str) -> QuadRecord | None:
        return self._cache.record(name)

    def _fetcher(self) -> TileFetcher:
        return TileFetcher(self._web, self._address, self._mosaic, self._cache)

    def _fetch(self, blocks: Mapping[str, list[int]]) -> Iterator[tuple[str, QuadRecord]]:
        """Every tile with what has become of it, as downloads end."""
        fetcher = self._fetcher()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="download")
        downloads = {pool.submit(fetcher.fetch, name, numbers): name for name, numbers in blocks.items()}
        try:
            ended = as_completed(downloads)
            for download in progress(ended, total=len(downloads), desc="tiles", unit="tile", quiet=self._quiet):
                yield downloads[download], download.result()
        finally:
            fetcher.give_up()
            pool.shutdown(cancel_futures=True)


class _Need:
    """Which tiles windows need, as far as is known: in every cell the first one that is not known to be missing.

    Args:
        windows: in question.
        grid: of the windows.
        record: what is known of a tile.
    """

    def __init__(self, windows: Windows, grid: Grid, record: Callable[[str], QuadRecord | None]):
        self._windows, self._grid, self._record = windows, grid, record
        self._cells = cells_of(windows, grid)
        self._cells_of: list[list[int]] = [[] for _ in range(len(windows))]
        for window, cell in zip(self._cells.window.tolist(), self._cells.cell.tolist(), strict=True):
            self._cells_of[window].append(cell)
        self._blocks: dict[tuple[str, int], list[int]] = {}

    def candidates(self) -> list[str]:
        """All tiles that may be needed, the likeliest first."""
        by_rank = zip_longest(*self._cells.candidates)
        return list(dict.fromkeys(name for rank in by_rank for name in rank if name))

    def tiles(self, window: int) -> list[str | None]:
        """The tile of each cell of a window; None where all are missing."""
        return [self._choose(cell) for cell in self._cells_of[window]]

    def users(self, windows: Sequence[int] | None = None) -> dict[str, list[int]]:
        """Windows (all, or some) by the tile that they need, tiles by name."""
        found = defaultdict(list)
        for window in range(len(self._windows)) if windows is None else windows:
            for name in filter(None, dict.fromkeys(self.tiles(window))):
                found[name].append(window)
        return dict(sorted(found.items()))

    def pairs(self) -> list[tuple[int, str]]:
        """Position of a window and name of a tile that it needs, or would need if there were one."""
        return [
            (window, name)
            for window, cells in enumerate(self._cells_of)
            for name in dict.fromkeys(self._choose(cell) or self._cells.candidates[cell][0] for cell in cells)
        ]

    def blocks(self, name: str, window: int) -> list[int]:
        """Numbers of the blocks of a tile under a window."""
        self._look_up(name, [window])
        return self._blocks[name, window]

    def blocks_of(self, name: str, windows: Sequence[int]) -> list[int]:
        """Numbers of the blocks of a tile under some windows."""
        self._look_up(name, windows)
        return sorted(set().union(*(self._blocks[name, window] for window in windows)))

    def _look_up(self, name: str, windows: Sequence[int]) -> None:
        new = [window for window in windows if (name, window) not in self._blocks]
        if new:
            every = self._windows
            some = Windows(every.col[new], every.row[new], every.side_px[new])
            for window, numbers in zip(new, blocks_under(name, some, self._grid), strict=True):
                self._blocks[name, window] = numbers.tolist()

    def _choose(self, cell: int) -> str | None:
        return _first_there(self._cells.candidates[cell], self._record)


def _raster(path: Path) -> Raster:
    """How a kept tile is read: a pixel that one band lacks is without data, since nothing else has that value."""
    bands = len(_BANDS)
    return Raster(path, _BANDS, (SCALE,) * bands, (0.0,) * bands, no_data=(NO_DATA,) * bands)


def _first_there(names: Sequence[str], record: Callable[[str], QuadRecord | None]) -> str | None:
    """The first tile that is not known to be missing."""
    for name in names:
        known = record(name)
        if known is None or known.status != NOT_COVERED:
            return name
    return None


def _remote_blocks(blocks: Sequence[int]) -> np.ndarray:
    """Row and column of the mirror's blocks under ours, (n, 2) int64."""
    ours = np.stack(np.divmod(np.array(blocks, "int64"), TILE_BLOCKS_ACROSS), axis=-1)
    return np.unique(ours * TILE_BLOCK_PX // _REMOTE_BLOCK_PX, axis=0)


def _outline(name: str) -> shapely.Geometry:
    """Where a tile lies (EPSG:3857), on both sides of the antimeridian if it crosses it."""
    place = tile(name)
    _, parts = placed([outline_of(f"EPSG:{place.epsg}", place.transform, TILE_PX, TILE_PX)])
    world = shapely.box(-HALF_WORLD_M, -HALF_WORLD_M, HALF_WORLD_M, HALF_WORLD_M)
    return shapely.intersection(shapely.union_all(parts), world)
