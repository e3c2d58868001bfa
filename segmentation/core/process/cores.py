"""How many processor cores this process may use, which on shared machines are fewer than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def usable_cores(root: Path = _ROOT, environment: Mapping[str, str] = os.environ) -> int:
    """The number of cores that this process may use, at least 1.

    The least of what the affinity mask allows (``taskset``, a container's cpuset), of the CPU time that its control
    groups grant (``docker --cpus``, Kubernetes' limits; a part of a core counts as one), and of what Slurm has given
    to the task.

    Args:
        root: where ``proc`` and ``sys`` are.
        environment: the environment variables.
    """
    limits = [_affinity(), *_granted_by_slurm(environment), *_quotas(root)]
    return max(1, min(limits))


def _affinity() -> int:
    # From 3.13 on Python answers this itself, and lets users set it (-X cpu_count).
    count = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    # Not known outside of Linux.
    return min(count, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else count


def _granted_by_slurm(environment: Mapping[str, str]) -> list[int]:
    """Cores of the task, or else of all tasks of the job on this machine; none outside of Slurm."""
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        text = environment.get(name, "")
        if text.isascii() and text.isdecimal() and int(text) > 0:
            return [int(text)]
    return []


def _quotas(root: Path) -> Iterator[int]:
    """The cores' worth of time that the control groups of this process grant, those around them included."""
    own = _own_groups(root)
    for mount in _lines(root / "proc/self/mountinfo"):
        # Of a line: 36 35 98:0 /root /mount/point rw - cgroup cgroup rw,cpu (man 5 proc_pid_mountinfo)
        before, _, after = mount.partition(" - ")
        kind, *_, options = after.split()
        if kind == "cgroup2" and "" in own:
            folders, read = _folders(root, before.split(), own[""]), _quota_v2
        elif kind == "cgroup" and "cpu" in options.split(",") and "cpu" in own:
            folders, read = _folders(root, before.split(), own["cpu"]), _quota_v1
        else:
            continue
        yield from filter(None, map(read, folders))


def _own_groups(root: Path) -> dict[str, str]:
    """The control groups of this process by controller, with version 2's under no name (man 7 cgroups)."""
    groups: dict[str, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    return groups


def _folders(root: Path, mount: list[str], group: str) -> Iterator[Path]:
    """The folder of a group and of all groups around it, as far as they can be seen from here."""
    mounted, at = mount[3], root / mount[4].lstrip("/")
    # A container sees its own group mounted, and is told a path that begins outside.
    seen = PurePosixPath(group)
    inside = seen.relative_to(mounted) if seen.is_relative_to(mounted) else PurePosixPath()
    yield at
    for part in inside.parts:
        at = at / part
        yield at


def _quota_v2(folder: Path) -> int | None:
    """The cores of a group of version 2: ``cpu.max`` holds a quota, or ``max``, and its period."""
    quota, period, *_ = [*_words(folder / "cpu.max"), "", ""]
    return _rounded_up(quota, period)


def _quota_v1(folder: Path) -> int | None:
    """The cores of a group of version 1, where a quota of -1 is none."""
    quota, *_ = [*_words(folder / "cpu.cfs_quota_us"), ""]
    period, *_ = [*_words(folder / "cpu.cfs_period_us"), ""]
    return _rounded_up(quota, period)


def _rounded_up(quota_us: str, period_us: str) -> int | None:
    """Cores that a quota amounts to; None where it is none: ``max``, -1, or not there."""
    if not (quota_us.isdecimal() and period_us.isdecimal() and int(period_us)):
        return None
    return -(-int(quota_us) // int(period_us))


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: Path) -> list[str]:
    """The lines of a file, none where there is no such file or it may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
