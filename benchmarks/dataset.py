"""Step 1 with all quads on disk: chips a second, memory and bytes as the number of windows grows.

Beside it the plain way of the published scripts: for every polygon scan all others for neighbours, merge the whole
quads that its window touches, cut, draw the mask, write. It runs in one process, as published, and in two, as ours
does, on the same quads and polygons.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.merge import merge
from rasterio.windows import Window

from segmentation.chips.dataset import cut_windows
from segmentation.core import cli
from segmentation.core.workspace import Workspace
from segmentation.demo.landscape.render import render_quad
from segmentation.demo.planet.quads import write_quad
from segmentation.geo.geotiffs import block_extents
from segmentation.geo.grid import CRS, QUAD_PX, Grid
from segmentation.imagery.cache import COVERED, PieceRecord, QuadCache
from segmentation.imagery.planet.source import PlanetImagery
from segmentation.windows.plan import as_windows, plan_windows
from segmentation.windows.record import quads_by_window

GRID = Grid()
X, Y = 717, 989
MOSAIC = "planet_medres_normalized_analytic_2019-06_2019-11_mosaic"
WORKERS = 2


def prepare_quads(workspace: Workspace, side: int) -> QuadCache:
    """``side`` x ``side`` quads of the demo's landscape, recorded as fetched."""
    cache = QuadCache(workspace.year(2019).quads / MOSAIC)
    for quad in ((x, y) for x in range(X, X + side) for y in range(Y, Y + side)):
        write_quad(cache.path(quad), GRID, *quad, render_quad(GRID, *quad, 2019))
        cache.keep(quad, PieceRecord(MOSAIC, COVERED, size=cache.path(quad).stat().st_size))
    return cache


def polygons(count: int, side: int) -> gpd.GeoDataFrame:
    """Blobs of 100 to 240 pixels strewn over the quads, EPSG:3857."""
    rng = np.random.default_rng(count)
    left, top = GRID.quad_origin(X, Y + side - 1)
    place = rng.uniform(300, side * QUAD_PX - 300, (count, 2)) + (left, top)
    radius = rng.uniform(50, 120, count)
    world = GRID.window_transform(0, 0)
    centre = place * (world.a, world.e) + (world.c, world.f)
    return gpd.GeoDataFrame(
        {"id": np.arange(count).astype(str)}, geometry=shapely.buffer(shapely.points(centre), radius * world.a), crs=CRS
    )


def ours(workspace: Workspace, labels: gpd.GeoDataFrame) -> None:
    """Plan, cut and write all windows."""
    plan = plan_windows(labels, GRID)
    source = PlanetImagery(_no_client, MOSAIC, workspace.year(2019).quads, quiet=True)
    cut_windows(plan, source, workspace.year(2019), labels, WORKERS, quiet=True)


def _no_client() -> None:
    raise AssertionError("all quads are on disk")


def plain(workspace: Workspace, labels: gpd.GeoDataFrame, workers: int = 1) -> None:
    """The same chips and masks, polygon by polygon."""
    plan = plan_windows(labels, GRID)
    quads = quads_by_window(as_windows(plan), GRID).groupby("window")["name"].agg(list)
    folder = workspace.year(2019)
    cut = partial(_plain_one, labels, plan, quads, folder.quads / MOSAIC, folder.path)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(cut, range(len(plan)), chunksize=max(1, len(plan) // 8)))


def plain_twice(workspace: Workspace, labels: gpd.GeoDataFrame) -> None:
    """The plain way in two processes."""
    plain(workspace, labels, WORKERS)


def _plain_one(
    labels: gpd.GeoDataFrame, plan: gpd.GeoDataFrame, quads: pd.Series, cache: Path, target: Path, position: int
) -> None:
    window = plan.iloc[position]
    near = [shape for shape in labels.geometry if shape.intersects(window.geometry)]
    whole, transform = merge([cache / f"{quad}.tif" for quad in quads[position]])
    west, _, _, north = window.geometry.bounds
    left, top = np.rint(~transform @ (west, north)).astype(int)
    chip = whole[:4, top : top + 512, left : left + 512]
    here = GRID.window_transform(int(window["col"]), int(window["row"]))
    mask = rasterize(near, out_shape=(512, 512), transform=here, dtype="uint8")
    profile = {"driver": "GTiff", "width": 512, "height": 512, "crs": CRS, "transform": here, "compress": "deflate"}
    for name, pixels in (("chip", np.clip(chip // 20, 1, 255).astype("uint8")), ("mask", mask[None])):
        path = target / name / f"{window['id']}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path, "w", **profile, count=len(pixels), dtype="uint8") as file:
            file.write(pixels)


def bytes_share(cache: QuadCache, labels: gpd.GeoDataFrame) -> tuple[float, float]:
    """Mean compressed megabytes of the blocks that a window touches, and of the whole quads that it touches."""
    plan = plan_windows(labels, GRID)
    windows = as_windows(plan)
    part = whole = 0
    for number, x, y in zip(*GRID.quads_of(windows), strict=True):
        quad = (int(x), int(y))
        whole += cache.path(quad).stat().st_size
        left, top = GRID.quad_origin(*quad)
        col, row = int(windows.col[number]) - left, int(windows.row[number]) - top
        inside = Window(col, row, 512, 512).intersection(Window(0, 0, QUAD_PX, QUAD_PX))
        with rasterio.open(cache.path(quad)) as file:
            part += sum(size for band in file.indexes for _, size in block_extents(file, band, [inside]))
    return part / len(plan) / 1e6, whole / len(plan) / 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument(
        "--plain", type=cli.positive, nargs="*", default=[100], help="numbers of windows for the plain way"
    )
    parser.add_argument("--plain-twice", type=cli.positive, nargs="*", default=[100], help="likewise in two processes")
    parser.add_argument("--ours", type=cli.positive, nargs="*", default=[100, 1_000, 10_000], help="and for ours")
    parser.add_argument("--side", type=cli.positive, default=2, help="quads along a side (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as root:
        shared = Workspace(Path(root) / "quads")
        cache = prepare_quads(shared, options.side)
        part, whole = bytes_share(cache, polygons(100, options.side))
        print(f"compressed blocks a window touches {part:.2f} MB, whole quads {whole:.1f} MB: {part / whole:.1%}\n")
        print("| windows | way | seconds | chips a second | peak memory of a worker, MB |\n|---:|---|---:|---:|---:|")
        for way, sizes in ((ours, options.ours), (plain, options.plain), (plain_twice, options.plain_twice)):
            for count in sizes:
                workspace = Workspace(Path(root) / f"{way.__name__}-{count}")
                (workspace.root / "tiff_tiles").mkdir(parents=True)
                workspace.year(2019).quads.symlink_to(shared.year(2019).quads)
                process = multiprocessing.get_context("spawn").Process(
                    target=_measured, args=(way, workspace, polygons(count, options.side))
                )
                process.start()
                process.join()
                if process.exitcode:
                    raise RuntimeError(f"{way.__name__} failed on {count} windows")


def _measured(way: Callable, workspace: Workspace, labels: gpd.GeoDataFrame) -> None:
    count = len(labels)
    start = time.perf_counter()
    way(workspace, labels)
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"| {count:,} | {way.__name__} | {seconds:.1f} | {count / seconds:.1f} | {peak_mb:.0f} |", flush=True)


if __name__ == "__main__":
    main()
