"""Files that are being written: how they are called, and which of them nobody writes any more.

A name tells the machine and the process that write the file, since others may be at work in the same folder. What a
process left half-written when it was killed is removed by the next that comes along on the same machine; on another
machine, which cannot ask whether the process lives, once the file has not been touched for a day.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PREFIX = ".partial-"
_NAME = re.compile(re.escape(PREFIX) + r"(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-")
# Far longer than any transfer that nothing comes of, and than clocks differ.
_LONG_AGO_S = 24 * 3600

# What this process is writing just now.
_ours: set[Path] = set()


def begin(path: Path) -> Path:
    """Where to write a file that is to be called ``path`` once it is whole; call ``end`` with that in any case."""
    partial = path.with_name(f"{PREFIX}{_machine()}-{os.getpid()}-{path.name}")
    _ours.add(partial)
    return partial


def end(partial: Path) -> None:
    """Nothing is written there any more; what is left is removed."""
    partial.unlink(missing_ok=True)
    _ours.discard(partial)


def clear(partials: Iterable[Path]) -> None:
    """Remove those of some half-written files that nobody writes any more."""
    for partial in partials:
        if _is_abandoned(partial):
            partial.unlink(missing_ok=True)


def _is_abandoned(partial: Path) -> bool:
    match = _NAME.match(partial.name)
    if match is None:  # as earlier versions called them
        return True
    process = int(match["process"])
    if match["machine"] != _machine():
        return _age_s(partial) > _LONG_AGO_S
    # In a container that was started again, another process had this number.
    return partial not in _ours if process == os.getpid() else not _is_alive(process)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # its owner has finished it
        return 0.0


def _is_alive(process: int) -> bool:
    """Whether a process of this machine runs; one that has ended and waits for its parent (a zombie) does not."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    try:
        state = (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        )
    except (OSError, IndexError):  # not on this system
        return True
    return state not in {"Z", "X"}


@cache
def _machine() -> str:
    """Where process numbers mean something, eight hexadecimal digits: the host and, in a container, its own numbers."""
    try:
        numbers = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not on this system
        numbers = 0
    return hashlib.sha256(f"{socket.gethostname()} {numbers}".encode()).hexdigest()[:8]
