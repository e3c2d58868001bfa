"""Anonymous access tokens (SAS) for imagery in Azure's storage, as the Planetary Computer gives them.

``GET /api/sas/v1/token/COLLECTION`` answers ``{"msft:expiry": TIME, "token": QUERY}``; the token is put behind the
address of an asset. It stays in memory: addresses with a query never go to a file or a log.

Microsoft's package ``planetary-computer`` asks for such tokens, too. It is not used here, because it takes a
subscription key from the environment or from a file in the user's home, gives tokens of the storage's containers alone
(none by another address for a collection) and cannot be told that the storage has refused one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from threading import Lock
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from segmentation.core.errors import PipelineError
from segmentation.imagery.web.redaction import without_query
from segmentation.imagery.web.sessions import Session, host_of

PLANETARY_COMPUTER = "planetarycomputer.microsoft.com"
_STORAGE = ".blob.core.windows.net"
_TIMEOUT_S = (10, 60)
# A token that ends sooner is not used for another read.
_LEAST_LEFT = timedelta(minutes=2)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def token_url(api_url: str, collection: str) -> str | None:
    """Where the tokens of a collection come from; None for an API that needs none."""
    parts = urlsplit(api_url)
    if parts.hostname != PLANETARY_COMPUTER:
        return None
    return f"{parts.scheme}://{parts.netloc}/api/sas/v1/token/{collection}"


class Tokens:
    """The current token of a collection, renewed before it ends; safe to use from several threads.

    Args:
        url: where tokens come from, None for addresses that need none.
        retries: how a failing request is repeated.
    """

    def __init__(self, url: str | None, retries: Retry):
        self._url = url
        self._host = host_of(url) if url else ""
        self._token, self._ends = "", _LONG_AGO
        self._lock = Lock()
        self._session = Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retries))

    def sign(self, href: str) -> str:
        """The address with a token, if it is one that takes tokens: in Azure's storage, or where the tokens come from.

        Raises:
            PipelineError: no token is given.
        """
        parts = urlsplit(href)
        takes = host_of(href) == self._host or (parts.hostname or "").endswith(_STORAGE)
        if not self._url or not takes or "sig" in parse_qs(parts.query):
            return href
        with self._lock:
            if self._ends - datetime.now(UTC) < _LEAST_LEFT:
                self._renew(self._url)
            return f"{href}{'&' if parts.query else '?'}{self._token}"

    def forget_refused(self, addresses: Iterable[str]) -> None:
        """Forget the token of signed addresses, if it is still the current one: the storage did not take it."""
        with self._lock:
            if self._token and any(address.endswith(self._token) for address in addresses):
                self._ends = _LONG_AGO

    def _renew(self, url: str) -> None:
        try:
            response = self._session.get(url, timeout=_TIMEOUT_S)
            response.raise_for_status()
            answer = response.json()
            self._token = answer["token"].lstrip("?")
            self._ends = datetime.fromisoformat(answer["msft:expiry"].replace("Z", "+00:00"))
        except (requests.RequestException, KeyError, ValueError, TypeError, AttributeError) as error:
            reason = type(error).__name__
            if isinstance(error, requests.RequestException) and error.response is not None:
                reason = f"answers {error.response.status_code}"
            raise PipelineError(f"no access token from {without_query(url)}: {reason}") from None
