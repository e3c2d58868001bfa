"""What is typed on a command line: numbers within bounds that are said, years, files and folders.

Python's own ``int`` and ``float`` take more than a user means: ``nan``, ``inf``, ``1_000``, digits of other scripts.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,4})?")
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class WholeNumber:
    """An argparse type: a whole number from ``least`` to ``most``, both included.

    Attributes:
        least: the smallest that is taken.
        most: the largest.
        what: what it is called where it is refused.
    """

    least: int
    most: int
    what: str = "a whole number"

    @property
    def bounds(self) -> str:
        """In words, for help and errors."""
        return f"from {self.least} to {self.most}"

    def __call__(self, text: str) -> int:
        """The number.

        Raises:
            argparse.ArgumentTypeError: the text is no such number.
        """
        if not _WHOLE.fullmatch(text) or not self.least <= int(text) <= self.most:
            raise argparse.ArgumentTypeError(f"{shown(text)} is not {self.what} {self.bounds}")
        return int(text)


@dataclass(frozen=True)
class Number:
    """An argparse type: a number between ``least`` and ``most``.

    Attributes:
        least: the smallest that is taken.
        most: the largest.
        what: what it is called where it is refused.
        inside: ``least`` and ``most`` themselves are not taken.
    """

    least: float
    most: float
    what: str = "a number"
    inside: bool = False

    @property
    def bounds(self) -> str:
        """In words, for help and errors."""
        if self.inside:
            return f"strictly between {self.least:g} and {self.most:g}"
        return f"from {self.least:g} to {self.most:g}"

    def __call__(self, text: str) -> float:
        """The number.

        Raises:
            argparse.ArgumentTypeError: the text is no such number.
        """
        # What is too large for a float becomes infinite, and with that out of bounds.
        value = float(text) if _DECIMAL.fullmatch(text) else float("nan")
        fits = self.least < value < self.most if self.inside else self.least <= value <= self.most
        if not fits:
            raise argparse.ArgumentTypeError(f"{shown(text)} is not {self.what} {self.bounds}")
        return value


@dataclass(frozen=True)
class Years:
    """An argparse type: one year or several, such as ``2016``, ``2016-2024`` or ``2016,2018-2020``.

    Attributes:
        year: the type of each of them.
    """

    year: WholeNumber

    @property
    def bounds(self) -> str:
        """In words, for help and errors."""
        return self.year.bounds

    def __call__(self, text: str) -> list[int]:
        """The years, as they are named.

        Raises:
            argparse.ArgumentTypeError: the text names no years.
        """
        years: list[int] = []
        for part in text.split(","):
            first, dash, last = part.partition("-")
            if not first or (dash and not last):
                raise argparse.ArgumentTypeError(f"{shown(text)} is not years such as 2016, 2016-2024 or 2016,2019")
            begin = self.year(first)
            end = self.year(last) if dash else begin
            if end < begin:
                raise argparse.ArgumentTypeError(f"{shown(part)} ends before it begins")
            years += range(begin, end + 1)
        return years


class Together(argparse.Action):
    """For an option that takes several values of which each may stand for several: one sorted list, each once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Keep what was named."""
        named: set[Any] = set()
        for several in values or ():
            named.update(several)
        setattr(namespace, self.dest, sorted(named))


def a_path(text: str) -> Path:
    """An argparse type: a path of any kind, which an unset variable of a shell script is not."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{shown(text)} names no file or folder")
    return Path(text)


def a_folder(text: str) -> Path:
    """An argparse type: a folder that is there or can be made."""
    path = a_path(text)
    in_the_way = next((place for place in (path, *path.parents) if place.exists() and not place.is_dir()), None)
    if in_the_way is not None:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no folder: {in_the_way} is a file")
    return path


def a_file(text: str) -> Path:
    """An argparse type: a file that is there and can be read."""
    path = a_path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{shown(text)} is a folder, a file is needed")
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no file {shown(text)}")
    if not os.access(path, os.R_OK):
        raise argparse.ArgumentTypeError(f"{shown(text)} may not be read: permission denied")
    return path


def a_new_file(text: str) -> Path:
    """An argparse type: a file to write, in a folder that is there or can be made."""
    path = a_path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{shown(text)} is a folder, the name of a file is needed")
    a_folder(str(path.parent))
    return path


def shown(text: str) -> str:
    """What was typed, in quotes, cut where it is long."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")
