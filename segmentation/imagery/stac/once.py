"""Work that several threads ask for and one does."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Once(Generic[Result]):
    """Does the work of a key once: the first thread that asks does it, the others wait for its result or error."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Future[Result]] = {}
        self._lock = Lock()

    def get(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """The result of the work of a key; raises what it raised."""
        with self._lock:
            known = self._known.get(key)
            mine = known is None
            future: Future[Result] = Future() if mine else known
            self._known[key] = future
        if mine:
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)
        return future.result()

    def forget(self, key: Hashable) -> None:
        """Free the memory of a result."""
        with self._lock:
            self._known.pop(key, None)
