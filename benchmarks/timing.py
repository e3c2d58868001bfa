"""What the benchmarks share: run two ways side by side, print medians and their ratio."""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence

from segmentation.core import cli
from segmentation.core.process.cores import usable_cores

RUNS = 5


def parser(about: str | None, unit: str, sizes: Sequence[int], runs: int | None = None) -> argparse.ArgumentParser:
    """A command line whose words are the sizes to measure.

    Args:
        about: what the benchmark measures.
        unit: what a size counts.
        sizes: what is measured unless sizes are named.
        runs: default of ``--runs``; None for a benchmark that has no such option.
    """
    made = cli.Parser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    plain = " ".join(map(str, sizes))
    made.add_argument(
        "sizes", type=cli.positive, nargs="*", default=sizes, metavar=unit.upper(), help=f"default: {plain}"
    )
    if runs is not None:
        made.add_argument(
            "--runs", type=cli.positive, default=runs, help="runs that a median is taken of (default: %(default)s)"
        )
    return made


def median_s(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median wall-clock seconds of some runs, after one that does not count; a single long one goes without."""
    if runs > 1:
        work()
    return statistics.median(_seconds(work) for _ in range(runs))


def compare(
    sizes: Sequence[int], ours: Callable[[int], object], plain: Callable[[int], object], unit: str, runs: int = RUNS
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
