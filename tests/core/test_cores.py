"""The cores that a process may use: affinity, control groups, Slurm."""

import os
import subprocess
import sys

import pytest

from segmentation.core.process.cores import usable_cores
from segmentation.core.workspace import REPOSITORY

V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 31 0:30 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
PRINT = "from segmentation.core.process.cores import usable_cores; print(usable_cores())"


@pytest.fixture
def many(monkeypatch):
    """A machine with 64 cores that asks nobody for less."""
    for name in ("cpu_count", "process_cpu_count"):
        monkeypatch.setattr(os, name, lambda: 64, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)


@pytest.fixture
def machine(tmp_path, many):
    """Writes what the kernel tells of control groups, under a root of its own: ``machine(mounts, groups, files)``."""

    def make(mounts, groups, files):
        told = {"proc/self/mountinfo": mounts, "proc/self/cgroup": groups} | files
        for name, text in told.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def test_affinity_counts():
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system knows no affinity")
    one = min(os.sched_getaffinity(0))
    found = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{one}}}); {PRINT}"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    assert found.stdout == "1\n"


@pytest.mark.parametrize(
    ("told", "cores"),
    [
        ("max 100000\n", 64),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("garbled\n", 64),
        ("", 64),
    ],
)
def test_quotas_of_version_2_count_rounded_up(machine, told, cores):
    root = machine(V2, "0::/user.slice/job\n", {"sys/fs/cgroup/user.slice/job/cpu.max": told})
    assert usable_cores(root, {}) == cores


def test_the_tightest_group_around_counts(machine):
    files = {"a": "max 100000", "a/b": "300000 100000", "a/b/c": "800000 100000"}
    root = machine(V2, "0::/a/b/c\n", {f"sys/fs/cgroup/{name}/cpu.max": text for name, text in files.items()})
    assert usable_cores(root, {}) == 3


@pytest.mark.parametrize("seen", ["/", "/docker/7f"], ids=["whole tree", "own group alone"])
def test_quotas_of_version_1_count(machine, seen):
    folder = "sys/fs/cgroup/cpu,cpuacct" + ("/docker/7f" if seen == "/" else "")
    files = {f"{folder}/cpu.cfs_quota_us": "250000\n", f"{folder}/cpu.cfs_period_us": "100000\n"}
    root = machine(V1.format(root=seen), "5:memory:/docker/7f\n4:cpu,cpuacct:/docker/7f\n0::/\n", files)
    assert usable_cores(root, {}) == 3
    (root / folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cores(root, {}) == 64


def test_no_control_groups_are_no_limit(tmp_path, many):
    assert usable_cores(tmp_path, {}) == 64


@pytest.mark.parametrize(
    ("environment", "cores"),
    [
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "16"}, 4),
        ({"SLURM_CPUS_ON_NODE": "16"}, 16),
        ({"SLURM_CPUS_PER_TASK": "0"}, 64),
        ({"SLURM_CPUS_PER_TASK": "four"}, 64),
        ({"SLURM_CPUS_PER_TASK": "999"}, 64),
    ],
)
def test_what_slurm_grants_counts(tmp_path, many, environment, cores):
    assert usable_cores(tmp_path, environment) == cores


def test_nothing_else_asks_for_the_machine_s_cores():
    folders = [REPOSITORY / "segmentation", REPOSITORY / "benchmarks"]
    sources = [path for folder in folders for path in folder.rglob("*.py")] + list(REPOSITORY.glob("*.py"))
    assert [path.name for path in sources if "cpu_count" in path.read_text(encoding="utf-8")] == ["cores.py"]
