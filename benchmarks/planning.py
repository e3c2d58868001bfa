"""Planning: windows, quads, overlaps and splits of all polygons at once."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from benchmarks.timing import median_s, parser
from segmentation.geo.grid import Grid
from segmentation.windows.plan import as_windows, plan_windows
from segmentation.windows.record import quads_by_window


def polygons(count: int) -> gpd.GeoDataFrame:
    """Boxes of 0.1 to 3 km in clusters of three over the tropics, EPSG:4326."""
    rng = np.random.default_rng(count)
    lon = np.repeat(rng.uniform(-80, 150, -(-count // 3)), 3)[:count] + rng.normal(0, 0.05, count)
    lat = np.repeat(rng.uniform(-28, 28, -(-count // 3)), 3)[:count] + rng.normal(0, 0.05, count)
    side = 10 ** rng.uniform(-3, -1.5, count)
    squares = shapely.box(lon, lat, lon + side, lat + side)
    return gpd.GeoDataFrame({"id": np.arange(count).astype(str)}, geometry=squares, crs="EPSG:4326")


def quads_under(given: gpd.GeoDataFrame, grid: Grid) -> pd.DataFrame:
    """Plan windows around polygons; the quads that they touch, a row a pair."""
    return quads_by_window(as_windows(plan_windows(given, grid)), grid)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__, "polygons", (1_000, 10_000, 45_000, 100_000), runs=3).parse_args(arguments)
    grid = Grid()
    print("| polygons | quads | seconds |\n|---:|---:|---:|")
    for count in options.sizes:
        given = polygons(count)
        seconds = median_s(lambda given=given: quads_under(given, grid), options.runs)
        quads = quads_under(given, grid)["name"].nunique()
        print(f"| {count:,} | {quads:,} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
