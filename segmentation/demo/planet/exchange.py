"""The plumbing of the stand-in: requests and responses as values, and the HTTP server that carries them."""

from __future__ import annotations

import io
import json
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

LOOPBACK = "127.0.0.1"
_PIECE_BYTES = 1 << 20
_SLOW_PIECES = 8
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


@dataclass(frozen=True)
class Request:
    """An HTTP request.

    Attributes:
        method: GET or POST.
        path: path without query and trailing slash.
        query: first value of every query key; the same key twice is tolerated.
        headers: header fields, names in lower case.
        body: the request's body.
        target: path and query as they came.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    target: str = ""

    def is_set(self, flag: str) -> bool:
        """Whether a yes-or-no key of the query says yes."""
        return self.query.get(flag, "").lower() in ("true", "1", "yes")


@dataclass(frozen=True)
class Wire:
    """How a response travels; by default whole and at once.

    Attributes:
        cut_at: bytes of the body after which the connection ends, whatever Content-Length promised.
        reset: end it with a reset; one at byte 0 comes instead of the response.
        lasting_s: how long the body takes.
    """

    cut_at: int | None = None
    reset: bool = False
    lasting_s: float = 0.0


@dataclass(frozen=True)
class Response:
    """An HTTP response: a body in memory, or a part of a file.

    Attributes:
        status: status code.
        headers: header fields besides Content-Length.
        body: the body where there is no file.
        file: the file to send.
        first_byte: where to start in the file.
        last_byte: where to stop in the file, inclusive.
        wire: how it travels.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: Path | None = None
    first_byte: int = 0
    last_byte: int = -1
    wire: Wire = Wire()

    @property
    def length(self) -> int:
        """Bytes that the body takes."""
        return len(self.body) if self.file is None else self.last_byte - self.first_byte + 1

    def open(self) -> BinaryIO:
        """The body, from its first byte on."""
        if self.file is None:
            return io.BytesIO(self.body)
        stream = self.file.open("rb")
        stream.seek(self.first_byte)
        return stream


class Refusal(Exception):
    """Ends a request with an error response."""

    def __init__(self, status: int, content: dict) -> None:
        super().__init__(status)
        self.response = as_json(content, status)


def as_json(content: dict, status: int = 200, **headers: str) -> Response:
    """A JSON response."""
    return Response(status, {"Content-Type": "application/json", **headers}, json.dumps(content).encode())


def api_error(message: str, **fields: str) -> dict:
    """The body of most of the API's errors."""
    return {
        "general": [] if fields else [{"message": message}],
        "field": {name: [{"message": text}] for name, text in fields.items()},
    }


class _Handler(BaseHTTPRequestHandler):
    """Carries the exchanges of one connection."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        self._exchange()

    def do_POST(self) -> None:
        self._exchange()

    def _exchange(self) -> None:
        request = self._request()
        try:
            response = self.server.answer(request)
        except Refusal as refusal:
            response = refusal.response
        except Exception:
            traceback.print_exc()
            response = as_json({"message": "Internal Server Error"}, 500)
        self._send(response)

    def _request(self) -> Request:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        return Request(self.command, url.path.rstrip("/"), query, headers, body, self.path)

    def _send(self, response: Response) -> None:
        wire = response.wire
        if not (wire.reset and wire.cut_at == 0):
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(response.length))
            self.end_headers()
            with response.open() as body:
                self._pour(body, response.length if wire.cut_at is None else wire.cut_at, wire.lasting_s)
        if wire.cut_at is not None:
            self.close_connection = True
        if wire.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _pour(self, body: BinaryIO, length: int, lasting_s: float) -> None:
        piece = max(1, length // _SLOW_PIECES) if lasting_s else _PIECE_BYTES
        while length > 0:
            self.wfile.write(body.read(min(piece, length)))
            length -= piece
            if lasting_s:
                self.wfile.flush()
                time.sleep(lasting_s / _SLOW_PIECES)

    def log_message(self, *_: object) -> None:
        pass


def _is_to_be_reset(connection: socket.socket) -> bool:
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[Request], Response], port: int) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.answer = answer

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """End a connection; one to be reset without the farewell that would make it look like a proper end."""
        if isinstance(request, socket.socket) and _is_to_be_reset(request):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Report errors, but for clients that hang up, which they may at any time."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(answer: Callable[[Request], Response], port: int = 0) -> ThreadingHTTPServer:
    """Start to answer requests in background threads on the IPv4 loopback.

    Args:
        answer: makes the response to a request; the place where ``faults`` steps in.
        port: 0 for any free one.
    """
    server = _Server(answer, port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
