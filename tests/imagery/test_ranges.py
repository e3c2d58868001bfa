"""Blocks of quads by range requests, from a storage whose addresses expire and whose answers break off."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import rasterio
from helpers.quads import write_quad

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import Grid
from segmentation.imagery.planet.blocks import PARTIAL_TAG
from segmentation.imagery.planet.client import PlanetClient, QuadNotCovered
from segmentation.imagery.web import retries

X, Y = 680, 1018
BLOCKS = [0, 9, 63]


class Storage:
    """Serves one file in parts; the API's link leads here. ``faults`` are used up one a request."""

    def __init__(self, content):
        self.content, self.faults, self.asked, self.keys = content, [], [], []
        self.signature, self.sent = 0, 0
        storage = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path == "/full":
                    storage.signature += 1
                    location = f"http://localhost:{storage.port}/signed/{storage.signature}"
                    return self._answer(302, b"", {"Location": location})
                storage.keys.append(self.headers.get("Authorization"))
                if self.path != f"/signed/{storage.signature}":
                    return self._answer(403, b"expired")
                return self._part(storage.faults.pop(0) if storage.faults else None)

            def _part(self, fault):
                first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
                storage.asked.append((first, last))
                part = storage.content[first : last + 1]
                if fault == "whole":
                    return self._answer(200, storage.content)
                if isinstance(fault, int):
                    return self._answer(fault, b"trouble")
                span = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(storage.content)}"}
                if fault == "other part":
                    span["Content-Range"] = (
                        f"bytes 0-{len(part) - 1}/{len(storage.content)}" if first else "bytes 1-2/3"
                    )
                if fault == "flipped":
                    part = bytes(byte ^ 0x55 for byte in part)
                storage.sent += len(part)
                if fault == "truncated":
                    span["Content-Length"] = str(len(part))
                    part = part[: len(part) // 2]
                return self._answer(206, part, span)

            def _answer(self, status, body, headers=None):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if headers and headers.get("Content-Length", str(len(body))) != str(len(body)):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.link = f"http://127.0.0.1:{self.port}/full"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module", params=["deflate", "lzw"])
def quad(request, tmp_path_factory):
    values = np.random.default_rng(7).integers(1, 9000, (5, 4096, 1024)).astype("uint16")
    path = tmp_path_factory.mktemp("quad") / "quad.tif"
    return write_quad(path, X, Y, {(0, 0): values}, compress=request.param, predictor=2, interleave="band")


@pytest.fixture
def storage(quad):
    server = Storage(quad.read_bytes())
    yield server
    server.close()


@pytest.fixture
def client(storage, monkeypatch):
    monkeypatch.setattr(retries, "_exponential", lambda _: 0.0)
    return PlanetClient("secret", f"http://127.0.0.1:{storage.port}", max_rps=1000)


def fetch(client, storage, target, blocks=tuple(BLOCKS)):
    return client.download_blocks(storage.link, target, blocks, Grid(), X, Y)


def test_the_blocks_are_those_of_the_whole_quad(quad, storage, client, tmp_path):
    assert fetch(client, storage, tmp_path / "q.tif")
    with rasterio.open(quad) as whole, rasterio.open(tmp_path / "q.tif") as part:
        assert part.transform == whole.transform
        assert part.tags()[PARTIAL_TAG] == "0 9 63"
        expected = np.zeros((5, 4096, 4096), "uint16")
        for block in BLOCKS:
            row, col = 512 * (block // 8), 512 * (block % 8)
            here = np.s_[:, row : row + 512, col : col + 512]
            expected[here] = whole.read()[here]
        np.testing.assert_array_equal(part.read(), expected)
    assert storage.sent < 0.4 * len(storage.content)
    assert storage.signature == 1


def test_no_part_is_fetched_twice(storage, client, tmp_path):
    fetch(client, storage, tmp_path / "q.tif")
    assert len(set(storage.asked)) == len(storage.asked)


def test_the_storage_never_gets_the_key(storage, client, tmp_path):
    fetch(client, storage, tmp_path / "q.tif")
    assert set(storage.keys) == {None}


def test_an_expired_address_is_resolved_again(storage, client, tmp_path):
    storage.faults = [None, 403, None, 410]
    assert fetch(client, storage, tmp_path / "q.tif")
    assert storage.signature == 3


@pytest.mark.parametrize("fault", [500, 503, 429, "truncated", "other part"])
def test_broken_answers_are_fetched_again(quad, storage, client, tmp_path, fault):
    fetch(client, storage, tmp_path / "calm.tif")
    storage.faults = [fault, None, fault, None, None, fault]
    assert fetch(client, storage, tmp_path / "stormy.tif")
    assert (tmp_path / "stormy.tif").read_bytes() == (tmp_path / "calm.tif").read_bytes()


def test_damaged_blocks_never_become_a_file(storage, client, tmp_path):
    storage.faults = [None, "flipped", "flipped"]
    with pytest.raises(PipelineError, match="blocks of q: not a usable quad"):
        fetch(client, storage, tmp_path / "q.tif")
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_ranges_says_so(storage, client, tmp_path):
    storage.faults = ["whole"]
    assert not fetch(client, storage, tmp_path / "q.tif")
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_is_gone_for_good_is_an_error_and_no_gap_in_coverage(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(retries, "_exponential", lambda _: 0.0)
    client = PlanetClient("secret", f"http://127.0.0.1:{storage.port}", max_rps=1000, tries=2)
    storage.faults = [None, 404, 404]
    with pytest.raises(PipelineError, match="gave up after 2 tries, the storage answers 404"):
        fetch(client, storage, tmp_path / "q.tif")


def test_a_quad_that_the_api_does_not_give_is_not_covered(storage, client, tmp_path):
    with pytest.raises(QuadNotCovered, match="403"):
        client.download_blocks(f"http://127.0.0.1:{storage.port}/elsewhere", tmp_path / "q.tif", BLOCKS, Grid(), X, Y)
