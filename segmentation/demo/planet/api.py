"""The stand-in's basemaps API: which request gets which answer."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar
from urllib.parse import urlencode

from segmentation.demo.planet import scenes
from segmentation.demo.planet.catalogue import (
    Series,
    StandinMosaic,
    all_mosaics,
    all_series,
    is_covered,
    is_downloadable,
    unlisted_mosaic,
)
from segmentation.demo.planet.descriptions import DATA_PREFIX, PREFIX, Links, mosaic_json, quad_json, series_json
from segmentation.demo.planet.exchange import Refusal, Request, Response, api_error, as_json
from segmentation.demo.planet.search import asked_scenes, quads_meeting, quads_within
from segmentation.demo.planet.storage import Storage

_PAGE_SIZE = 50
_LARGEST_SCENE_PAGE = 250
_Found = TypeVar("_Found")


class Searches(Generic[_Found]):
    """What searches of one kind have found, kept for the pages that follow them; safe to use from several threads.

    Args:
        kind: what their tokens begin with, so that none is taken for one of another kind.
    """

    def __init__(self, kind: str):
        self._kind = kind
        self._found: dict[str, list[_Found]] = {}
        self._numbers = count()

    def keep(self, found: list[_Found]) -> str:
        """Keep what a search has found; returns its token."""
        token = f"{self._kind}{next(self._numbers):08x}"
        self._found[token] = found
        return token

    def found(self, token: str) -> list[_Found]:
        """What a search kept earlier has found."""
        if token not in self._found:
            raise Refusal(404, {"message": f"Search Not Found: {token}"})
        return self._found[token]


@dataclass
class Api:
    """Answers the requests of one key's holder.

    Attributes:
        links: the key that it accepts and the address that it has.
        storage: where the quads are.
        quad_searches: by geometry.
        scene_searches: for metadata, by id.
    """

    links: Links
    storage: Storage
    quad_searches: Searches[tuple[int, int]] = field(default_factory=lambda: Searches("quads"))
    scene_searches: Searches[str] = field(default_factory=lambda: Searches("scenes"))

    def answer(self, request: Request) -> Response:
        """Check the key, find the handler, answer."""
        if not self._is_authorised(request):
            raise Refusal(401, {"message": "Please enter your API key, or email and password."})
        for method, pattern, handler in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                return handler(self, request, **match.groupdict())
        raise Refusal(404, {"message": f"Not Found: {request.path}"})

    def _is_authorised(self, request: Request) -> bool:
        if request.query.get("api_key") == self.links.key:
            return True
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                secret = base64.b64decode(secret).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                return False
        return scheme.lower() in ("basic", "api-key") and secret == self.links.key

    def page(self, request: Request, name: str, entries: list) -> tuple[list, dict]:
        """The page of a listing that a request asks for, and the page's links; no ``_next`` on the last one."""
        try:
            number = max(1, int(request.query.get("_page", 1)))
            size = max(1, int(request.query.get("_page_size", _PAGE_SIZE)))
        except ValueError:
            raise Refusal(400, api_error("", _page="must be a number")) from None
        query = {key: value for key, value in request.query.items() if key != "api_key"}
        links = {"_self": self.links.url(name, **query)}
        if number * size < len(entries):
            links["_next"] = self.links.url(name, **{**query, "_page": number + 1, "_page_size": size})
        return entries[(number - 1) * size : number * size], links


def _find_mosaic(mosaic_id: str) -> StandinMosaic:
    unlisted = unlisted_mosaic()
    mosaic = unlisted if mosaic_id == unlisted.id else all_mosaics().get(mosaic_id)
    if mosaic is None:
        raise Refusal(404, {"message": f"Mosaic Not Found: {mosaic_id}"})
    return mosaic


def _find_series(series_id: str) -> Series:
    for series in all_series():
        if series.id == series_id:
            return series
    raise Refusal(404, {"message": f"Series Not Found: {series_id}"})


def _find_quad(mosaic_id: str, x: str, y: str) -> tuple[StandinMosaic, int, int]:
    mosaic = _find_mosaic(mosaic_id)
    if not is_covered(int(x), int(y)):
        raise Refusal(404, {"message": f"Quad Not Found: {x}-{y}"})
    return mosaic, int(x), int(y)


def list_mosaics(api: Api, request: Request, series_id: str | None = None) -> Response:
    """Mosaics by name, by a part of it, or all; of a series or of all."""
    among = all_mosaics().values() if series_id is None else _find_series(series_id).mosaics
    exact, part = request.query.get("name__is"), request.query.get("name__contains", "").lower()
    chosen = [m for m in among if exact in (None, m.name) and part in m.name.lower()]
    if series_id is None and exact == unlisted_mosaic().name:
        chosen = [unlisted_mosaic()]
    shown, links = api.page(request, request.path, chosen)
    return as_json({"_links": links, "mosaics": [mosaic_json(api.links, mosaic) for mosaic in shown]})


def show_mosaic(api: Api, request: Request, mosaic_id: str) -> Response:
    """One mosaic."""
    return as_json(mosaic_json(api.links, _find_mosaic(mosaic_id)))


def show_grid(api: Api, request: Request, mosaic_id: str) -> Response:
    """A mosaic's grid alone."""
    return as_json(mosaic_json(api.links, _find_mosaic(mosaic_id))["grid"])


def list_series(api: Api, request: Request) -> Response:
    """All series."""
    shown, links = api.page(request, request.path, list(all_series()))
    return as_json({"_links": links, "series": [series_json(api.links, series) for series in shown]})


def show_series(api: Api, request: Request, series_id: str) -> Response:
    """One series."""
    return as_json(series_json(api.links, _find_series(series_id)))


def _quad_page(api: Api, request: Request, mosaic: StandinMosaic, quads: list[tuple[int, int]]) -> Response:
    shown, links = api.page(request, request.path, quads)
    content = {
        "_links": links,
        "items": [quad_json(api.links, mosaic, x, y, minimal=request.is_set("minimal")) for x, y in shown],
    }
    if request.is_set("summary"):
        content["summary"] = {"total_quads": len(quads)}
    return as_json(content)


def list_quads(api: Api, request: Request, mosaic_id: str) -> Response:
    """Quads within a box in degrees."""
    mosaic = _find_mosaic(mosaic_id)
    return _quad_page(api, request, mosaic, quads_within(request.query.get("bbox", "")))


def search_quads(api: Api, request: Request, mosaic_id: str) -> Response:
    """Keep a search by geometry and point to its result."""
    _find_mosaic(mosaic_id)
    token = api.quad_searches.keep(quads_meeting(request.body))
    query = {key: value for key, value in request.query.items() if key != "api_key"}
    location = f"{api.links.host}{request.path}/{token}" + (f"?{urlencode(query)}" if query else "")
    return Response(302, {"Location": location})


def show_quad_search(api: Api, request: Request, mosaic_id: str, token: str) -> Response:
    """The result of a search by geometry."""
    return _quad_page(api, request, _find_mosaic(mosaic_id), api.quad_searches.found(token))


def show_quad(api: Api, request: Request, mosaic_id: str, x: str, y: str) -> Response:
    """One quad."""
    return as_json(quad_json(api.links, *_find_quad(mosaic_id, x, y)))


def download_quad(api: Api, request: Request, mosaic_id: str, x: str, y: str) -> Response:
    """Redirect to the storage."""
    mosaic, col, row = _find_quad(mosaic_id, x, y)
    if not is_downloadable(col, row):
        raise Refusal(403, api_error("You do not have permission to download this quad."))
    if request.query.get("asset"):
        raise Refusal(404, {"message": f"Asset Not Found: {request.query['asset']}"})
    return Response(302, {"Location": api.storage.signed_url(mosaic.name, col, row)})


def list_items(api: Api, request: Request, mosaic_id: str, x: str, y: str) -> Response:
    """Scenes behind a quad; some of their links end in a fragment, as the API's do."""
    mosaic, col, row = _find_quad(mosaic_id, x, y)
    items = []
    for number, scene in enumerate(scenes.scenes_of(mosaic, col, row)):
        link = f"{api.links.host}{DATA_PREFIX}/item-types/{scenes.item_type(scene)}/items/{scene}"
        items.append({"link": f"{link}#{number}" if number % 2 == 0 else link})
    return as_json({"_links": {"_self": api.links.url(request.path)}, "items": items})


def search_scenes(api: Api, request: Request) -> Response:
    """Scene metadata by id and item type."""
    return _scene_page(api, request, api.scene_searches.keep(asked_scenes(request.body)))


def show_scene_search(api: Api, request: Request, token: str) -> Response:
    """A further page of scene metadata."""
    return _scene_page(api, request, token)


def _scene_page(api: Api, request: Request, token: str) -> Response:
    found = api.scene_searches.found(token)
    number = int(request.query.get("_page", 1))
    size = min(_LARGEST_SCENE_PAGE, int(request.query.get("_page_size", _LARGEST_SCENE_PAGE)))
    path = f"{DATA_PREFIX}/searches/{token}/results"
    links = {"_self": api.links.url(path, _page=number, _page_size=size)}
    if number * size < len(found):
        links["_next"] = api.links.url(path, _page=number + 1, _page_size=size)
    shown = found[(number - 1) * size : number * size]
    features = [scenes.scene_feature(scene, f"{api.links.host}{DATA_PREFIX}") for scene in shown]
    return as_json({"_links": links, "type": "FeatureCollection", "features": features})


def show_scene(api: Api, request: Request, scene: str) -> Response:
    """The metadata of one scene."""
    return as_json(scenes.scene_feature(scene, f"{api.links.host}{DATA_PREFIX}"))


_MOSAIC = rf"{PREFIX}/mosaics/(?P<mosaic_id>[^/]+)"
_QUAD = rf"{_MOSAIC}/quads/(?P<x>\d+)-(?P<y>\d+)"
_SERIES = rf"{PREFIX}/series/(?P<series_id>[^/]+)"
_ROUTES = tuple(
    (method, re.compile(pattern), handler)
    for method, pattern, handler in (
        ("GET", rf"{PREFIX}/mosaics", list_mosaics),
        ("GET", _MOSAIC, show_mosaic),
        ("GET", rf"{_MOSAIC}/grid", show_grid),
        ("GET", rf"{PREFIX}/series", list_series),
        ("GET", _SERIES, show_series),
        ("GET", rf"{_SERIES}/mosaics", list_mosaics),
        ("GET", rf"{_MOSAIC}/quads", list_quads),
        ("POST", rf"{_MOSAIC}/quads/search", search_quads),
        ("GET", rf"{_MOSAIC}/quads/search/(?P<token>\w+)", show_quad_search),
        ("GET", _QUAD, show_quad),
        ("GET", rf"{_QUAD}/full", download_quad),
        ("GET", rf"{_QUAD}/items", list_items),
        ("POST", rf"{DATA_PREFIX}/quick-search", search_scenes),
        ("GET", rf"{DATA_PREFIX}/searches/(?P<token>\w+)/results", show_scene_search),
        ("GET", rf"{DATA_PREFIX}/item-types/\w+/items/(?P<scene>[\w-]+)", show_scene),
    )
)
