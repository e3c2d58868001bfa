"""The scenes of a collection in a STAC API, as pystac-client finds them."""

from __future__ import annotations

import warnings
from datetime import date

import numpy as np
import pystac
import requests
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from segmentation.core.errors import PipelineError
from segmentation.imagery.stac.scenes import read_scenes
from segmentation.imagery.web.redaction import without_query
from segmentation.imagery.web.sessions import Session
from segmentation.imagery.web.traffic import RateLimit

USER_AGENT = "mapping-mining-areas"
TIMEOUT_S = (10, 125)  # connect, read
TRANSIENT = (429, 500, 502, 503, 504)
# What the libraries raise at an answer that is none, or has another shape than STAC's.
_NO_STAC = (
    APIError,
    pystac.errors.STACError,
    pystac.errors.STACTypeError,
    ClientTypeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)
_PAGE = 100
# Scenes that are looked at to find out how a collection describes its own.
_FIRST = 10
_NAMED = 12


def retries(tries: int) -> Retry:
    """Growing waits between the tries of a request, longer where the server says so; for POST too: it searches."""
    return Retry(
        total=tries - 1,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        status_forcelist=TRANSIENT,
        allowed_methods=None,
        raise_on_status=False,
    )


class Catalogue:
    """One collection of a STAC API, safe to use from several threads.

    Args:
        url: of the API's landing page.
        collection: id of the collection.
        max_rps: requests a second, all threads together.
        tries: how often a request is tried before it has failed for good.
    """

    def __init__(self, url: str, collection: str, *, max_rps: float = 5.0, tries: int = 8):
        self.url, self.collection = url.rstrip("/"), collection
        self._limit = RateLimit(max_rps)
        self._io = StacApiIO(request_modifier=self._wait, timeout=TIMEOUT_S)
        # Its own session would take logins from ~/.netrc.
        self._io.session = Session()
        self._io.session.headers["User-Agent"] = USER_AGENT
        for scheme in ("https://", "http://"):
            self._io.session.mount(scheme, HTTPAdapter(max_retries=retries(tries)))
        self._client: Client | None = None

    def connect(self) -> pystac.Item | None:
        """Find the collection; one of its scenes, None where it has none.

        Raises:
            PipelineError: there is no STAC API with item search, or it has no such collection.
        """
        # The warnings say that the API names no conformance classes; the search says whether that matters.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                client = Client.open(self.url, stac_io=self._io, request_modifier=self._wait, timeout=TIMEOUT_S)
                self._require_collection(client)
                self._client = client
                search = client.search(collections=[self.collection], max_items=_FIRST, limit=_FIRST)
                return self._first_usable(list(search.items_as_dicts()))
            except NotImplementedError:
                raise PipelineError(f"{self.url} is a STAC catalogue without item search; name a STAC API") from None
            except _NO_STAC as error:
                raise PipelineError(f"no STAC API answers at {self.url}: {_reason(error)}") from None

    def scenes(self, bounds_4326: np.ndarray, first: date, last: date) -> list[pystac.Item]:
        """All scenes that meet a box in a season and say what composites need of them, by id.

        Args:
            bounds_4326: (4,) west, south, east, north in degrees.
            first: day.
            last: day, included.

        Raises:
            PipelineError: the search failed for good, or ``connect`` has found no such collection.
        """
        if self._client is None:
            raise PipelineError(f"{self.collection} at {self.url} was not connected to")
        period = f"{first}T00:00:00Z/{last}T23:59:59Z"
        search = self._client.search(
            collections=[self.collection], bbox=[float(edge) for edge in bounds_4326], datetime=period, limit=_PAGE
        )
        try:
            return read_scenes(list(search.items_as_dicts()))
        except _NO_STAC as error:
            raise PipelineError(f"search in {self.collection}: {_reason(error)}") from None

    def _first_usable(self, described: list[dict]) -> pystac.Item | None:
        usable = {scene.id: scene for scene in read_scenes(described)}
        if described and not usable:
            raise PipelineError(f"none of {len(described)} scenes of {self.collection} at {self.url} can be used")
        return next((usable[each["id"]] for each in described if each["id"] in usable), None)

    def _require_collection(self, client: Client) -> None:
        """Make sure that the API has the collection.

        Raises:
            PipelineError: it has not; the message names those that it has.
        """
        try:
            found = client.get_collection(self.collection)
        except APIError as error:
            if error.status_code not in {400, 404}:
                raise
            found = None
        if found is not None:
            return
        has = sorted(collection.id for collection in client.get_collections())
        more = ", ..." if len(has) > _NAMED else ""
        named = f"{', '.join(has[:_NAMED])}{more}" if has else "none"
        raise PipelineError(f"no collection {self.collection!r} at {self.url}; it has {named}")

    def _wait(self, _: requests.Request) -> None:
        self._limit.wait()


def _reason(error: Exception) -> str:
    """A library's complaint in one line, without whatever stood behind a question mark."""
    return without_query(" ".join(str(error).split()))[:200] or type(error).__name__
