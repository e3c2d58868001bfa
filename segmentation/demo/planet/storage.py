"""The storage behind the stand-in's download links: signed URLs on a port of its own, without credentials."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

from segmentation.demo.planet.exchange import Refusal, Request, Response
from segmentation.demo.planet.quads import RenderedQuads

_VALID_S = 600
_PATH = re.compile(r"/storage/(?P<mosaic>[\w.-]+)/(?P<x>\d+)-(?P<y>\d+)\.tif")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class Storage:
    """Signs URLs of quads and answers the requests for them."""

    quads: RenderedQuads
    url: str = ""
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    def signed_url(self, mosaic: str, x: int, y: int) -> str:
        """A URL that gives a quad to anyone, for a few minutes."""
        path, expires = f"/storage/{mosaic}/{x}-{y}.tif", str(int(time.time()) + _VALID_S)
        query = urlencode({"X-Expires": expires, "X-Signature": self._signature(path, expires)})
        return f"{self.url}{path}?{query}"

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._secret, f"{path}?{expires}".encode(), hashlib.sha256).hexdigest()

    def answer(self, request: Request) -> Response:
        """Send a quad, or the part of it that is asked for."""
        if "authorization" in request.headers or "api_key" in request.query:
            # Object stores refuse two ways of authentication at once; and a key has no business here.
            raise Refusal(400, {"message": "Only one authentication mechanism is allowed"})
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise Refusal(404, {"message": "No such key"})
        expires = request.query.get("X-Expires", "0")
        signature = request.query.get("X-Signature", "")
        if not hmac.compare_digest(signature, self._signature(request.path, expires)):
            raise Refusal(403, {"message": "Signature does not match"})
        if int(expires) < time.time():
            raise Refusal(403, {"message": "Request has expired"})
        return self._quad(request, match["mosaic"], int(match["x"]), int(match["y"]))

    def _quad(self, request: Request, mosaic: str, x: int, y: int) -> Response:
        path = self.quads.file(mosaic, x, y)
        size = path.stat().st_size
        tag = f'"{hashlib.sha256(f"{mosaic}/{x}-{y}/{size}".encode()).hexdigest()[:32]}"'
        headers = {
            "Content-Type": "image/tiff",
            "Content-Disposition": f'attachment; filename="L{self.quads.grid.level:02d}-{x:04d}E-{y:04d}N.tif"',
            "Accept-Ranges": "bytes",
            "ETag": tag,
        }
        span = _RANGE.fullmatch(request.headers.get("range", ""))
        if span is None or span[0] == "bytes=-" or request.headers.get("if-range", tag) != tag:
            return Response(200, headers, file=path, last_byte=size - 1)
        first = int(span[1]) if span[1] else max(0, size - int(span[2]))
        last = min(size - 1, int(span[2])) if span[1] and span[2] else size - 1
        if first > last:
            return Response(416, {"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Response(206, headers, file=path, first_byte=first, last_byte=last)
