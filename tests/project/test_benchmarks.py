"""Every benchmark runs, at its smallest size: what it measures was not renamed meanwhile."""

import importlib
import re

import numpy as np
import pytest

from segmentation.core.workspace import REPOSITORY

# By benchmark, the words that make it small, and the tables' rows that it then prints.
SMALLEST = {
    "dataset": (["--side=1", "--ours=2", "--plain=1", "--plain-twice"], 2),
    "inference": (["b0", "--chips=1", "--one-by-one=1", "--precisions=fp32", "--runs=1"], 2),
    "join_polygons": (["30"], 1),
    "outlines": (["1", "--runs=1"], 12),
    "panel": (["12", "--filter=20"], 2),
    "planning": (["30", "--runs=1"], 1),
    "read_windows": (["2", "--side=1", "--runs=1"], 1),
    "write_polygons": (["30"], 1),
}


def test_all_benchmarks_are_tried_and_run_by_make():
    names = {path.stem for path in (REPOSITORY / "benchmarks").glob("[a-z]*.py")} - {"timing"}
    assert names == set(SMALLEST)
    assert set(re.findall(r"-m benchmarks\.(\w+)", (REPOSITORY / "Makefile").read_text())) == names


@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_runs_and_prints_its_table(name, monkeypatch, capfd):
    benchmark = importlib.import_module(f"benchmarks.{name}")
    if hasattr(benchmark, "render_quad"):
        # The landscape takes seconds a quad; any ground will do.
        monkeypatch.setattr(benchmark, "render_quad", lambda *_: np.full((5, 4096, 4096), 500, "uint16"))
    words, rows = SMALLEST[name]
    benchmark.main(words)
    table = [line for line in capfd.readouterr().out.splitlines() if re.match(r"\| .*\d", line)]
    assert len(table) == rows
    assert "nan" not in "".join(table)
