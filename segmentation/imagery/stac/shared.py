"""Work that several threads need and one of them does."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

Result = TypeVar("Result")


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
