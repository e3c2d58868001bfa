"""The stand-in's faults, as any HTTP client meets them."""

from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import numpy as np
import pytest
import rasterio
import requests
from helpers.step_1 import rendered_quads
from rasterio.errors import RasterioError

from segmentation.demo.landscape import sites
from segmentation.demo.planet.catalogue import all_mosaics
from segmentation.demo.planet.faults import COUNTS_PATH, Faults, Rule
from segmentation.demo.planet.mishaps import KINDS
from segmentation.demo.planet.standin import DEMO_KEY, standin

NAME = "planet_medres_normalized_analytic_2019-06_2019-11_mosaic"
X, Y = sites.district_quad(next(d for d in sites.DISTRICTS if d.name == "linden"))
QUAD, FILE = rf"/quads/{X}-{Y}$", rf"/{X}-{Y}\.tif$"


class Session:
    """A client without manners: no retries, no checks."""

    def __init__(self, url):
        self.url, self._session = url, requests.Session()
        self._session.auth = (DEMO_KEY, "")
        self.mosaic = next(f"/mosaics/{mosaic.id}" for mosaic in all_mosaics().values() if mosaic.name == NAME)

    def get(self, path, **query):
        return self._session.get(self.url + path, params=query, timeout=60)

    def quad(self):
        return self.get(f"{self.mosaic}/quads/{X}-{Y}")

    def file(self):
        return self.get(f"{self.mosaic}/quads/{X}-{Y}/full")

    def counts(self):
        return requests.get(urljoin(self.url, COUNTS_PATH), timeout=10).json()


@pytest.fixture
def session_with(tmp_path_factory):
    """Starts a stand-in with faults; returns a session with it."""
    with ExitStack() as running:
        cache = rendered_quads(tmp_path_factory.getbasetemp())
        yield lambda **faults: Session(running.enter_context(standin(cache, faults=Faults(**faults))))


def in_turn(path, *kinds):
    """Rules by which the requests of a path meet these faults one after the other, then none."""
    return tuple(Rule(kind, path, first=n, last=n) for n, kind in enumerate(kinds, start=1))


def test_error_answers_come_as_servers_and_proxies_give_them(session_with):
    kinds = ("500", "502", "503", "504", "401", "403")
    session = session_with(rules=in_turn(QUAD, *kinds))
    answers = [session.quad() for _ in range(len(kinds) + 1)]
    assert [answer.status_code for answer in answers] == [500, 502, 503, 504, 401, 403, 200]
    assert answers[1].headers["Content-Type"] == "text/html"
    assert session.counts()["faults"] == dict.fromkeys(kinds, 1)


def test_rate_limits_are_plain_text_with_every_form_of_retry_after(session_with):
    kinds = [kind for kind in KINDS if kind.startswith("429")]
    session = session_with(rules=in_turn(QUAD, *kinds))
    answers = [session.quad() for _ in kinds]
    assert {(answer.status_code, answer.text) for answer in answers} == {(429, "max rate reached: retry-in 200ms")}
    waits = [answer.headers.get("Retry-After") for answer in answers]
    assert waits[:3] == [None, "0", "1"]
    assert parsedate_to_datetime(waits[3])


def test_bodies_break_off(session_with):
    session = session_with(rules=in_turn(QUAD, "truncated", "reset") + in_turn(FILE, "truncated", "reset"))
    for _ in range(2):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            session.quad()
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            session.file()
    assert session.quad().json()["id"] == f"{X}-{Y}"
    assert session.counts()["faults"] == {"truncated": 2, "reset": 2}


def test_files_come_damaged_in_their_full_length(session_with, tmp_path):
    session = session_with(rules=in_turn(FILE, "corrupt block", "corrupt header", "html", "slow"))
    block, header, html, slow, whole = (np.frombuffer(session.file().content, "uint8") for _ in range(5))
    assert len(block) == len(header) == len(slow) == len(whole)
    assert html.tobytes().startswith(b"<!DOCTYPE html>")
    assert np.array_equal(slow, whole)
    changed = np.flatnonzero(block != whole)
    assert (changed[0], len(changed)) == (len(whole) // 2, 4096)
    path = tmp_path / "quad.tif"
    path.write_bytes(block.tobytes())
    rasterio.open(path).close()
    path.write_bytes(header.tobytes())
    with pytest.raises(RasterioError):
        rasterio.open(path)


def test_links_are_withheld_and_pages_are_small(session_with):
    session = session_with(rules=in_turn("/quads", "no link"), page_size=3)
    west, south, east, north = -60, 5, -59, 6
    page = session.get(f"{session.mosaic}/quads", bbox=f"{west},{south},{east},{north}", _page_size=100).json()
    assert len(page["items"]) == 3
    assert page["_links"]["_next"]
    assert not any("download" in quad["_links"] for quad in page["items"])
    assert "download" not in session.quad().json()["_links"]
    assert "download" in session.quad().json()["_links"]


def test_chance_is_the_same_for_the_same_seed_and_leaves_a_path_alone_in_the_end(session_with):
    def statuses(**faults):
        session = session_with(shares={"503": 0.5}, **faults)
        return [session.quad().status_code for _ in range(20)]

    first = statuses(seed=3, at_most=4)
    assert first == statuses(seed=3, at_most=4)
    assert first.count(503) == 4
    assert first != statuses(seed=4, at_most=4)


def test_shares_are_met():
    faults = Faults(shares={"429": 0.2, "reset": 0.05}, seed=1)
    drawn = [faults.drawn(f"/{number}", 1) for number in range(4000)]
    assert drawn.count("429") / 4000 == pytest.approx(0.2, abs=0.02)
    assert drawn.count("reset") / 4000 == pytest.approx(0.05, abs=0.01)
    assert drawn.count(None) == 4000 - drawn.count("429") - drawn.count("reset")


def test_requests_are_counted_and_what_the_storage_is_told(session_with):
    session = session_with()
    reply = session.file()
    counts = session.counts()
    full = f"/basemaps/v1{session.mosaic}/quads/{X}-{Y}/full"
    assert counts["requests"]["api"] == {full: 1}
    assert counts["requests"]["storage"] == {f"/storage/{NAME}/{X}-{Y}.tif": 1}
    assert counts["faults"] == {}
    assert counts["leaks"] == []
    requests.get(reply.url, auth=(DEMO_KEY, ""), timeout=10)
    assert session.counts()["leaks"] == ["Authorization", "key in base64"]
    requests.get(reply.url, params={"api_key": DEMO_KEY}, timeout=10)
    assert session.counts()["leaks"] == ["Authorization", "api_key", "key", "key in base64"]


def test_faults_survive_a_command_line_and_unknown_ones_are_refused():
    faults = Faults({"html": 0.1}, (Rule("500", "/full$", last=2),), seed=5, page_size=2)
    assert Faults.from_json(faults.to_json()) == faults
    with pytest.raises(ValueError, match="no such faults"):
        Faults(rules=(Rule("418", ""),))
