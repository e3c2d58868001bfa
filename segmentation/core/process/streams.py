"""The standard streams of a command: closed ones, ones that nobody reads, ones that cannot show every letter."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_STANDARD = range(3)


def prepare_streams() -> None:
    """Make sure that whatever is printed goes somewhere and can be written.

    A standard stream that is closed leads nowhere from now on: the next file to be opened would get its number, and
    with it what libraries in C print. Letters that a stream's encoding lacks, in names of files and countries, are
    written as escapes.
    """
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open until the end
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print a line to standard error; where nobody reads it, there is nobody to tell."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def output_is_gone() -> bool:
    """Whether nobody reads standard output any more, as behind ``| head``."""
    watch = select.poll()
    try:
        watch.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # a stream without a file of its own, as tests have
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watch.poll(0))


def flush(stream: TextIO | None) -> None:
    """Write what a stream still holds.

    Raises:
        OSError: it cannot be written. Python will not try again when it ends, and complain then in words of its own.
    """
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
    except OSError:
        _lead_nowhere(stream)
        raise


def _lead_nowhere(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # a stream without a file of its own, as tests have
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
