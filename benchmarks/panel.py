"""Nine years as one panel: the whole command over growing years, and its filter against the plain one.

The years are generated: ragged mines that grow, of which one in ten is missing from a year, with windows around them.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

from benchmarks.timing import compare, parser
from segmentation.core import cli
from segmentation.core.process.cores import usable_cores
from segmentation.core.workspace import REPOSITORY
from segmentation.geo.grid import CRS
from segmentation.panel.temporal import confirmed, consecutive_overlaps
from segmentation.windows.statuses import WRITTEN

YEARS = range(2016, 2025)
SIZES, FILTER_SIZES = (10_000, 50_000, 150_000), (500, 1_000, 2_000)
CORNERS = 50  # as many as the demo's polygons have
PRESENT = 0.9
REGIONS = np.array([(-70, -12, -45, 0), (12, -12, 35, 8), (98, -3, 118, 3)])  # Amazon, Congo, Borneo


def mines(count: int, year: int) -> gpd.GeoDataFrame:
    """About ``count`` mines of a year, with the columns of step 3's polygons."""
    rng = np.random.default_rng(count)
    sites = round(count / PRESENT)
    region = rng.integers(0, len(REGIONS), sites)
    west, south, east, north = REGIONS[region].T
    centre = np.column_stack([rng.uniform(west, east), rng.uniform(south, north)])
    radius = rng.lognormal(np.log(150), 0.7, sites) / 111_000
    rng = np.random.default_rng([count, year])
    here = rng.random(sites) < PRESENT
    growth = 1 + 0.05 * (year - YEARS[0])
    ragged = radius[here, None] * growth * rng.normal(1, 0.05, (here.sum(), CORNERS))
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    rings = centre[here, None] + ragged[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    columns = {
        "id": np.arange(1, here.sum() + 1),
        "iso_a3": np.array(["BRA", "COD", "IDN"])[region[here]],
        "country_name": np.array(["Brazil", "Democratic Republic of the Congo", "Indonesia"])[region[here]],
        "mean_probability": rng.uniform(0.5, 1, here.sum()),
    }
    return gpd.GeoDataFrame(columns, geometry=shapely.polygons(rings), crs="EPSG:4326")


def windows(polygons: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """A window around every third mine."""
    x, y = shapely.get_coordinates(shapely.centroid(polygons.to_crs(CRS).geometry.to_numpy()[::3])).T
    squares = shapely.box(x - 1223, y - 1223, x + 1223, y + 1223)
    columns = {"status": WRITTEN, "valid_share": 1.0, "mosaic": "generated"}
    return gpd.GeoDataFrame(columns, index=range(len(squares)), geometry=squares, crs=CRS)


def measure(count: int, folder: Path) -> tuple[float, float, float, float]:
    """Seconds, seconds of all cores, peak memory in GB and size of the results in GB of the whole command.

    The memory is that of all processes; libraries that several have loaded are counted for each.
    """
    inputs, looked = [], []
    for year in YEARS:
        frame = mines(count, year)
        pyogrio.write_dataframe(frame, folder / f"{year}.gpkg")
        pyogrio.write_dataframe(windows(frame), folder / f"windows_{year}.gpkg", layer="windows")
        inputs.append(f"{year}={folder / f'{year}.gpkg'}")
        looked.append(f"{year}={folder / f'windows_{year}.gpkg'}")
    command = [sys.executable, "-m", "segmentation.panel", "--inputs", *inputs, "--windows", *looked]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "-o", folder / "panel"], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    peak = 0.0
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        peak = max(peak, memory_gb(process.pid))
        time.sleep(0.2)
    seconds = time.perf_counter() - start
    _, status, used = ended
    if status:
        raise RuntimeError(f"the panel of {count} polygons a year failed")
    size = sum(path.stat().st_size for path in (folder / "panel").iterdir())
    return seconds, used.ru_utime + used.ru_stime, peak, size / 1e9


def memory_gb(pid: int) -> float:
    """What a process and its children hold (Linux).

    The resident pages as the kernel counts them anyway. To ask for each page's sharers would stop a process of some
    gigabytes for a twentieth of a second.
    """
    total = 0.0
    # A process may end while it is looked at.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        total = sum(memory_gb(int(child)) for found in children for child in found)
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        total += resident * os.sysconf("SC_PAGE_SIZE") / 1e9
    return total


def plain_filter(earlier: gpd.GeoDataFrame, later: gpd.GeoDataFrame) -> np.ndarray:
    """As one would write it first: does a polygon intersect all of the other year?"""
    return earlier.intersects(later.union_all()).to_numpy()


def fast_filter(earlier: gpd.GeoDataFrame, later: gpd.GeoDataFrame) -> np.ndarray:
    shapes = np.concatenate([earlier.geometry.to_numpy(), later.geometry.to_numpy()])
    year = np.repeat([2016, 2017], [len(earlier), len(later)])
    return confirmed(len(shapes), consecutive_overlaps(shapes, year, (2016, 2017)))[: len(earlier)]


def main(arguments: Sequence[str] | None = None) -> None:
    polygons = parser(__doc__, "polygons", SIZES)
    polygons.add_argument("--filter", type=cli.positive, nargs="*", default=FILTER_SIZES, help="for the filter alone")
    options = polygons.parse_args(arguments)
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, {len(YEARS)} years\n")
    print("| polygons a year | seconds | seconds of all cores | ms per polygon | peak memory, GB | written, GB |")
    print("|---:|---:|---:|---:|---:|---:|")
    for count in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            seconds, busy, memory, size = measure(count, Path(folder))
        each = 1000 * seconds / count / len(YEARS)
        print(f"| {count:,} | {seconds:.0f} | {busy:.0f} | {each:.3f} | {memory:.1f} | {size:.1f} |", flush=True)
    print("\nThe filter alone, two years:\n")
    pairs = {count: (mines(count, 2016), mines(count, 2017)) for count in options.filter}
    for earlier, later in pairs.values():
        assert (plain_filter(earlier, later) == fast_filter(earlier, later)).all()
    compare(list(pairs), lambda n: fast_filter(*pairs[n]), lambda n: plain_filter(*pairs[n]), "polygons a year")


if __name__ == "__main__":
    main()
