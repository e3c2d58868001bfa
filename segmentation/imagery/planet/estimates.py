"""What fetching quads would take, estimated from the quads that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segmentation.imagery.cache import Quad, QuadCache
from segmentation.imagery.planet.blocks import QUAD_BLOCKS

# Planet's documentation speaks of more than 100 MB for an analytic quad.
_TYPICAL_QUAD_BYTES = 100e6


def mean_block_bytes(cache: QuadCache, quads: Sequence[Quad]) -> float:
    """Mean size of a block of some quads, by those on disk; as documented where none is."""
    size_bytes, count = 0, 0
    for quad in quads:
        here_bytes = cache.size_of(quad)
        if here_bytes:
            blocks = cache.blocks_on_disk(quad)
            size_bytes += here_bytes
            count += QUAD_BLOCKS if blocks is None else len(blocks)
    return size_bytes / count if count else _TYPICAL_QUAD_BYTES / QUAD_BLOCKS


def mean_blocks_to_fetch(cache: QuadCache, missing: Mapping[Quad, Sequence[int] | None]) -> float:
    """Mean number of blocks that are fetched of a quad.

    Args:
        cache: of the quads.
        missing: quads to fetch, with the blocks that are needed of them (None for all).
    """
    if not missing:
        return float(QUAD_BLOCKS)
    counts = []
    for quad, needed in missing.items():
        if needed is None:
            counts.append(QUAD_BLOCKS)
        else:
            # Those that a quad has already are fetched again with the others, see ``QuadFetcher``.
            there = cache.blocks_on_disk(quad) or ()
            counts.append(len({*needed, *there}))
    return float(np.mean(counts))


def requests_for(quads: int, mosaics: int) -> int:
    """Requests to the API that fetching takes, at least.

    Args:
        quads: number of quads to fetch.
        mosaics: number of mosaics to look up: one, and those to choose from for each quad.
    """
    if not quads:
        return 0
    candidates = mosaics - 1
    # Of a quad its address, its file, and its scenes in each candidate are asked for.
    return mosaics + quads * (2 + candidates)
