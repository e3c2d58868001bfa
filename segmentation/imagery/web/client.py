"""HTTP as a rate-limited, flaky API wants it: a shared limit, bounded retries, files that arrive whole.

A key goes as HTTP Basic user to the server's own hosts alone. ``requests`` drops it when a redirect leads to another
host or port, and no message here quotes an address with its query.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from segmentation.core.errors import PipelineError
from segmentation.core.files import whole_file
from segmentation.imagery.web.bodies import read_object, read_part, read_text, require_usable, save_body
from segmentation.imagery.web.redaction import redact
from segmentation.imagery.web.retries import Transient, retry_after_s, retrying
from segmentation.imagery.web.sessions import Session, host_of
from segmentation.imagery.web.traffic import RateLimit, Traffic

_TIMEOUT_S = (10, 125)  # connect, read
_TRANSIENT = {429, 500, 502, 503, 504}
_USER_AGENT = "mapping-mining-areas/0.1"
# What a signed storage address answers once its time is over.
_EXPIRED = (400, 401, 403, 404, 410)


class Refused(PipelineError):
    """The API answers no request of this key any more: a wrong key, or a quota that is used up."""


class NotGiven(Exception):
    """The API itself answers 403 or 404 to a download.

    Attributes:
        status: which of the two.
    """

    def __init__(self, status: int):
        super().__init__(status)
        self.status = status


class NoRanges(Exception):
    """The server does not send parts of files."""


@dataclass(frozen=True)
class Server:
    """The server that a client asks, and what the user can do where it is the wrong one.

    Attributes:
        host: host and port; requests to it are limited, and get the key.
        domain: a domain whose hosts all count as the server's own; None for ``host`` alone.
        key: the API key; None for a server that asks for none.
        check_address: what to check where its address is none.
        check_answers: what it should answer as, and what to check where it does not.
        check_key: what to check where it refuses the key.
    """

    host: str
    domain: str | None = None
    key: str | None = field(default=None, repr=False)
    check_address: str = "check its address"
    check_answers: str = "does not answer with JSON objects; check its address"
    check_key: str = "check it"

    def is_own(self, host: str) -> bool:
        """Whether a host (and port) is the server's."""
        return host == self.host or (self.domain is not None and host.endswith(f".{self.domain}"))


@dataclass(frozen=True)
class Part:
    """Some bytes of a remote file.

    Attributes:
        content: the bytes.
        file_bytes: size of the whole file.
        address: where the file's link leads to now.
    """

    content: bytes
    file_bytes: int
    address: str


class Web:
    """A client of one server and of the storages that it leads to, safe to use from several threads.

    Args:
        server: whose requests are limited.
        max_rps: requests a second, all threads together.
        tries: how often a request is tried before it has failed for good.
        connections: size of the connection pool, the number of threads.
    """

    def __init__(self, server: Server, *, max_rps: float, tries: int, connections: int):
        self._server = server
        self._tries = tries
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
            with self._send(url, accept, params=params, body=body) as response:
                if response.status_code in accept:
                    return response.status_code, {}
                content = read_object(response)
                if content is None:
                    # Proxies answer with a page of their own while they are in trouble; a wrong address always does.
                    raise Transient(f"{host_of(response.url)} {self._server.check_answers}")
                return response.status_code, content

        return retrying(urlsplit(url).path, attempt, self._tries)

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
                        self.traffic.add(received_bytes=save_body(response, partial))
                        require_usable(partial, check)
                return status

        return retrying(f"download of {target.stem}", attempt, self._tries)

    def part(self, link: str, start: int, length: int, address: str | None = None) -> Part:
        """Some bytes of a file.

        Args:
            link: where the file is, as the API gives it.
            start: first byte.
            length: number of bytes; fewer come at the file's end.
            address: where the link led to before; it is asked of the link again once this one has expired.

        Raises:
            NoRanges: the server sends whole files only.
            NotGiven: the API does not give this file.
            Refused: the key is of no use.
            PipelineError: it failed for good.
        """
        # Whatever goes wrong with the remembered address, the next tries begin with the link.
        addresses = [] if address is None else [address]

        def attempt() -> Part:
            asked = addresses.pop() if addresses else link
            span = f"bytes={start}-{start + length - 1}"
            with self._send(asked, _EXPIRED, stream=True, headers={"Range": span}) as response:
                if response.status_code in _EXPIRED:
                    # An address that was signed for a key may have expired; one that is open to all does not.
                    signed = self._server.key is not None and (bool(response.history) or asked != link)
                    raise self._not_given(response, by_storage=signed)
                if response.status_code != 206:
                    raise NoRanges(f"{host_of(response.url)} sends whole files only")
                content, file_bytes = read_part(response, start)
                self.traffic.add(received_bytes=len(content))
                return Part(content, file_bytes, response.url)

        return retrying(f"part of {urlsplit(link).path}", attempt, self._tries)

    def _send(
        self,
        url: str,
        accept: Collection[int],
        *,
        params: dict | None = None,
        body: dict | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Send one request; the answer is a good one, or one to accept."""
        host = host_of(url)
        if self._server.is_own(host):
            self._limit.wait()
        self.traffic.add(requests=1)
        try:
            response = self._session.request(
                "GET" if body is None else "POST",
                url,
                params=params,
                json=body,
                headers=headers,
                stream=stream,
                auth=self._login(host),
                timeout=_TIMEOUT_S,
            )
        except (requests.exceptions.MissingSchema, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            address = redact(url, self._server.key or "")
            raise PipelineError(f"{address!r} is no web address; {self._server.check_address}") from None
        except requests.RequestException as error:
            raise Transient(f"no answer from {host} ({type(error).__name__})") from None
        if response.ok or response.status_code in accept:
            return response
        with response:
            raise self._failure(response)

    def _login(self, host: str) -> tuple[str, str] | None:
        key = self._server.key
        return (key, "") if key is not None and self._server.is_own(host) else None

    def _not_given(self, response: requests.Response, *, by_storage: bool) -> Exception:
        if by_storage:
            return Transient(f"the storage answers {response.status_code}")
        if response.status_code in {403, 404}:
            return NotGiven(response.status_code)
        return self._failure(response)

    def _failure(self, response: requests.Response) -> Exception:
        """What an answer that is no good one means."""
        status, host = response.status_code, host_of(response.url)
        said = redact(read_text(response)[:200].strip(), self._server.key or "").replace("\n", " ")
        if status == 401 and self._server.key is not None:
            return Refused(f"{host} refuses the API key (401): {self._server.check_key}")
        if status == 429 and "quota" in said.lower():
            return Refused(f"{host} answers 429: {said}")
        if status in _TRANSIENT:
            return Transient(f"{host} answers {status}: {said}", retry_after_s(response))
        return PipelineError(f"{host} answers {status}: {said}")
