"""The kinds of faults that the stand-in knows: each makes of a good response what a client may get instead."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate

from segmentation.demo.planet.exchange import Response, Wire, api_error, as_json

_DAMAGED_BYTES = 4096
_SLOW_S = 1.0
_FLIP = bytes(255 - value for value in range(256))
_HTML = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>Please come back later.</body></html>"


def _limited(**headers: str) -> Response:
    return Response(429, {"Content-Type": "text/plain", **headers}, b"max rate reached: retry-in 200ms")


def _limited_until_date(_: Response) -> Response:
    return _limited(**{"Retry-After": formatdate(time.time() + 1, usegmt=True)})


def _html(status: int) -> Response:
    return Response(status, {"Content-Type": "text/html"}, _HTML)


def _cut(response: Response) -> Response | None:
    return replace(response, wire=Wire(cut_at=response.length // 2)) if response.length else None


def _reset(response: Response) -> Response:
    # A file breaks off halfway; anything else is not answered at all.
    return replace(response, wire=Wire(cut_at=response.length // 2 if response.file else 0, reset=True))


def _damaged(response: Response, at: Callable[[int], int]) -> Response | None:
    """A file with some of its bytes inverted; nothing else can be damaged and still look right."""
    if response.file is None:
        return None
    with response.open() as stream:
        content = bytearray(stream.read(response.length))
    begin = at(len(content))
    content[begin : begin + _DAMAGED_BYTES] = content[begin : begin + _DAMAGED_BYTES].translate(_FLIP)
    return replace(response, body=bytes(content), file=None)


def _without_link(response: Response) -> Response | None:
    """A quad, or a listing of quads, whose links lead to no download."""
    if response.status != 200 or b'"download"' not in response.body:
        return None
    content = json.loads(response.body)
    for quad in content.get("items", [content]):
        quad["_links"].pop("download", None)
    return as_json(content)


# By name: what becomes of a response; None where it does not apply to it.
KINDS: dict[str, Callable[[Response], Response | None]] = {
    "429": lambda _: _limited(),
    "429 retry at once": lambda _: _limited(**{"Retry-After": "0"}),
    "429 retry in 1 s": lambda _: _limited(**{"Retry-After": "1"}),
    "429 retry from a date": _limited_until_date,
    "500": lambda _: as_json({"message": "Internal Server Error"}, 500),
    "502": lambda _: _html(502),
    "503": lambda _: _html(503),
    "504": lambda _: _html(504),
    "400": lambda _: as_json(api_error("The request is not understood."), 400),
    "401": lambda _: as_json({"message": "Please enter your API key, or email and password."}, 401),
    "403": lambda _: as_json(api_error("You do not have permission."), 403),
    "html": lambda _: _html(200),
    "truncated": _cut,
    "reset": _reset,
    "corrupt block": lambda response: _damaged(response, lambda length: length // 2),
    "corrupt header": lambda response: _damaged(response, lambda _: 0),
    "slow": lambda response: replace(response, wire=Wire(lasting_s=_SLOW_S)),
    "no link": _without_link,
}
