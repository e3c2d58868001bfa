"""A file of facts by key that grows while a run goes on and survives being cut off at any moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from segmentation.workspace import make_folder, whole_file


class RecordFile:
    """A JSON array ``[key, value]`` a line; of several lines with a key the last counts.

    Args:
        path: of the file, made with the first record.
    """

    def __init__(self, path: Path):
        self._path = path
        self._values: dict[str, Any] = {}
        self._lock = Lock()
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                key, value = json.loads(line)
            except ValueError:
                continue  # cut off while it was written: as good as never
            self._values[key] = value
        # A line that was cut off must not swallow the next one.
        self._before_next = "" if text.endswith("\n") or not text else "\n"

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, key: str) -> Any:
        """The value kept for a key, None where there is none."""
        return self._values.get(key)

    def keep(self, key: str, value: Any) -> None:
        """Add a fact; it is on disk when this returns."""
        with self._lock:
            self._values[key] = value
            make_folder(self._path.parent)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._before_next + json.dumps([key, value]) + "\n")
            self._before_next = ""

    def tidy(self) -> None:
        """Rewrite the file, sorted by key, a line each: it then shows nothing of the order of events."""
        if self._values:
            with whole_file(self._path) as partial:
                lines = [json.dumps([key, self._values[key]]) for key in sorted(self._values)]
                partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
