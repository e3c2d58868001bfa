"""The Planet client, against a real HTTP server that misbehaves as the real API and its proxies do."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from segmentation.core.errors import PipelineError
from segmentation.imagery.planet import key as api_key
from segmentation.imagery.planet.client import PlanetClient, QuadNotCovered
from segmentation.imagery.web import retries
from segmentation.imagery.web.redaction import redact
from segmentation.imagery.web.traffic import RateLimit

KEY = "PLAK-very-secret"
NAME = "planet_medres_normalized_analytic_2019-06_2019-11_mosaic"
MOSAIC = {"id": "m-1", "name": NAME, "level": 15, "datatype": "uint16", "grid": {"quad_size": 4096}}


class Api:
    """A server whose answers are scripted: per path, a list of (status, headers, body), the last one repeated."""

    def __init__(self):
        self.answers, self.seen = {}, []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.seen.append((self.path, self.headers.get("Authorization")))
                queue = api.answers.get(self.path.split("?")[0], [(404, {}, b"{}")])
                status, headers, body = queue.pop(0) if len(queue) > 1 else queue[0]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if headers.get("Content-Length", str(len(body))) != str(len(body)):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def says(self, path, *answers):
        self.answers[path] = [
            (status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())
            for status, headers, body in answers
        ]

    def paths(self):
        return [path for path, _ in self.seen]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def api():
    server = Api()
    yield server
    server.close()


@pytest.fixture
def storage():
    server = Api()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Retries wait as long as the server asks for, and hardly longer."""
    monkeypatch.setattr(retries, "_exponential", lambda _: 0.0)


@pytest.fixture
def client(api):
    return PlanetClient(KEY, api.url, max_rps=1000)


@pytest.fixture
def mosaic(api, client):
    api.says("/mosaics", (200, {}, {"mosaics": [MOSAIC], "_links": {}}))
    return client.mosaic(NAME)


def accept_all(path):
    """Every file is a good quad."""


def refuse_html(path):
    if path.read_bytes().startswith(b"<html"):
        raise ValueError("not a TIFF")


def test_a_mosaic_is_found_by_its_name_with_the_key_as_basic_user(api, client, mosaic):
    assert mosaic.id == "m-1"
    path, authorization = api.seen[0]
    assert path == f"/mosaics?name__is={NAME}"
    assert authorization == requests.auth._basic_auth_str(KEY, "")


def test_a_mosaic_that_the_key_cannot_see_is_an_error_that_names_what_it_sees(api, client):
    page = f"{api.url}/mosaics?_page=2"
    api.says(
        "/mosaics",
        (200, {}, {"mosaics": [], "_links": {}}),
        (200, {}, {"mosaics": [{"name": "a_mosaic"}], "_links": {"_next": page}}),
        (200, {}, {"mosaics": [{"name": "b_mosaic"}], "_links": {}}),
    )
    with pytest.raises(PipelineError, match="not visible.*it sees 2: a_mosaic, b_mosaic"):
        client.mosaic("absent")


def test_a_visual_mosaic_is_refused_because_it_holds_no_reflectance(api, client):
    api.says("/mosaics", (200, {}, {"mosaics": [MOSAIC | {"datatype": "byte"}], "_links": {}}))
    with pytest.raises(PipelineError, match="byte.*needed are.*uint16"):
        client.mosaic(NAME)


def test_a_refused_key_ends_at_once_and_is_not_printed(api, client):
    api.says("/mosaics", (401, {}, {"message": f"bad key {KEY}"}))
    with pytest.raises(PipelineError, match="refuses the API key") as caught:
        client.mosaic(NAME)
    assert KEY not in str(caught.value)
    assert len(api.seen) == 1


def test_no_server_at_the_address_is_one_clear_line():
    with pytest.raises(PipelineError, match="no answer from 127.0.0.1:9"):
        PlanetClient(KEY, "http://127.0.0.1:9", tries=2).mosaic(NAME)


def test_an_address_that_is_not_planets_api_is_told_from_its_answer(api):
    client = PlanetClient(KEY, api.url, max_rps=1000, tries=2)
    api.says("/mosaics", (200, {}, b"<html>welcome</html>"))
    with pytest.raises(PipelineError, match="does not answer as Planet's Basemaps API.*--api-url"):
        client.mosaic(NAME)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, {}, {"message": "no quad"}), "404"),
        ((403, {}, {"message": "no permission"}), "403"),
        ((200, {}, {"id": "1-2", "_links": {}}), "no download link"),
    ],
)
def test_a_quad_that_is_not_given_is_not_covered_and_asked_for_once(api, client, mosaic, answer, reason):
    api.says("/mosaics/m-1/quads/1-2", answer)
    with pytest.raises(QuadNotCovered, match=reason):
        client.quad_link(mosaic, 1, 2)
    assert api.paths().count("/mosaics/m-1/quads/1-2") == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_faults_are_tried_again(api, client, mosaic, status):
    fault = (status, {}, b"max rate reached: retry-in 200ms")
    api.says("/mosaics/m-1/quads/1-2", fault, fault, (200, {}, {"_links": {"download": "http://x/full"}}))
    assert client.quad_link(mosaic, 1, 2) == "http://x/full"


def test_a_used_up_quota_is_not_tried_again(api, client, mosaic):
    api.says("/mosaics/m-1/quads/1-2", (429, {}, {"general": [{"message": "Download quota has been exceeded."}]}))
    with pytest.raises(PipelineError, match="quota"):
        client.quad_link(mosaic, 1, 2)
    assert api.paths().count("/mosaics/m-1/quads/1-2") == 1


def test_tries_are_bounded(api, mosaic):
    client = PlanetClient(KEY, api.url, max_rps=1000, tries=3)
    api.says("/mosaics/m-1/quads/1-2", (503, {}, b"later"))
    with pytest.raises(PipelineError, match="gave up after 3 tries.*503"):
        client.quad_link(mosaic, 1, 2)
    assert api.paths().count("/mosaics/m-1/quads/1-2") == 3


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("100000", 120),
        ("", 0),
        ("soon", 0),
        ("nan", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 120),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_and_capped(value, seconds):
    response = requests.Response()
    response.headers["Retry-After"] = value
    assert retries.retry_after_s(response) == seconds


def test_a_download_is_followed_to_storage_without_the_key(api, storage, client, tmp_path):
    storage.says("/signed", (200, {}, b"pixels"))
    api.says("/full", (302, {"Location": f"{storage.url}/signed?token=1"}, b""))
    client.download(f"{api.url}/full", tmp_path / "quad.tif", accept_all)
    assert (tmp_path / "quad.tif").read_bytes() == b"pixels"
    assert api.seen[-1][1] is not None
    assert storage.seen == [("/signed?token=1", None)]


def test_a_storage_that_refuses_is_asked_again_at_a_fresh_address(api, storage, client, tmp_path):
    storage.says("/old", (403, {}, b"expired"))
    storage.says("/new", (200, {}, b"pixels"))
    api.says(
        "/full",
        (302, {"Location": f"{storage.url}/old"}, b""),
        (302, {"Location": f"{storage.url}/new"}, b""),
    )
    client.download(f"{api.url}/full", tmp_path / "quad.tif", accept_all)
    assert (tmp_path / "quad.tif").read_bytes() == b"pixels"


def test_a_download_that_the_api_itself_refuses_is_not_covered(api, client, tmp_path):
    api.says("/full", (403, {}, b"no permission"))
    with pytest.raises(QuadNotCovered, match="403"):
        client.download(f"{api.url}/full", tmp_path / "quad.tif", accept_all)
    assert len(api.seen) == 1


def test_a_download_from_another_host_gets_no_key(api, storage, client, tmp_path):
    storage.says("/file", (200, {}, b"pixels"))
    client.download(f"{storage.url}/file", tmp_path / "quad.tif", accept_all)
    assert storage.seen == [("/file", None)]


def test_truncated_and_wrong_bodies_are_fetched_again(api, client, tmp_path):
    api.says(
        "/full",
        (200, {"Content-Length": "100"}, b"half of it"),
        (200, {}, b"<html>maintenance</html>"),
        (200, {}, b"pixels"),
    )
    client.download(f"{api.url}/full", tmp_path / "quad.tif", refuse_html)
    assert (tmp_path / "quad.tif").read_bytes() == b"pixels"
    assert len(api.seen) == 3


def test_a_file_that_never_comes_right_leaves_nothing_behind(api, tmp_path):
    client = PlanetClient(KEY, api.url, max_rps=1000, tries=2)
    api.says("/full", (200, {}, b"<html>maintenance</html>"))
    with pytest.raises(PipelineError, match="download of quad: gave up after 2 tries, not a usable file"):
        client.download(f"{api.url}/full", tmp_path / "quad.tif", refuse_html)
    assert list(tmp_path.iterdir()) == []


def test_links_are_redacted():
    text = f"see https://x/full?api_key={KEY}&a=1 and {KEY}"
    assert redact(text, KEY) == "see https://x/full?api_key=***&a=1 and ***"


def test_the_key_comes_from_the_environment_or_a_dotenv_file(monkeypatch, tmp_path):
    for name in api_key.KEY_NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(api_key, "REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match="no Planet API key.*PL_API_KEY"):
        api_key.find_api_key()
    (tmp_path / ".env").write_text("PLANET_API_KEY='from file'\n")
    assert api_key.find_api_key() == "from file"
    monkeypatch.setenv("API_KEY", "from environment")
    assert api_key.find_api_key() == "from environment"


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    """A folder to work in, without a key anywhere."""
    for name in api_key.KEY_NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(api_key, "REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize(
    "line", ["PL_API_KEY=PLAKabc123", "PL_API_KEY=\u201cPLAKabc123\u201d", "PL_API_KEY=\u2018PLAKabc123\u2019"]
)
def test_a_dotenv_file_is_read_as_editors_leave_it(no_key, line, encoding):
    (no_key / ".env").write_bytes(f"# J\u00f6rg's key\r\n{line}\r\n".encode(encoding))
    assert api_key.find_api_key() == "PLAKabc123"


def test_quotes_and_blanks_of_no_width_around_a_key_are_no_part_of_it(no_key, monkeypatch):
    monkeypatch.setenv("PL_API_KEY", " \u201cPLAKabc123\u201d\u200b\r\n")
    assert api_key.find_api_key() == "PLAKabc123"


def test_a_key_that_no_request_can_carry_is_refused_without_being_shown(no_key):
    (no_key / ".env").write_text("PL_API_KEY=PLAK\u2026123\n", encoding="utf-8")
    with pytest.raises(PipelineError, match=r"PL_API_KEY in .*\.env is no API key") as refused:
        api_key.find_api_key()
    assert "PLAK" not in str(refused.value)


def test_a_folder_of_that_name_is_no_dotenv_file(no_key):
    (no_key / ".env").mkdir()
    with pytest.raises(PipelineError, match="no Planet API key"):
        api_key.find_api_key()


def test_the_rate_limit_spreads_the_requests_of_all_threads():
    limit = RateLimit(per_second=1e9)
    before = limit._next
    threads = [threading.Thread(target=limit.wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit._next >= before + 20 / limit.per_second
