"""Worker processes with a bounded number of tasks under way."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segmentation.core.process.workers import Crew
from segmentation.core.workspace import REPOSITORY


def touch_and_wait(path: Path, go: Path) -> int:
    path.touch()
    while not go.exists():
        time.sleep(0.01)
    return os.getpid()


def fail() -> None:
    raise ValueError("the disk is full")


def test_tasks_run_elsewhere_and_tell_when_they_end():
    ended = []
    with Crew(2) as crew:
        tasks = [crew.submit(pow, number, 2, done=lambda: ended.append(1)) for number in range(20)]
        assert [task.result() for task in tasks] == [number**2 for number in range(20)]
        assert crew.submit(os.getpid).result() != os.getpid()
    assert len(ended) == 20


def test_no_more_tasks_wait_than_keep_the_workers_busy(tmp_path):
    from threading import Thread

    with Crew(1) as crew:
        submitted = []

        def submit_many():
            for number in range(10):
                submitted.append(crew.submit(touch_and_wait, tmp_path / str(number), tmp_path / "go"))

        thread = Thread(target=submit_many)
        thread.start()
        deadline = time.monotonic() + 30
        while not (tmp_path / "0").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        assert len(submitted) == 4
        (tmp_path / "go").touch()
        thread.join(30)
        assert len({task.result() for task in submitted}) == 1


def test_the_first_failure_ends_the_submissions():
    with Crew(1) as crew:
        task = crew.submit(fail)
        with pytest.raises(ValueError, match="the disk is full"):
            task.result()
        with pytest.raises(ValueError, match="the disk is full"):
            for _ in range(3):
                crew.submit(pow, 2, 2)


def test_a_process_that_cuts_chips_loads_what_cutting_takes_and_no_more():
    """Every worker process of step 1 loads it anew, however little it has to do."""
    program = "import sys, segmentation.chips.cutting, segmentation.imagery.planet.quads; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "rasterio" in loaded
    assert loaded & {"geopandas", "pandas", "requests", "scipy", "torch"} == set()
