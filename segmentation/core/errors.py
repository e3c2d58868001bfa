"""The one kind of error that is meant for the user's eyes: a single line that says what to do."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)

# No room on the disk, beyond the user's share of it, beyond what a file may hold.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Databases give back what they have written when they find no more room.
_HARDLY_ANY_BYTES = 1 << 20
_LONGEST_REASON = 200


class PipelineError(Exception):
    """Something the user can mend. The command lines print its text alone and exit with status 2."""


class DiskFull(PipelineError):
    """There is no room to write a file; trying the next one would help nobody."""


class DamagedFile(PipelineError):
    """A file that the pipeline has made cannot be read: cut off by a full disk or a power cut.

    Attributes:
        path: of the file.
        reason: what is wrong with it.
        remedy: what the user does.
    """

    def __init__(self, path: Path, reason: str, remedy: str):
        super().__init__(path, reason, remedy)
        self.path, self.reason, self.remedy = path, reason, remedy

    def __str__(self) -> str:
        return f"{self.path} is damaged ({self.reason}); {self.remedy}"


def full_disk(error: OSError, path: str | os.PathLike[str] | None = None) -> str | None:
    """What to tell of an error if it means that there is no room to write.

    Args:
        error: from the system.
        path: what was being written, where the error itself does not say.

    Returns:
        The line, None for any other error.
    """
    if error.errno not in _NO_ROOM:
        return None
    place = path or error.filename
    where = f" at {place}" if place else ""
    return f"disk full{where} ({os.strerror(error.errno)}): make room, then run the same command again"


def reason_of(error: BaseException) -> str:
    """What an error of any library says, with its kind: one line that is not too long."""
    words = " ".join(str(error).split())
    if len(words) > _LONGEST_REASON:
        words = words[: _LONGEST_REASON - 3] + "..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def cannot_write(path: Path, error: Exception) -> PipelineError:
    """What to raise where a library says in its own words that a file cannot be written.

    Args:
        path: of the file.
        error: from the library.
    """
    # SQLite's begin with the whole statement that failed.
    reason = " ".join(str(error).split())
    reason = reason if len(reason) <= _LONGEST_REASON else f"...{reason[-_LONGEST_REASON:]}"
    if shutil.disk_usage(path.parent).free < _HARDLY_ANY_BYTES:
        return DiskFull(f"disk full at {path} ({reason}): make room, then run the same command again")
    return PipelineError(f"cannot write {path}: {reason}; is the disk full?")


@contextmanager
def disk_full_at(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a full disk into an error that names what was being written.

    Raises:
        DiskFull: there is no room.
    """
    try:
        yield
    except OSError as error:
        reason = full_disk(error, path)
        if reason is None:
            raise
        raise DiskFull(reason) from None


@contextmanager
def in_one_line(failure: str) -> Iterator[None]:
    """Tell whatever other people's code raises as a ``PipelineError``; ``--verbose`` shows where it happened.

    Raises:
        PipelineError: ``failure``, and what the error says.
    """
    try:
        yield
    except Exception as error:
        _log.info("where it happened", exc_info=True)
        raise PipelineError(f"{failure}: {reason_of(error)}") from None
