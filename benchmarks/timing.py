"""What the benchmarks share: run two ways side by side, print medians and their ratio."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

from segmentation.cores import usable_cores

RUNS = 5


def median_s(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median wall-clock seconds of some runs, after one that does not count; a single long one goes without."""
    if runs > 1:
        work()
    return statistics.median(_seconds(work) for _ in range(runs))


def compare(
    sizes: list[int], ours: Callable[[int], object], plain: Callable[[int], object], unit: str, runs: int = RUNS
) -> None:
    """Print a table of both ways over growing work."""
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, median of {runs}\n")
    print(f"| {unit} | plain, s | ours, s | plain / ours |\n|---:|---:|---:|---:|")
    for size in sizes:
        slow, fast = (median_s(lambda way=way, size=size: way(size), runs) for way in (plain, ours))
        print(f"| {size:,} | {slow:.3f} | {fast:.3f} | {slow / fast:.1f} |")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
