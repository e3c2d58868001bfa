"""HTTP as a rate-limited, flaky API wants it: a shared limit, bounded retries, files that arrive whole.

The key goes as HTTP Basic user to the API's own hosts alone. ``requests`` drops it when a redirect leads to another
host or port, and no message here quotes an address with its query.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
from requests.adapters import HTTPAdapter

from segmentation.core.errors import PipelineError
from segmentation.core.files import whole_file
from segmentation.imagery.planet.key import KEY_NAMES, redact
from segmentation.imagery.web.sessions import Session, host_of

_TIMEOUT_S = (10, 125)  # connect, read
_LONGEST_WAIT_S = 120.0
_TRANSIENT = {429, 500, 502, 503, 504}
_BLOCK_BYTES = 1 << 20
_USER_AGENT = "mapping-mining-areas/0.1"
# What a signed storage address answers once its time is over.
_EXPIRED = (400, 401, 403, 404, 410)

Result = TypeVar("Result")
log = logging.getLogger(__name__)


class Refused(PipelineError):
    """The API answers no request of this key any more: a wrong key, or a quota that is used up."""


class NotGiven(Exception):
    """The API itself answers 403 or 404 to a download."""


class NoRanges(Exception):
    """The server does not send parts of files."""


class Transient(Exception):
    """A failure that is worth another try: rate limit, server fault, broken or corrupt transfer.

    Attributes:
        wait_s: seconds that the server asks to wait.
    """

    def __init__(self, message: str, wait_s: float = 0.0):
        super().__init__(message)
        self.wait_s = wait_s


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


class Web:
    """Requests with one key or none, safe to use from several threads.

    Args:
        key: the API key; None for a server that asks for none.
        own_host: host and port whose requests are limited, and get the key; Planet's are as well.
        max_rps: requests a second, all threads together.
        tries: how often a request is tried before it has failed for good.
        connections: size of the connection pool, the number of threads.
        address_option: of the command line, that names the server.
    """

    def __init__(
        self,
        key: str | None,
        own_host: str,
        max_rps: float,
        tries: int,
        connections: int,
        address_option: str = "--api-url",
    ):
        self._key = key
        self._address_option = address_option
        self._tries = tries
        self._own_host = own_host
        self._limit = RateLimit(max_rps)
        self.traffic = Traffic()
        self._session = Session()
        self._session.headers["Accept-Encoding"] = "identity"
        # Some servers turn away clients that do not say who they are.
        self._session.headers["User-Agent"] = _USER_AGENT
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=connections))

    def json(
        self, url: str, params: dict | None = None, body: dict | None = None, accept: tuple[int, ...] = ()
    ) -> tuple[int, dict]:
        """Ask for a JSON object; with a ``body`` the request is a POST.

        Returns:
            The status (200, or one of those to ``accept``) and the object, empty for the latter.

        Raises:
            Refused: the key is of no use.
            PipelineError: the request failed for good.
        """

        def attempt() -> tuple[int, dict]:
            with self._send(url, accept, params=params, json=body) as response:
                return response.status_code, {} if response.status_code in accept else _object(response)

        return self._retrying(urlsplit(url).path, attempt)

    def download(self, url: str, target: Path, check: Callable[[Path], None], accept: tuple[int, ...] = ()) -> int:
        """Download a file beside its target, check it, then rename it.

        Args:
            url: where it is; it may hold the key.
            target: where the file ends up, only ever whole and checked.
            check: raises ``ValueError`` where the file is not what it should be; it is then fetched again.
            accept: statuses to return instead of failing; there is no file then.

        Returns:
            The status.

        Raises:
            Refused: the key is of no use.
            PipelineError: it failed for good.
        """

        def attempt() -> int:
            with self._send(url, accept, stream=True) as response:
                status = response.status_code
                if status in accept and response.history:
                    # The storage's word is not the API's: its address may have expired, another try brings a new one.
                    raise Transient(f"the storage answers {status}")
                if status not in accept:
                    with whole_file(target) as partial:
                        self.traffic.add(received_bytes=_save(response, partial))
                        _require(check, partial)
                return status

        return self._retrying(f"download of {target.stem}", attempt)

    def part(self, link: str, start: int, length: int, address: str | None = None) -> tuple[bytes, int, str]:
        """Some bytes of a file.

        Args:
            link: where the file is, as the API gives it.
            start: first byte.
            length: number of bytes; fewer come at the file's end.
            address: where the link led to before; it is asked of the link again once this one has expired.

        Returns:
            The bytes, the size of the whole file, and where the link leads to now.

        Raises:
            NoRanges: the server sends whole files only.
            NotGiven: the API does not give this file.
            Refused: the key is of no use.
            PipelineError: it failed for good.
        """
        at = [address or link]

        def attempt() -> tuple[bytes, int, str]:
            asked, at[0] = at[0], link  # whatever goes wrong, the next try begins with the link
            span = f"bytes={start}-{start + length - 1}"
            with self._send(asked, _EXPIRED, stream=True, headers={"Range": span}) as response:
                if response.status_code in _EXPIRED:
                    # An address that was signed for a key may have expired; one that is open to all does not.
                    signed = self._key is not None and (bool(response.history) or asked != link)
                    raise self._not_given(response, by_storage=signed)
                if response.status_code != 206:
                    raise NoRanges(f"{host_of(response.url)} sends whole files only")
                content, size = _part(response, start)
                self.traffic.add(received_bytes=len(content))
                return content, size, response.url

        return self._retrying(f"part of {urlsplit(link).path}", attempt)

    def _send(self, url: str, accept: tuple[int, ...], **options: object) -> requests.Response:
        host = host_of(url)
        if self._is_own(host):
            self._limit.wait()
        self.traffic.add(requests=1)
        method = "GET" if options.get("json") is None else "POST"
        try:
            response = self._session.request(method, url, auth=self._auth(host), timeout=_TIMEOUT_S, **options)
        except (requests.exceptions.MissingSchema, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            raise PipelineError(
                f"{redact(url, self._key or '')!r} is no web address; check {self._address_option}"
            ) from None
        except requests.RequestException as error:
            raise Transient(f"no answer from {host} ({type(error).__name__})") from None
        if response.ok or response.status_code in accept:
            return response
        with response:
            raise self._failure(response)

    def _not_given(self, response: requests.Response, by_storage: bool) -> Exception:
        if by_storage:
            return Transient(f"the storage answers {response.status_code}")
        if response.status_code in {403, 404}:
            return NotGiven(response.status_code)
        return self._failure(response)

    def _is_own(self, host: str) -> bool:
        return host == self._own_host or host.endswith(".planet.com")

    def _auth(self, host: str) -> tuple[str, str] | None:
        return (self._key, "") if self._key is not None and self._is_own(host) else None

    def _failure(self, response: requests.Response) -> Exception:
        status, host = response.status_code, host_of(response.url)
        said = redact(_text(response)[:200].strip(), self._key or "").replace("\n", " ")
        if status == 401 and self._key is not None:
            return Refused(f"{host} refuses the API key (401): check {', '.join(KEY_NAMES)} or .env")
        if status == 429 and "quota" in said.lower():
            return Refused(f"{host} answers 429: {said}")
        if status in _TRANSIENT:
            return Transient(f"{host} answers {status}: {said}", _retry_after_s(response))
        return PipelineError(f"{host} answers {status}: {said}")

    def _retrying(self, what: str, attempt: Callable[[], Result]) -> Result:
        def note(state: tenacity.RetryCallState) -> None:
            log.info("%s: %s; trying again in %.1f s", what, state.outcome.exception(), state.next_action.sleep)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Transient),
            stop=tenacity.stop_after_attempt(self._tries),
            wait=_backoff,
            before_sleep=note,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except Transient as error:
            raise PipelineError(f"{what}: gave up after {self._tries} tries, {error}") from None


_exponential = tenacity.wait_random_exponential(multiplier=0.5, max=30)


def _backoff(state: tenacity.RetryCallState) -> float:
    """The longer of what the server asks for and our own, growing, jittered wait."""
    asked = state.outcome.exception().wait_s
    return max(asked, 0.2 + _exponential(state))


def _retry_after_s(response: requests.Response) -> float:
    """Seconds to wait as the server's Retry-After says (RFC 9110, 10.2.3: seconds or a date), capped; else 0."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return min(float(value), _LONGEST_WAIT_S)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    wait_s = when.timestamp() - time.time()
    return min(max(wait_s, 0.0), _LONGEST_WAIT_S)


def _text(response: requests.Response) -> str:
    try:
        return response.text
    except requests.RequestException:
        return ""


def _object(response: requests.Response) -> dict:
    try:
        content = response.json()
    except requests.RequestException:
        content = None
    if not isinstance(content, dict):
        # Proxies answer with a page of their own while they are in trouble; a wrong address always does.
        host = host_of(response.url)
        raise Transient(f"{host} does not answer as Planet's Basemaps API does; check --api-url (or PL_API_URL)")
    return content


def _save(response: requests.Response, path: Path) -> int:
    """Stream a body to a file and make sure that all of it came; its number of bytes."""
    try:
        with path.open("wb") as file:
            for block in response.iter_content(_BLOCK_BYTES):
                file.write(block)
    except requests.RequestException as error:
        raise Transient(f"the transfer broke off ({type(error).__name__})") from None
    expected, got = response.headers.get("Content-Length"), path.stat().st_size
    if expected is not None and int(expected) != got:
        raise Transient(f"the transfer ended at {got} of {expected} bytes")
    return got


def _part(response: requests.Response, start: int) -> tuple[bytes, int]:
    """The bytes of a partial answer and the size of the whole, both held against its Content-Range (RFC 9110, 14.4)."""
    try:
        content = response.content
    except requests.RequestException as error:
        raise Transient(f"the transfer broke off ({type(error).__name__})") from None
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != start or int(match[2]) - start + 1 != len(content):
        raise Transient("the answer is not the part that was asked for")
    return content, int(match[3])


def _require(check: Callable[[Path], None], path: Path) -> None:
    try:
        check(path)
    except ValueError as error:
        raise Transient(f"not a usable file: {error}") from None
