"""How far a long step has come: a bar on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Generic, TextIO, TypeAlias, TypeVar

from tqdm import tqdm

# Log files grow by a line as often.
EVERY_S = 60.0

_Item = TypeVar("_Item")


class Lines(Generic[_Item]):
    """Says how far a step has come, a line about once a minute; used as a tqdm bar is.

    Args:
        items: to go through, None where ``update`` tells what is done.
        total: how many there are.
        desc: what they are called.
        file: where to.
        every_s: seconds between two lines.
    """

    def __init__(
        self,
        items: Iterable[_Item] | None = None,
        *,
        total: int,
        desc: str,
        file: TextIO,
        every_s: float = EVERY_S,
    ):
        self._items = items
        self._total, self._what, self._file, self._every_s = total, desc, file, every_s
        self._done = 0
        self._lock = threading.Lock()
        self._start = self._told = time.monotonic()
        self._any_told = False

    def __enter__(self) -> Lines[_Item]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[_Item]:
        with self:
            for item in self._items or ():
                yield item
                self.update()

    def update(self, count: int = 1) -> None:
        """So many more are done; may be called from any thread."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._told >= self._every_s and self._done < self._total:
                self._told = now
                self._tell(f"{self._share()}, {_left(now - self._start, self._done, self._total)}")

    def close(self) -> None:
        """The last line, unless all of it took less than a line's time."""
        with self._lock:
            if self._any_told:
                self._tell(f"{self._share()} after {_duration(time.monotonic() - self._start)}")
                self._any_told = False

    def _share(self) -> str:
        return f"{self._done:,} of {self._total:,}"

    def _tell(self, how_far: str) -> None:
        self._any_told = True
        # Where nobody reads, or the log's disk is full, the work itself goes on.
        with suppress(OSError, ValueError):
            print(f"{self._what}: {how_far}", file=self._file, flush=True)


# What ``progress`` gives.
Bar: TypeAlias = tqdm | Lines


def progress(
    items: Iterable[_Item] | None = None, *, total: int, desc: str, unit: str, quiet: bool, leave: bool = True
) -> Bar:
    """Show how far a step has come, on standard error.

    Args:
        items: to go through; without them the result is a context whose ``update`` tells what is done.
        total: how many there are.
        desc: what they are called.
        unit: one of them.
        quiet: show nothing.
        leave: leave a finished bar on the terminal.
    """
    if quiet or sys.stderr is None or _draws_bars():
        return tqdm(items, total=total, desc=desc, unit=unit, disable=quiet or sys.stderr is None, leave=leave)
    return Lines(items, total=total, desc=desc, file=sys.stderr)


def _draws_bars() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _left(passed_s: float, done: int, total: int) -> str:
    """How long the rest takes if it goes on as before."""
    if done == 0:
        return "time left not known"
    return f"{_duration(passed_s / done * (total - done))} left"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds, such as 1:02:03."""
    return str(timedelta(seconds=round(seconds)))
