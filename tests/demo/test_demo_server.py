"""The local stand-in for Planet's API, asked over HTTP as a process of its own."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import rasterio
import requests

from segmentation.core.errors import PipelineError
from segmentation.core.workspace import REPOSITORY
from segmentation.demo.landscape import sites
from segmentation.demo.planet import catalogue
from segmentation.demo.planet.standin import DEMO_KEY, standin
from segmentation.geo.grid import Grid

NAME = "planet_medres_normalized_analytic_2019-06_2019-11_mosaic"
X, Y = sites.district_quad(sites.DISTRICTS[0])
# Real quads and the boxes that Planet's API gives for them.
REAL_BOXES = {
    "639-942": [-67.6757812405, -14.2643830856, -67.4999999906, -14.0939571759],
    "1088-1058": [11.2499999985, 5.9657536703, 11.4257812485, 6.14055478166],
    "763-959": [-45.8789062436, -11.3507967208, -45.7031249936, -11.1784018721],
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("quads")


@pytest.fixture(scope="module")
def url(cache):
    with standin(cache) as base:
        yield base


@pytest.fixture(scope="module")
def api(url):
    """Get a path of the API as parsed JSON."""
    with requests.Session() as session:
        session.auth = (DEMO_KEY, "")

        def get(path, status=200, **query):
            response = session.get(url + path, params=query, timeout=60)
            assert response.status_code == status, response.text
            return response.json()

        yield get


@pytest.fixture(scope="module")
def mosaic(api):
    return f"/mosaics/{api('/mosaics', name__is=NAME)['mosaics'][0]['id']}"


@pytest.fixture(scope="module")
def quad_reply(url, mosaic):
    """The reply that a key's holder gets for a quad, with the redirect in its history."""
    return requests.get(f"{url}{mosaic}/quads/{X}-{Y}/full", auth=(DEMO_KEY, ""), timeout=60)


@pytest.mark.parametrize(
    "sent",
    [
        {"auth": (DEMO_KEY, "")},
        {"headers": {"Authorization": f"api-key {DEMO_KEY}"}},
        {"params": {"api_key": DEMO_KEY}},
    ],
)
def test_all_ways_to_send_the_key_are_accepted(url, sent):
    assert requests.get(f"{url}/mosaics", timeout=10, **sent).status_code == 200


@pytest.mark.parametrize("sent", [{}, {"auth": ("wrong", "")}, {"params": {"api_key": "wrong"}}])
def test_without_the_right_key_it_is_401_in_json(url, sent):
    response = requests.get(f"{url}/mosaics", timeout=10, **sent)
    assert response.status_code == 401
    assert response.json()["message"]


def test_a_mosaic_is_found_by_name_with_all_that_clients_need(api, url):
    found = api("/mosaics/", name__is=NAME)["mosaics"]
    assert len(found) == 1
    mosaic = found[0]
    assert mosaic["coordinate_system"] == "EPSG:3857"
    assert mosaic["datatype"] == "uint16"
    assert mosaic["grid"]["quad_size"] == 4096
    assert mosaic["quad_download"] is True
    assert (mosaic["first_acquired"], mosaic["last_acquired"]) == (
        "2019-06-01T00:00:00.000Z",
        "2019-12-01T00:00:00.000Z",
    )
    assert mosaic["_links"]["quads"].startswith(f"{url}/mosaics/{mosaic['id']}/quads?")
    assert mosaic["_links"]["quads"].endswith("{lx},{ly},{ux},{uy}")


def test_an_unknown_name_is_an_empty_list_and_an_unknown_id_is_404(api):
    assert api("/mosaics", name__is="nothing")["mosaics"] == []
    assert api("/mosaics/nothing", status=404)["message"].startswith("Mosaic Not Found")
    assert api("/series/nothing", status=404)["message"].startswith("Series Not Found")


def test_listings_have_pages_and_no_next_on_the_last(api):
    page = api("/mosaics")
    names = [mosaic["name"] for mosaic in page["mosaics"]]
    assert len(names) == 50
    while following := page["_links"].get("_next"):
        page = requests.get(following, timeout=10).json()
        names += [mosaic["name"] for mosaic in page["mosaics"]]
    assert "_next" not in page["_links"]
    assert len(names) == len(set(names)) == 61
    assert len(api("/mosaics", name__contains="2022-", _page_size=100)["mosaics"]) == 12


def test_series_list_their_mosaics(api):
    series = api("/series")["series"]
    listed = api(f"/series/{series[0]['id']}/mosaics")
    assert len(listed["mosaics"]) == 10
    assert "_links" in listed


@pytest.mark.parametrize(("quad", "box"), REAL_BOXES.items())
def test_quads_have_the_boxes_of_the_real_grid(api, mosaic, quad, box):
    west, south, east, north = box
    lon, lat = (west + east) / 2, (south + north) / 2
    items = api(f"{mosaic}/quads", bbox=f"{lon},{lat},{lon},{lat}")["items"]
    assert [item["id"] for item in items] == [quad]
    assert items[0]["bbox"] == pytest.approx(box, abs=2e-10)


def test_quads_are_listed_by_box_page_by_page(api, mosaic):
    box = ",".join(map(str, REAL_BOXES["639-942"]))
    assert [item["id"] for item in api(f"{mosaic}/quads", bbox=box)["items"]] == ["639-942"]
    page = api(f"{mosaic}/quads", bbox="-67.6,-14.5,-66.6,-13.9", _page_size=10, summary="true")
    seen, total = [item["id"] for item in page["items"]], page["summary"]["total_quads"]
    while following := page["_links"].get("_next"):
        page = requests.get(following, timeout=10).json()
        seen += [item["id"] for item in page["items"]]
    assert len(seen) == len(set(seen)) == total > 10
    assert api(f"{mosaic}/quads", bbox="0,50,1,51")["items"] == []
    assert api(f"{mosaic}/quads", status=400)["field"]["bbox"]


def test_minimal_listings_keep_ids_and_links(api, mosaic):
    item = api(f"{mosaic}/quads", bbox="-67.6,-14.2,-67.6,-14.2", minimal="true")["items"][0]
    assert set(item) == {"id", "_links"}
    item = api(f"{mosaic}/quads", bbox="-67.6,-14.2,-67.6,-14.2", minimal="False")["items"][0]
    assert "bbox" in item


def test_quads_are_found_by_geometry_through_a_redirect(url, mosaic):
    triangle = {"type": "Polygon", "coordinates": [[[-67.6, -14.2], [-67.2, -14.2], [-67.6, -13.8], [-67.6, -14.2]]]}
    found = requests.post(f"{url}{mosaic}/quads/search", json=triangle, auth=(DEMO_KEY, ""), timeout=10)
    assert [reply.status_code for reply in found.history] == [302]
    ids = {item["id"] for item in found.json()["items"]}
    assert "639-942" in ids
    assert "641-944" not in ids
    token = urlsplit(found.url).path.rsplit("/", 1)[-1]
    elsewhere = url.replace("/basemaps/v1", f"/data/v1/searches/{token}/results")
    assert requests.get(elsewhere, auth=(DEMO_KEY, ""), timeout=10).status_code == 404, "a search of another kind"


def test_a_download_is_redirected_to_a_storage_that_gets_no_credentials(quad_reply, url):
    assert quad_reply.status_code == 200
    assert [reply.status_code for reply in quad_reply.history] == [302]
    assert urlsplit(quad_reply.url).port != urlsplit(url).port
    assert "api_key" not in quad_reply.url
    assert "Authorization" not in quad_reply.request.headers
    assert requests.get(quad_reply.url, auth=(DEMO_KEY, ""), timeout=10).status_code == 400
    assert requests.get(f"{quad_reply.url}&api_key={DEMO_KEY}", timeout=10).status_code == 400
    assert requests.get(quad_reply.url[:-1] + "_", timeout=10).status_code == 403


def test_a_download_carries_its_length_and_name(quad_reply):
    assert int(quad_reply.headers["Content-Length"]) == len(quad_reply.content)
    assert f"L15-{X:04d}E-{Y:04d}N.tif" in quad_reply.headers["Content-Disposition"]
    with rasterio.MemoryFile(quad_reply.content) as memory, memory.open() as quad:
        assert quad.bounds == pytest.approx(tuple(Grid().quad_bounds(X, Y)), abs=1e-3)


@pytest.mark.parametrize(("asked", "part"), [("bytes=100-199", (100, 200)), ("bytes=-50", (-50, None))])
def test_a_download_can_be_resumed(quad_reply, asked, part):
    tag = quad_reply.headers["ETag"]
    reply = requests.get(quad_reply.url, headers={"Range": asked, "If-Range": tag}, timeout=10)
    assert reply.status_code == 206
    assert reply.content == quad_reply.content[slice(*part)]
    size = len(quad_reply.content)
    assert reply.headers["Content-Range"].endswith(f"/{size}")
    past_end = requests.get(quad_reply.url, headers={"Range": f"bytes={size}-"}, timeout=10)
    assert past_end.status_code == 416
    other = requests.get(quad_reply.url, headers={"Range": asked, "If-Range": '"other"'}, timeout=10, stream=True)
    assert other.status_code == 200


def test_concurrent_requests_get_one_rendering(url, mosaic, cache, quad_reply):
    def download(_):
        return requests.get(f"{url}{mosaic}/quads/{X + 1}-{Y}/full", auth=(DEMO_KEY, ""), timeout=60).content

    with ThreadPoolExecutor(4) as pool:
        bodies = list(pool.map(download, range(4)))
    assert len(set(bodies)) == 1
    assert sorted(path.name for path in (cache / NAME).iterdir()) == sorted([f"{X}-{Y}.tif", f"{X + 1}-{Y}.tif"])


def test_quads_without_permission_are_listed_without_download_link(api, mosaic):
    x, y = sites.lone_quad()
    assert "download" not in api(f"{mosaic}/quads/{x}-{y}")["_links"]
    assert api(f"{mosaic}/quads/{x}-{y}/full", status=403)["general"][0]["message"]
    assert "download" in api(f"{mosaic}/quads/{X}-{Y}")["_links"]
    withheld = sum(not catalogue.is_downloadable(100 + k % 60, 900 + k // 60) for k in range(3600))
    assert 30 < withheld < 90


def test_only_the_lone_mine_is_out_of_reach():
    polygons = sites.literature_polygons()
    _, x, y = Grid().quads_of(Grid().windows_around(polygons.to_crs(3857).bounds.to_numpy()))
    needed = set(zip(x.tolist(), y.tolist(), strict=True))
    assert {quad for quad in needed if not catalogue.is_downloadable(*quad)} == {sites.lone_quad()}
    assert all(catalogue.is_covered(*quad) for quad in needed)


def test_quads_outside_the_mosaic_are_404(api, mosaic):
    for quad in ("0-1500", "5000-1000"):
        assert api(f"{mosaic}/quads/{quad}", status=404)["message"]
        assert api(f"{mosaic}/quads/{quad}/full", status=404)["message"]


def test_scenes_and_their_clouds(api, mosaic, url):
    links = [item["link"] for item in api(f"{mosaic}/quads/{X}-{Y}/items")["items"]]
    assert {"#" in link for link in links} == {True, False}
    ids = [urlsplit(link).path.rsplit("/", 1)[-1] for link in links]
    search = {
        "item_types": ["PSScene", "REOrthoTile"],
        "filter": {
            "type": "AndFilter",
            "config": [{"type": "StringInFilter", "field_name": "id", "config": ids}],
        },
    }
    address = url.replace("/basemaps/v1", "/data/v1/quick-search")
    found = requests.post(address, json=search, auth=(DEMO_KEY, ""), params={"_page_size": 3}, timeout=10).json()
    rest = requests.get(found["_links"]["_next"], timeout=10).json()
    features = found["features"] + rest["features"]
    assert [feature["id"] for feature in features] == ids
    assert "_next" not in rest["_links"]
    for feature in features:
        assert 0 <= feature["properties"]["cloud_cover"] <= 1
    again = requests.post(address, json=search, auth=(DEMO_KEY, ""), timeout=10).json()
    assert again["features"] == features


def test_the_server_ends_with_its_parent(tmp_path):
    command = [sys.executable, "-m", "segmentation.demo.planet.server", "--cache", str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"ready http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(10) == 0
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.terminate()
        assert process.wait(10) == 0


def test_a_server_that_cannot_start_says_why(tmp_path, monkeypatch):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(PipelineError, match="did not start: no such module"), standin(tmp_path):
        pass


def test_the_demo_imports_light():
    heavy = "any(m in sys.modules for m in ('cv2', 'scipy', 'rasterio'))"
    code = f"import sys, segmentation.demo.planet.standin; sys.exit({heavy})"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
