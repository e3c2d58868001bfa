"""What clients send and receive: counted, and kept below the rate that a server asks for."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


@dataclass
class Traffic:
    """What has gone over the wire: requests sent, bytes of files and answers received."""

    requests: int = 0
    received_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, requests: int = 0, received_bytes: int = 0) -> None:
        """Count; from any thread."""
        with self._lock:
            self.requests += requests
            self.received_bytes += received_bytes


@dataclass
class RateLimit:
    """At most ``per_second`` requests a second, shared by all threads of a client."""

    per_second: float
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self) -> None:
        """Sleep until the next request may start."""
        with self._lock:
            start = max(time.monotonic(), self._next)
            self._next = start + 1 / self.per_second
        time.sleep(max(0.0, start - time.monotonic()))
