"""What goes wrong between a client and Planet, on demand: the stand-in's faults, and its counts, for tests.

Whether a request is disturbed hangs on the seed, the path and how often that path was asked for, never on the order in
which threads happen to ask: the same run meets the same faults.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

from segmentation.demo.planet.exchange import Refusal, Request, Response, as_json
from segmentation.demo.planet.mishaps import KINDS

COUNTS_PATH = "/standin/counts"

Answer = Callable[[Request], Response]


@dataclass(frozen=True)
class Rule:
    """A fault for certain requests, whatever chance says.

    Attributes:
        kind: one of ``KINDS``.
        path: regular expression, found anywhere in the request's path.
        first: how many times a path has been asked for when it begins, counted from 1.
        last: likewise when it ends, inclusive; None for never.
    """

    kind: str
    path: str
    first: int = 1
    last: int | None = None

    def applies(self, path: str, nth: int) -> bool:
        """Whether it is meant for the nth request of a path."""
        return nth >= self.first and (self.last is None or nth <= self.last) and bool(re.search(self.path, path))


@dataclass(frozen=True)
class Faults:
    """What goes wrong; by default nothing, and requests are only counted.

    Attributes:
        shares: of the requests that meet a fault, by its kind.
        rules: faults for certain requests.
        seed: of chance.
        at_most: faults by chance that one path meets, so that a bounded number of tries gets through.
        page_size: entries on a page of any listing, whatever the client asks for.
    """

    shares: dict[str, float] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    seed: int = 0
    at_most: int = 3
    page_size: int | None = None

    def __post_init__(self):
        named = {*self.shares, *(rule.kind for rule in self.rules)}
        unknown = named - KINDS.keys()
        if unknown or sum(self.shares.values()) > 1:
            raise ValueError(f"no such faults, or shares above 1: {sorted(unknown)}, {self.shares}")

    def to_json(self) -> str:
        """As text for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Faults:
        """From the text that ``to_json`` makes."""
        content = json.loads(text)
        return cls(**{**content, "rules": tuple(Rule(**rule) for rule in content.get("rules", ()))})

    def drawn(self, path: str, nth: int) -> str | None:
        """The kind of fault that chance has for the nth request of a path, if any."""
        digest = hashlib.sha256(f"{self.seed} {path} {nth}".encode()).digest()
        left = int.from_bytes(digest[:8], "big") / 2**64
        for kind, share in self.shares.items():
            left -= share
            if left < 0:
                return kind
        return None


def disturb(answers: Mapping[str, Answer], faults: Faults, key: str) -> dict[str, Answer]:
    """Wrap what answers on each port, so that faults come between and requests are counted.

    Any port then also answers ``COUNTS_PATH``, without key: ``requests`` and ``faulted`` by port and path,
    ``faults`` by kind, and ``leaks``, what the storage was told that is none of its business.
    """
    counts = Counts(key)
    return {port: _Disturbed(port, answer, faults, counts) for port, answer in answers.items()}


class Counts:
    """What was asked for and what went wrong, for all ports together."""

    def __init__(self, key: str):
        # The part of its base64 that stays the same whatever follows the key.
        coded = base64.b64encode(key.encode())[: len(key) * 4 // 3]
        self._secrets = {"key": key.encode(), "key in base64": coded}
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._faulted: Counter[tuple[str, str]] = Counter()
        self._faults: Counter[str] = Counter()
        self._leaks: set[str] = set()

    def request(self, port: str, request: Request) -> int:
        """Note a request; returns how many there have been for its path."""
        with self._lock:
            self._requests[port, request.path] += 1
            if port == "storage":
                self._leaks.update(self._leaked(request))
            return self._requests[port, request.path]

    def _leaked(self, request: Request) -> list[str]:
        told = "\n".join([request.target, *request.headers, *request.headers.values()]).encode() + request.body
        found = [name for name, secret in self._secrets.items() if secret in told]
        found += ["Authorization"] if "authorization" in request.headers else []
        return found + (["api_key"] if b"api_key" in told else [])

    def fault(self, port: str, path: str, kind: str) -> None:
        """Note a fault."""
        with self._lock:
            self._faulted[port, path] += 1
            self._faults[kind] += 1

    def faulted(self, port: str, path: str) -> int:
        """How many faults a path has met."""
        return self._faulted[port, path]

    def as_dict(self) -> dict:
        """All of it."""
        with self._lock:
            return {
                "requests": _by_port(self._requests),
                "faulted": _by_port(self._faulted),
                "faults": dict(self._faults),
                "leaks": sorted(self._leaks),
            }


def _by_port(counter: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {"api": {}, "storage": {}}
    for (port, path), count in counter.items():
        table[port][path] = count
    return table


@dataclass(frozen=True)
class _Disturbed:
    """Answers the requests of one port, not always well."""

    port: str
    answer: Answer
    faults: Faults
    counts: Counts

    def __call__(self, request: Request) -> Response:
        if request.path == COUNTS_PATH:
            return as_json(self.counts.as_dict())
        nth = self.counts.request(self.port, request)
        try:
            response = self.answer(self._asking_for_small_pages(request))
        except Refusal as refusal:
            response = refusal.response
        kind = self._kind(request.path, nth)
        if kind is None:
            return response
        disturbed = KINDS[kind](response)
        if disturbed is None:  # this fault does not apply to such a response
            return response
        self.counts.fault(self.port, request.path, kind)
        return disturbed

    def _kind(self, path: str, nth: int) -> str | None:
        for rule in self.faults.rules:
            if rule.applies(path, nth):
                return rule.kind
        spared = self.counts.faulted(self.port, path) >= self.faults.at_most
        return None if spared else self.faults.drawn(path, nth)

    def _asking_for_small_pages(self, request: Request) -> Request:
        if self.faults.page_size is None:
            return request
        return replace(request, query={**request.query, "_page_size": str(self.faults.page_size)})
