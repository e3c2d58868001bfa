"""How a literature data set would show a mine: few vertices, a little off, generous or tight, rarely forgotten."""

from __future__ import annotations

import numpy as np
import shapely
from shapely import affinity

from segmentation.demo.landscape.mine import REFERENCE_YEAR, Mine
from segmentation.demo.landscape.noise import seed_of

_FORGOTTEN_SHARE = 0.03
_OUTDATED_YEARS = 1


def is_in_literature(mine: Mine) -> bool:
    """Whether the literature knows a mine: nearly all of 2019, and a few that were abandoned shortly before."""
    if mine.is_active(REFERENCE_YEAR):
        return seed_of("literature", mine.id) / 2**32 >= _FORGOTTEN_SHARE
    return mine.closed is not None and REFERENCE_YEAR - mine.closed <= _OUTDATED_YEARS


def hand_drawn(mine: Mine) -> shapely.Geometry:
    """The mine's outline of 2019 as digitised by hand: a (multi)polygon in world pixels (level 15)."""
    rng = np.random.default_rng(seed_of("hand", mine.id))
    truth = mine.footprint_px(REFERENCE_YEAR)
    parts = [_digitised(part, rng) for part in getattr(truth, "geoms", [truth])]
    drawn = shapely.make_valid(shapely.union_all(parts))
    off_px = rng.normal(0, 1.8, 2)
    generous = rng.uniform(0.97, 1.06)
    drawn = affinity.scale(drawn, generous, generous, origin="centroid")
    return affinity.translate(drawn, *off_px)


def _digitised(part: shapely.Polygon, rng: np.random.Generator) -> shapely.Polygon:
    shell = _few_vertices(part.exterior, int(rng.integers(10, 26)), rng)
    holes = [_few_vertices(ring, 8, rng) for ring in part.interiors]
    return shapely.Polygon(shell, holes)


def _few_vertices(ring: shapely.LinearRing, count: int, rng: np.random.Generator) -> np.ndarray:
    along = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    corners = shapely.get_coordinates(shapely.line_interpolate_point(ring, along % 1, normalized=True))
    wobble = 0.02 * np.sqrt(shapely.Polygon(ring).area)
    return corners + rng.normal(0, wobble, corners.shape)
