"""Worker processes, as every step that uses them wants them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any, TypeVar

from segmentation.core.process.signals import holding_back_signals, leave_interrupts_to_parent

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# GDAL's cache of blocks in each worker; its own default is a share of the machine's memory.
_BLOCK_CACHE_MB = "256"
# Tasks under way for each worker: enough to keep it busy, few enough to keep memory flat.
_AHEAD = 4


class _Pool(ProcessPoolExecutor):
    """Worker processes that start without hearing Ctrl-C; once the block has failed, what is waiting is not begun."""

    def submit(self, work: Callable, /, *arguments: Any, **named: Any) -> Future:
        """Hand in a task; a process may be started for it."""
        with holding_back_signals():
            return super().submit(work, *arguments, **named)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.shutdown(cancel_futures=kind is not None)


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Worker processes that end with the main process, even if that is killed.

    They are started afresh: forking a process whose threads are downloading is not safe. Where one is killed, what
    waits for it gets a ``BrokenExecutor``, of which the command lines know what to say.
    """
    context = multiprocessing.get_context("spawn")
    return _Pool(workers, mp_context=context, initializer=init_worker)


def init_worker() -> None:
    """What a worker process does first: it leaves Ctrl-C and its own end to its parent, and takes little memory."""
    leave_interrupts_to_parent()
    os.environ["GDAL_CACHEMAX"] = _BLOCK_CACHE_MB
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when another one has ended."""
    wait([sentinel])
    os._exit(1)


def map_ahead(
    pool: Executor, work: Callable[[_Item], _Result], items: Iterable[_Item], waiting: int
) -> Iterator[_Result]:
    """``map`` by the workers of a pool, up to some results ahead of their use, in the order of the items."""
    results: deque[Future[_Result]] = deque()
    for item in items:
        results.append(pool.submit(work, item))
        if len(results) > waiting:
            yield results.popleft().result()
    while results:
        yield results.popleft().result()


class Crew:
    """Worker processes with a bounded number of tasks under way.

    Args:
        workers: number of processes.
    """

    def __init__(self, workers: int):
        self._pool = worker_pool(workers)
        self._slots = threading.BoundedSemaphore(_AHEAD * workers)
        self._failed: list[BaseException] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def submit(self, work: Callable, *arguments: object, done: Callable[[], object] = lambda: None) -> Future:
        """Hand a task to the next free worker; waits while too many are under way.

        Args:
            work: a function that can be pickled.
            arguments: for it.
            done: called when the task has ended, from another thread.

        Raises:
            Exception: what an earlier task has raised.
        """

        def end(future: Future) -> None:
            failure = None if future.cancelled() else future.exception()
            if failure is not None:
                self._failed.append(failure)
            self._slots.release()
            done()

        self._slots.acquire()
        if self._failed:
            raise self._failed[0]
        future = self._pool.submit(work, *arguments)
        future.add_done_callback(end)
        return future
