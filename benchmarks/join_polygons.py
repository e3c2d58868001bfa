"""Uniting the polygons of overlapping windows: per connected group, against geopandas' dissolve of everything."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely

from benchmarks.timing import compare, parser
from segmentation.geo.unions import unite


def pieces(count: int) -> np.ndarray:
    """Ragged blobs, in clusters of three that overlap, as windows of the same mine give them."""
    rng = np.random.default_rng(count)
    centre = np.repeat(rng.uniform(0, 1e6, (-(-count // 3), 2)), 3, axis=0)[:count] + rng.normal(0, 30, (count, 2))
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    radius = 60 + rng.normal(0, 3, (count, 120))
    rings = centre[:, None, :] + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return shapely.make_valid(shapely.polygons(np.round(rings)))


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__, "polygons", (5_000, 20_000, 150_000), runs=1).parse_args(arguments)
    prepared = {count: pieces(count) for count in options.sizes}
    frames = {count: gpd.GeoDataFrame(geometry=shapes) for count, shapes in prepared.items()}
    compare(
        list(prepared),
        lambda count: unite(prepared[count]),
        lambda count: frames[count].dissolve(),
        "polygons",
        options.runs,
    )


if __name__ == "__main__":
    main()
