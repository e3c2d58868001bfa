"""Downloads, and what is made from them, in threads: jobs as they end, and work that is done once for all."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from threading import Lock
from typing import Any, Generic, TypeVar

from segmentation.core.progress import progress

Key = TypeVar("Key")
Result = TypeVar("Result")


def as_they_end(
    work: Callable[..., Result],
    jobs: Mapping[Key, tuple[Any, ...]],
    *,
    give_up: Callable[[], None],
    threads: int,
    unit: str,
    quiet: bool,
) -> Iterator[tuple[Key, Result]]:
    """Do jobs in threads, with a progress bar.

    Args:
        work: what is done in each.
        jobs: its arguments, by the key of the job.
        give_up: called in the end, however that comes, so that no job under way waits for another process any more.
        threads: jobs at the same time.
        unit: what one job is about, for the progress bar.
        quiet: no progress bar.

    Yields:
        The key of each job and what ``work`` has returned, in the order in which jobs end.

    Raises:
        Exception: what ``work`` has raised; jobs that have not begun are then left.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=unit)
    key_of = {pool.submit(work, *arguments): key for key, arguments in jobs.items()}
    try:
        ended = as_completed(key_of)
        for job in progress(ended, total=len(key_of), desc=f"{unit}s", unit=unit, quiet=quiet):
            yield key_of[job], job.result()
    finally:
        give_up()
        pool.shutdown(cancel_futures=True)


class SharedWork(Generic[Result]):
    """Does the work of a key once: the first thread that asks does it, the others wait for its result or error."""

    def __init__(self) -> None:
        self._results: dict[Hashable, Future[Result]] = {}
        self._lock = Lock()

    def result(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """The result of the work of a key; raises what it raised."""
        with self._lock:
            future = self._results.get(key)
            is_first = future is None
            if future is None:
                future = Future()
                self._results[key] = future
        if is_first:
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)
        return future.result()

    def forget(self, key: Hashable) -> None:
        """Free the memory of a result."""
        with self._lock:
            self._results.pop(key, None)
