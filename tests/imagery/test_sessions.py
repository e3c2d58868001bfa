"""HTTP clients on a machine whose environment has a proxy, certificates, and logins for other servers."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from urllib3 import Retry

from segmentation.core.errors import PipelineError
from segmentation.core.workspace import REPOSITORY
from segmentation.imagery.planet.client import PlanetClient
from segmentation.imagery.sentinel2.source import Sentinel2Imagery
from segmentation.imagery.stac.tokens import Tokens
from segmentation.imagery.web import retries, sessions
from segmentation.imagery.web.client import Server, Web
from segmentation.imagery.web.redaction import without_login, without_query
from segmentation.imagery.web.sessions import Session, host_of, is_loopback

KEY = "PLAK-very-secret"
NOBODY = "http://127.0.0.1:9"


class Recorder:
    """Answers every request with an empty object, but ``/away`` with a redirect; notes paths and logins."""

    def __init__(self, away="/"):
        self.seen = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                names = ("Authorization", "Proxy-Authorization")
                recorder.seen.append((self.path, *(self.headers.get(name) for name in names)))
                self.send_response(302 if self.path == "/away" else 200)
                self.send_header("Location", away)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def storage():
    server = Recorder()
    yield server
    server.close()


@pytest.fixture
def api(storage):
    """Redirects to the storage, which has another name."""
    server = Recorder(away=f"http://localhost:{storage.port}/file")
    yield server
    server.close()


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    """A login for every server that has no other, as some people keep it."""
    path = tmp_path / "netrc"
    path.write_text("machine example.org login a password b\ndefault login me password secret\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))


@pytest.fixture
def proxy(monkeypatch):
    """Says what the environment's proxy is, for loopback too."""

    def use(url):
        for name in ("no_proxy", "NO_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, url)

    return use


def keyless_client(host):
    return Web(Server(host), max_rps=1000, tries=1, connections=1)


def accept_all(path):
    """Every file is a good one."""


def test_a_login_for_other_servers_reaches_neither_api_nor_storage(api, storage, netrc, tmp_path):
    PlanetClient(KEY, api.url, max_rps=1000).download(f"{api.url}/away", tmp_path / "quad.tif", accept_all)
    keyless = keyless_client(host_of(api.url))
    keyless.json(f"{api.url}/plain")
    keyless.download(f"{api.url}/away", tmp_path / "tile.tif", accept_all)
    (_, with_key, _), *others = api.seen
    assert with_key is not None and "bWU6c2VjcmV0" not in with_key
    assert [login for _, login, _ in others] == [None, None]
    assert [(path, login) for path, login, _ in storage.seen] == [("/file", None)] * 2


def test_a_login_for_other_servers_reaches_neither_mirror_nor_catalogue_nor_tokens(api, netrc, tmp_path):
    catalogue = pytest.importorskip("segmentation.imagery.stac.catalogue")
    with pytest.raises(PipelineError):
        catalogue.Catalogue(api.url, "sentinel-2-l2a", max_rps=1000, tries=1).connect()
    with pytest.raises(PipelineError, match="no access token"):
        Tokens(f"{api.url}/token", Retry(0)).sign(f"{api.url}/file")
    imagery = Sentinel2Imagery(2021, "Q3", tmp_path, api.url, max_rps=1000, tries=1)
    with pytest.raises(PipelineError):
        imagery._fetcher().exists("21MXP_0_0")
    assert {path for path, *_ in api.seen} >= {"/", "/token", "/2021/Q3/21MXP_0_0/B04.tif"}
    assert {login for _, login, _ in api.seen} == {None}


def test_a_login_written_into_an_address_is_used_and_never_said(api, tmp_path, monkeypatch):
    monkeypatch.setattr(retries, "_exponential", lambda _: 0.0)
    address = api.url.replace("//", "//me:secret@")
    keyless_client(host_of(address)).json(f"{address}/plain")
    assert api.seen == [("/plain", "Basic bWU6c2VjcmV0", None)]
    with pytest.raises(PipelineError) as told:
        keyless_client("nobody").json(NOBODY.replace("//", "//me:secret@"))
    assert "secret" not in str(told.value) and "127.0.0.1:9" in str(told.value)
    assert without_login(f"at {address}/x, and a@b.org") == f"at {api.url}/x, and a@b.org"
    assert without_query(f"{address}/x?token=1") == f"{api.url}/x?..."


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("api.example.org", True),
        ("tiles.example.org", True),
        ("example.org", False),
        ("api.example.org:8443", False),
        ("notexample.org", False),
        ("example.org.evil.net", False),
    ],
)
def test_a_key_is_for_its_server_and_the_hosts_of_its_domain_alone(host, own):
    server = Server("api.example.org", domain="example.org", key=KEY)
    assert server.is_own(host) is own
    assert Server("api.example.org", key=KEY).is_own(host) is (host == "api.example.org")
    assert KEY not in repr(server)


def test_what_a_source_of_imagery_is_can_be_known_without_the_http_stack():
    program = "import sys, segmentation.imagery.source; sys.exit('requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=REPOSITORY).returncode == 0


def test_no_proxy_stands_between_us_and_this_machine(api, storage, proxy, tmp_path):
    proxy(NOBODY)
    PlanetClient(KEY, api.url, max_rps=1000, tries=1).download(f"{api.url}/away", tmp_path / "q.tif", accept_all)
    assert [path for path, *_ in storage.seen] == ["/file"]


def test_other_hosts_are_reached_through_the_proxy_and_its_login_goes_no_further(api, storage, proxy, tmp_path):
    proxy(api.url.replace("//", "//user:word@"))
    client = keyless_client("imagery.invalid")
    client.json("http://imagery.invalid/mosaics")
    assert api.seen == [("http://imagery.invalid/mosaics", None, "Basic dXNlcjp3b3Jk")]
    session = Session()
    # The proxy answers for it with a redirect to this machine.
    api.seen.clear()
    assert session.get(f"{api.url}/away", timeout=5).status_code == 200
    assert [login for *_, login in api.seen + storage.seen] == [None, None]


def test_certificates_of_the_environment_are_honoured(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/somewhere/bundle.pem")
    settings = Session().merge_environment_settings("https://api.planet.com/", {}, None, None, None)
    assert settings["verify"] == "/somewhere/bundle.pem"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("http://127.8.0.1/", True),
        ("http://[::1]:80/", True),
        ("http://LOCALHOST/", True),
        ("http://api.localhost:1/", True),
        ("http://user:word@127.0.0.1/", True),
        ("http://localhost.example.org/", False),
        ("http://10.0.0.1/", False),
        ("https://api.planet.com/", False),
        ("", False),
    ],
)
def test_this_machine_is_known_by_its_names(url, loopback):
    assert is_loopback(url) is loopback


def test_gdal_finds_no_login_and_spares_loopback_the_proxy(monkeypatch):
    monkeypatch.setenv("GDAL_HTTP_USERPWD", "me:secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("no_proxy", "example.org, localhost")
    monkeypatch.setenv("NO_PROXY", "not looked at")
    sessions.leave_gdal_without_logins()
    left = dict(sessions.os.environ)
    assert "secret" not in "".join(left.values())
    assert left["no_proxy"] == left["NO_PROXY"] == "example.org,localhost,127.0.0.1,::1"
