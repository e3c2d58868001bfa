"""A file of facts by key that grows while runs go on, one or several at once, and survives being cut off any time."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from segmentation.core.files import make_folder, whole_file
from segmentation.core.process.locks import FolderLocks


class Journal:
    """Facts by key in a file: a JSON array ``[key, value]`` a line; of several lines with a key the last counts.

    Several processes may add to the same file, on several machines too: nothing of what one has added is lost to
    another. ``refresh`` takes in what others have added.

    Args:
        path: of the file, made with the first record.
    """

    def __init__(self, path: Path):
        self._path = path
        self._values: dict[str, Any] = {}
        self._lock = Lock()
        self._locks = FolderLocks(path.parent)
        # How much of which file has been read; another process may replace it by a tidy one.
        self._read_bytes = 0
        self._file_id: int | None = None
        self._read_on()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, key: str) -> Any:
        """The value kept for a key, None where there is none."""
        return self._values.get(key)

    def refresh(self) -> None:
        """Take in what other processes have added."""
        with self._lock:
            self._read_on()

    def keep(self, key: str, value: Any) -> None:
        """Add a fact; it is in the file when this returns."""
        line = json.dumps([key, value]).encode() + b"\n"
        make_folder(self._path.parent)
        # The lock is for tidying: what is added while another process rewrites the file would be lost.
        with self._lock, self._locks.held(self._path.name):
            _append(self._path, line)
            self._read_on()

    def tidy(self) -> None:
        """Rewrite the file, sorted by key, a line each: it then shows nothing of the order of events."""
        if not self._values or self._is_tidy():
            return
        with self._lock, self._locks.held(self._path.name):
            self._read_bytes = 0
            self._read_on()
            with whole_file(self._path) as partial:
                partial.write_bytes(self._in_order())

    def _is_tidy(self) -> bool:
        """Whether there is nothing to rewrite; a folder that cannot be written then does no harm."""
        self.refresh()
        return self._path.exists() and self._path.read_bytes() == self._in_order()

    def _in_order(self) -> bytes:
        lines = [json.dumps([key, self._values[key]]) for key in sorted(self._values)]
        return ("\n".join(lines) + "\n").encode()

    def _read_on(self) -> None:
        """Read the lines that were added since the last time; all of them if the file is another one."""
        try:
            file = self._path.open("rb")
        except (FileNotFoundError, NotADirectoryError):  # a file in the folder's place is told by whoever writes
            return
        with file:
            known = os.fstat(file.fileno())
            if known.st_ino != self._file_id or known.st_size < self._read_bytes:
                self._read_bytes, self._file_id = 0, known.st_ino
            file.seek(self._read_bytes)
            text = file.read()
        for line in text.splitlines():
            try:
                key, value = json.loads(line)
                self._values[key] = value
            except (ValueError, TypeError):
                continue  # cut off while it was written: as good as never
        # The last line may not be whole yet.
        self._read_bytes += text.rfind(b"\n") + 1


def _append(path: Path, line: bytes) -> None:
    """Add a line to a file in one write, which the system puts behind what others add at the same time.

    Raises:
        OSError: the disk is full.
    """
    with path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            # A line that was cut off must not swallow this one.
            line = line if file.read(1) == b"\n" else b"\n" + line
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
