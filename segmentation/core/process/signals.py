"""What ends a command from outside: Ctrl-C and SIGTERM, in the main process and in those that work for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

_ENDING = {signal.SIGINT, signal.SIGTERM}


class Terminated(KeyboardInterrupt):
    """SIGTERM came; it ends whatever Ctrl-C ends."""


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """While the block lasts, SIGTERM raises ``Terminated`` in the main thread, so that everything is left in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: object) -> None:
    raise Terminated


@contextmanager
def holding_back_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait while the block lasts; in processes that it starts, until those let them through.

    A terminal sends Ctrl-C to every process: one that is just being started would answer with a traceback, as would
    one whose parent leaves while it starts it.
    """
    # Starting it, Python lets signals through again; once it runs, it is left alone.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_interrupts_to_parent() -> None:
    """In a worker process: ignore Ctrl-C; the main process says when it is over."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
