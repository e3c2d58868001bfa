"""Jobs of an imagery source in threads: downloads, or composites that are made from downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

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
