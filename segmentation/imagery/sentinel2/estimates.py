"""What fetching tiles would take, by the typical size of the mirror's blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmentation.imagery.cache import TileCache
from segmentation.imagery.sentinel2.fetch import BANDS
from segmentation.imagery.sentinel2.needed import NeededTiles
from segmentation.imagery.sentinel2.tiles import TILE_BLOCK_PX, TILE_BLOCKS_ACROSS
from segmentation.imagery.source import Forecast

UNIT = "tile"

# Of the mirror's files; their blocks have 1,024 pixels a side and take 1.15 MB on average (113,088 files of 2024 Q2
# take 16.65 TB, of which the overviews are a quarter).
_REMOTE_BLOCK_PX = 1024
_TYPICAL_BLOCK_BYTES = 1.15e6


def forecast_tiles(needed: NeededTiles, cache: TileCache, *, unfinished: np.ndarray | None = None) -> Forecast:
    """What it would take to have the tiles of some windows; blocks that are on disk stay.

    Args:
        needed: the tiles.
        cache: knows what is on disk.
        unfinished: (n,) bool, windows whose pixels are still needed; None for all.
    """
    users = needed.windows_by_tile()
    sizes = {name: cache.size_of(name) for name in users}
    to_fetch: dict[str, list[int]] = {}
    for name, windows in users.items():
        blocks = needed.blocks(name, [window for window in windows if unfinished is None or unfinished[window]])
        if blocks and not cache.is_complete(name, blocks):
            there = cache.blocks_on_disk(name) or ()
            to_fetch[name] = sorted(set(blocks) - set(there))
    kept_blocks = sum(len(blocks) for blocks in to_fetch.values())
    remote = [_remote_blocks(blocks) for blocks in to_fetch.values()]
    read_blocks = sum(len(blocks) for blocks in remote)
    # Of each band of a tile its directory, and the blocks of a row together.
    requests_a_band = sum(1 + len(np.unique(blocks[:, 0])) for blocks in remote)
    covered = sum(1 for name in users if sizes[name] and name not in to_fetch)
    not_covered = sum(1 for name in users if cache.is_not_covered(name))
    tiles = max(len(to_fetch), 1)
    kept_share = (TILE_BLOCK_PX / _REMOTE_BLOCK_PX) ** 2
    return Forecast(
        unit=UNIT,
        pieces=len(users),
        covered=covered,
        not_covered=not_covered,
        requests=len(BANDS) * requests_a_band,
        piece_bytes=len(BANDS) * _TYPICAL_BLOCK_BYTES * read_blocks / tiles,
        kept_bytes=len(BANDS) * _TYPICAL_BLOCK_BYTES * kept_share * kept_blocks / tiles,
        on_disk_bytes=float(sum(sizes.values())),
        spared=len(users) - covered - not_covered - len(to_fetch),
    )


def _remote_blocks(blocks: Sequence[int]) -> np.ndarray:
    """Row and column of the mirror's blocks under ours, (n, 2) int64."""
    ours = np.stack(np.divmod(np.array(blocks, "int64"), TILE_BLOCKS_ACROSS), axis=-1)
    return np.unique(ours * TILE_BLOCK_PX // _REMOTE_BLOCK_PX, axis=0)
