"""Planet's Basemaps API: find a mosaic, ask for its quads, download them whole.

The API key goes as HTTP Basic user to Planet's own hosts (or the host of ``--api-url``) alone; it is dropped when
a download is redirected to storage, and texts that could reach a log or an exception pass through ``redact``.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests
import tenacity
from dotenv import dotenv_values
from requests.adapters import HTTPAdapter

from segmentation.errors import PipelineError
from segmentation.grid import QUAD_PX, Grid, quad_name
from segmentation.workspace import REPOSITORY, whole_file

API_URL = "https://api.planet.com/basemaps/v1"
KEY_NAMES = ("PL_API_KEY", "PLANET_API_KEY", "API_KEY")

_TIMEOUT_S = (10, 125)  # connect, read
_ATTEMPTS = 8
_LONGEST_WAIT_S = 120.0
_TRANSIENT = {429, 500, 502, 503, 504}
_BLOCK_BYTES = 1 << 20

log = logging.getLogger(__name__)


class QuadNotCovered(Exception):
    """The mosaic has no imagery for this quad that the key may download."""


class Transient(Exception):
    """A failure that is worth another try: rate limit, server fault, broken or corrupt transfer."""

    def __init__(self, message: str, wait_s: float = 0.0):
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Mosaic:
    """A basemap mosaic as the API describes it."""

    id: str
    name: str


def find_api_key() -> str:
    """The API key from the environment or from ``.env`` in the working directory or the repository.

    Raises:
        PipelineError: there is none.
    """
    places = [os.environ, dotenv_values(Path.cwd() / ".env"), dotenv_values(REPOSITORY / ".env")]
    for place in places:
        for name in KEY_NAMES:
            if key := (place.get(name) or "").strip():
                return key
    raise PipelineError(
        "no Planet API key: set PL_API_KEY in the environment or in a file .env (or try the built-in --demo)"
    )


def redact(text: str, key: str = "") -> str:
    """The text without API keys: the values of ``api_key=`` and the given key itself."""
    text = re.sub(r"(api_key=)[^&\s\"'>]+", r"\1***", text, flags=re.IGNORECASE)
    return text.replace(key, "***") if key else text


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


class PlanetClient:
    """A client for one key and one API address, safe to use from several threads.

    Args:
        key: the API key.
        api_url: address of the Basemaps API.
        max_rps: requests a second, all threads together.
        connections: size of the connection pool, the number of threads that download.
    """

    def __init__(self, key: str, api_url: str = API_URL, max_rps: float = 5.0, connections: int = 8):
        self._key = key
        self._api_url = api_url.rstrip("/")
        self._limit = RateLimit(max_rps)
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=connections))

    def mosaic(self, name: str) -> Mosaic:
        """Find a mosaic by its exact name.

        Raises:
            PipelineError: the key is refused or does not see this mosaic.
        """
        found = next(self._listing("/mosaics", "mosaics", {"name__is": name}), None)
        if found is None:
            seen = sorted(item["name"] for item in self._listing("/mosaics", "mosaics", {"_page_size": 250}))
            sees = f"it sees {len(seen)}: {', '.join(seen[:12])}{', ...' if len(seen) > 12 else ''}"
            raise PipelineError(
                f"mosaic {name} is not visible to this API key; {sees if seen else 'it sees none at all'}"
            )
        quad_px = found.get("grid", {}).get("quad_size", QUAD_PX)
        level = found.get("level", Grid().level)
        if (quad_px, level, found.get("datatype", "uint16")) != (QUAD_PX, Grid().level, "uint16"):
            raise PipelineError(
                f"mosaic {name} has quads of {quad_px} px at level {level} in {found.get('datatype')}; "
                f"needed are {QUAD_PX} px, level {Grid().level}, uint16 (an analytic mosaic)"
            )
        return Mosaic(found["id"], found["name"])

    def quad_link(self, mosaic: Mosaic, x: int, y: int) -> str:
        """Address from which a quad can be downloaded. It may hold the key: never store or log it.

        Raises:
            QuadNotCovered: the mosaic has no such quad, or this key may not download it.
            PipelineError: the request failed for good.
        """
        response = self._request(f"{self._api_url}/mosaics/{mosaic.id}/quads/{quad_name(x, y)}", accept=(403, 404))
        if response.status_code in {403, 404}:
            raise QuadNotCovered(f"the API answers {response.status_code}")
        link = self._json(response).get("_links", {}).get("download")
        if not link:
            raise QuadNotCovered("no download link")
        return link

    def download(self, link: str, target: Path, check: Callable[[Path], None]) -> None:
        """Download a file beside its target, check it, then rename it.

        Args:
            link: as given by the API.
            target: where the file ends up, only ever whole and checked.
            check: raises ``ValueError`` where the file is not what it should be; it is then fetched again.

        Raises:
            QuadNotCovered: the download answers 403 or 404.
            PipelineError: it failed for good.
        """

        def attempt() -> None:
            with self._send(link, accept=(403, 404), stream=True) as response, whole_file(target) as partial:
                if response.status_code in {403, 404}:
                    raise QuadNotCovered(f"the download answers {response.status_code}")
                _save(response, partial)
                try:
                    check(partial)
                except ValueError as error:
                    raise Transient(f"not a usable quad: {error}") from None

        self._retrying(f"download of {target.stem}", attempt)

    def _listing(self, path: str, key: str, params: dict) -> Iterator[dict]:
        """Items of a listing, page after page, until there is no ``_next``."""
        page = self._json(self._request(self._api_url + path, params))
        yield from page.get(key, [])
        while following := page.get("_links", {}).get("_next"):
            page = self._json(self._request(following))
            yield from page.get(key, [])

    def _request(self, url: str, params: dict | None = None, accept: tuple[int, ...] = ()) -> requests.Response:
        path = urlsplit(url).path
        return self._retrying(f"GET {path}", lambda: self._send(url, params, accept))

    def _json(self, response: requests.Response) -> dict:
        try:
            content = response.json()
        except requests.exceptions.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            raise PipelineError(
                f"{urlsplit(response.url).netloc} does not answer as Planet's Basemaps API does; "
                "check --api-url (or PL_API_URL)"
            )
        return content

    def _send(
        self, url: str, params: dict | None = None, accept: tuple[int, ...] = (), stream: bool = False
    ) -> requests.Response:
        """One request.

        Raises:
            Transient: worth another try.
            PipelineError: not worth one.
        """
        self._limit.wait()
        try:
            response = self._session.get(url, params=params, auth=self._auth(url), timeout=_TIMEOUT_S, stream=stream)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Transient(f"no answer from {urlsplit(url).netloc} ({type(error).__name__})") from None
        except requests.RequestException as error:
            raise PipelineError(redact(f"cannot ask {urlsplit(url).netloc}: {error}", self._key)) from None
        if response.ok or response.status_code in accept:
            return response
        with response:
            raise self._failure(response)

    def _auth(self, url: str) -> tuple[str, str] | None:
        host = urlsplit(url).netloc
        own = host == urlsplit(self._api_url).netloc or host.endswith(".planet.com")
        return (self._key, "") if own else None

    def _failure(self, response: requests.Response) -> Exception:
        status, host = response.status_code, urlsplit(response.url).netloc
        said = redact(response.text[:200].strip(), self._key).replace("\n", " ")
        if status == 401:
            return PipelineError(f"{host} refuses the API key (401): check {', '.join(KEY_NAMES)} or .env")
        if status in _TRANSIENT and "quota" not in said.lower():
            return Transient(f"{host} answers {status}: {said}", _retry_after_s(response))
        return PipelineError(f"{host} answers {status}: {said}")

    def _retrying(self, what: str, attempt: Callable) -> requests.Response:
        def note(state: tenacity.RetryCallState) -> None:
            log.info("%s: %s; trying again in %.1f s", what, state.outcome.exception(), state.next_action.sleep)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Transient),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=_backoff,
            before_sleep=note,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except Transient as error:
            raise PipelineError(f"{what}: gave up after {_ATTEMPTS} tries, {error}") from None


_exponential = tenacity.wait_random_exponential(multiplier=0.5, max=30)


def _backoff(state: tenacity.RetryCallState) -> float:
    """The longer of what the server asks for and our own, growing, jittered wait."""
    asked = state.outcome.exception().wait_s
    return max(asked, 0.2 + _exponential(state))


def _retry_after_s(response: requests.Response) -> float:
    """Seconds to wait as the server's Retry-After says (RFC 9110, 10.2.3: seconds or a date), capped; else 0."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        wait_s = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        wait_s = (when - datetime.now(timezone.utc)).total_seconds()
    return min(max(wait_s, 0.0), _LONGEST_WAIT_S)


def _save(response: requests.Response, path: Path) -> None:
    """Stream a body to a file and make sure that all of it came."""
    try:
        with path.open("wb") as file:
            for block in response.iter_content(_BLOCK_BYTES):
                file.write(block)
    except requests.RequestException as error:
        raise Transient(f"the transfer broke off ({type(error).__name__})") from None
    expected, got = response.headers.get("Content-Length"), path.stat().st_size
    if expected is not None and int(expected) != got:
        raise Transient(f"the transfer ended at {got} of {expected} bytes")
