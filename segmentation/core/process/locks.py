"""Locks between processes that share a folder, on one machine or on several.

They are record locks (POSIX, ``fcntl``) on single bytes of one file in the folder, a byte a name. Such locks work over
network file systems, end with the process that holds them however it ends, and leave nothing behind for each name.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

# Not there on Windows.
fcntl: ModuleType | None = import_module("fcntl") if find_spec("fcntl") else None

LOCK_NAME = ".lock"
_ALONE, _SHARED, _NONE = (fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_UN) if fcntl else (0, 0, 0)
_BUSY = (BlockingIOError, PermissionError)
# Between two looks at a lock that another process holds: short ones first, for locks that last a moment.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.001, 0.2

log = logging.getLogger(__name__)


class FolderLocks:
    """The locks of a folder that exists; safe to use from several threads.

    Where the folder cannot be written or its file system knows no locks, nothing is locked, which is said once.

    Args:
        folder: that processes share.
    """

    def __init__(self, folder: Path):
        self._path = folder / LOCK_NAME

    @contextmanager
    def held(self, name: str, given_up: threading.Event | None = None) -> Iterator[None]:
        """Hold a name alone; waits while another thread or process holds it.

        Args:
            name: anything that all processes call the same.
            given_up: ends the waiting from another thread.

        Raises:
            GivenUp: ``given_up`` was set while another process held the name.
        """
        # The system's locks belong to a process: its own threads exclude each other here.
        with _of_threads(self._path, name):
            self._lock(name, _ALONE, given_up)
            try:
                yield
            finally:
                self._unlock(name)

    def share(self, name: str) -> None:
        """Hold a name together with others until ``leave``; waits while another process holds it alone."""
        self._lock(name, _SHARED)

    def leave(self, name: str) -> None:
        """Hold a name no more."""
        self._unlock(name)

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether no other process holds a name that this one shares; if so, none begins to while the block lasts."""
        with _of_threads(self._path, name):
            alone = self._try(name, _ALONE)
            try:
                yield alone
            finally:
                if alone:
                    self._try(name, _SHARED)

    def _lock(self, name: str, kind: int, given_up: threading.Event | None = None) -> None:
        # Waiting in the system instead would end in false deadlocks: it takes all threads of a process for one.
        wait_s = _FIRST_WAIT_S
        while not self._try(name, kind):
            if wait_s == _FIRST_WAIT_S:
                log.info("%s is held by another process: waiting", name)
            if given_up is not None and given_up.is_set():
                raise GivenUp(name)
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _try(self, name: str, kind: int) -> bool:
        """Whether a lock was to be had; where there are no locks, it was."""
        descriptor = _descriptor(self._path)
        if fcntl is None or descriptor is None:
            return True
        try:
            fcntl.lockf(descriptor, kind | fcntl.LOCK_NB, 1, _byte(name))
        except _BUSY:
            return False
        except OSError as error:  # this file system has none
            _say_once(self._path, error, logging.WARNING)
        return True

    def _unlock(self, name: str) -> None:
        descriptor = _descriptor(self._path)
        if fcntl is not None and descriptor is not None:
            with suppress(OSError):
                fcntl.lockf(descriptor, _NONE, 1, _byte(name))


class GivenUp(Exception):
    """Nobody waits for a lock any more."""


_guard = threading.Lock()
# One descriptor a file for the life of the process: closing any would end all locks that the process has on the file.
_descriptors: dict[Path, int | None] = {}
_threads: dict[tuple[Path, str], threading.Lock] = defaultdict(threading.Lock)


def _descriptor(path: Path) -> int | None:
    """The file to lock, opened once; None where there is none to be had."""
    if fcntl is None:
        _say_once(path, OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)), logging.WARNING)
        return None
    with _guard:
        if path not in _descriptors or not _is_still(path, _descriptors[path]):
            try:
                _descriptors[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                _descriptors[path] = None
                _say_once(path, error, logging.INFO)
        return _descriptors[path]


def _is_still(path: Path, descriptor: int | None) -> bool:
    """Whether a file is the one that was opened; folders may be removed and made again."""
    try:
        return descriptor is not None and path.stat().st_ino == os.fstat(descriptor).st_ino
    except OSError:
        return False


def _of_threads(path: Path, name: str) -> threading.Lock:
    with _guard:
        return _threads[path, name]


def _byte(name: str) -> int:
    """The position of a name's byte in the file, which itself stays empty."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


_said: set[Path] = set()


def _say_once(path: Path, error: OSError, level: int) -> None:
    if path not in _said:
        _said.add(path)
        log.log(level, "no locks in %s (%s): let only one run at a time use it", path.parent, error.strerror)
