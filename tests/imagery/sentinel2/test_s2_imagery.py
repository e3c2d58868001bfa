"""Step 1 from Sentinel-2's quarterly mosaics, as it is typed, against a mirror with the real one's layout."""

import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from helpers.mirror import Drawn, asked, draw_tile, mirror
from helpers.own_rasters import BELL_M, DARK, bell, mercator, pixel_centres
from helpers.quads import HALF_WORLD_M
from helpers.step_1 import digests_under
from pyproj import Transformer
from rasterio.windows import Window

from segmentation.chips.mask import read_mask
from segmentation.core.workspace import Workspace
from segmentation.demo.planet.faults import Faults, Rule
from segmentation.geo.geopackage import read_metadata
from segmentation.geo.geotiffs import block_extents
from segmentation.geo.grid import Grid
from segmentation.imagery.cache import TileCache
from segmentation.imagery.sentinel2.fetch import TileFetcher
from segmentation.imagery.sentinel2.tiles import blocks_under
from segmentation.imagery.web import retries
from segmentation.imagery.web.client import Server, Web

YEAR, QUARTER = 2021, "2021/Q3"
PIXEL_M = 2 * HALF_WORLD_M / 2**22

CORNER = Transformer.from_crs("EPSG:32721", "EPSG:4326", always_xy=True).transform(700_030, 9_400_010)
PLACES = {
    "corner": CORNER,  # four tiles meet in it
    "edge": (-53.95, -9.0),  # across the edge of a zone from the only tile that shows it
    "fiji": (179.975, -17.5),  # at the antimeridian, a tile counted from the square before
    "sea": (-28.4, 10.3),  # no tile
}
TILES = [
    Drawn("21MXP_0_0", 32721, 600_000, 9_400_000, *CORNER),
    Drawn("21MYP_0_0", 32721, 699_960, 9_400_000, *CORNER),
    Drawn("21MXQ_0_0", 32721, 600_000, 9_500_020, *CORNER),
    Drawn("21MYQ_0_0", 32721, 699_960, 9_500_020, *CORNER),
    Drawn("21LZL_0_0", 32721, 799_980, 9_100_000, *PLACES["edge"]),
    Drawn("60KYF_1_0", 32760, 800_040, 8_100_040, *PLACES["fiji"]),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The mirror's files."""
    folder = tmp_path_factory.mktemp("mirror")
    for drawn in TILES:
        draw_tile(folder / QUARTER, drawn)
    return folder


@pytest.fixture(scope="module")
def polygons(tmp_path_factory):
    """A disc around each bell, as far as it is brighter than half."""
    discs = []
    for lon, lat in PLACES.values():
        x, y = mercator(lon, lat)
        discs.append(shapely.Point(x, y).buffer(BELL_M * np.sqrt(2 * np.log(2)), quad_segs=32))
    path = tmp_path_factory.mktemp("polygons") / "discs.gpkg"
    gpd.GeoDataFrame({"id": list(PLACES)}, geometry=discs, crs="EPSG:3857").to_file(path)
    return path


@pytest.fixture
def cut(step_1, polygons, monkeypatch):
    """Step 1 from a mirror: ``cut(data root, url, *options)``."""
    monkeypatch.setattr(retries, "_exponential", lambda _: 0.0)

    def run(root, url, *options, year=YEAR):
        address = ("--imagery", "sentinel2", "--sentinel2-url", url, "--max-rps=1000")
        return step_1(root, "--polygons", polygons, *address, f"--label-year={YEAR}", *options, year=year)

    return run


@pytest.fixture(scope="module")
def calm():
    """Kept from the first run: its workspace, what it printed and what it asked for."""
    return {}


@pytest.fixture
def made(calm, cut, files, tmp_path_factory):
    if not calm:
        root = tmp_path_factory.mktemp("calm") / "data"
        with mirror(files) as url:
            calm["done"] = cut(root, url)
            calm["asked"] = asked(url)
            calm["again"] = cut(root, url)
            calm["asked again"] = asked(url)
        calm["workspace"] = Workspace(root)
    return calm


def windows_of(workspace):
    return gpd.read_file(workspace.year(YEAR).windows, layer="windows").set_index("id")


def test_chips_come_from_exactly_the_tiles_that_show_them(made):
    assert made["done"].status == 0, made["done"].printed
    windows = windows_of(made["workspace"])
    assert windows["status"].to_dict() == {
        "corner": "written",
        "edge": "written",
        "fiji": "written",
        "sea": "not covered",
    }
    assert windows["tiles"].to_dict() == {
        "corner": "21MXP_0_0 21MYP_0_0 21MXQ_0_0 21MYQ_0_0",
        "edge": "21LZL_0_0",
        "fiji": "60KYF_1_0",
        "sea": "26PLS_0_0",
    }
    tiles = gpd.read_file(made["workspace"].year(YEAR).windows, layer="tiles").set_index("tile")
    assert tiles.loc["26PLS_0_0", ["status", "reason"]].tolist() == ["not covered", "no such tile"]
    assert (tiles.drop("26PLS_0_0")["status"] == "covered").all()
    assert f"{'tiles needed':<44}{7:>12}" in made["done"].printed
    metadata = read_metadata(made["workspace"].year(YEAR).windows)
    assert (metadata["imagery"], metadata["level"], metadata["quarter"]) == ("sentinel2", "14", "Q3")
    assert metadata["mosaic"] == "sentinel2_cloudless_2021-07_2021-09_mosaic"


@pytest.mark.parametrize("name", ["corner", "edge", "fiji"])
def test_a_known_shape_lands_where_it_lies(made, name):
    folder, row = made["workspace"].year(YEAR), windows_of(made["workspace"]).loc[name]
    with rasterio.open(folder.chip(row["split"], name)) as chip:
        dn, transform = chip.read().astype(float), chip.transform
        assert chip.descriptions == ("Red", "Green", "Blue", "NIR")
        reflectance = dn * np.array(chip.scales)[:, None, None] + np.array(chip.offsets)[:, None, None]
    seen = dn.any(axis=0)
    assert seen.mean() > (0.7 if name == "fiji" else 0.99)
    x, y = pixel_centres(transform, 512, 512)
    expected = bell(x, y, mercator(*PLACES[name]))
    for values, share in zip(reflectance, (1, 0.9, 0.8, 0.7), strict=True):
        np.testing.assert_allclose(values[seen], (expected * share)[seen], atol=0.004)
    bright = seen & (reflectance[0] > DARK + 0.03)
    for where, there in zip((x, y), mercator(*PLACES[name]), strict=True):
        off_m = np.average(where[bright], weights=reflectance[0][bright] - DARK) - there
        assert abs(off_m) < 0.1 * PIXEL_M
    mask = read_mask(folder.mask(row["split"], name)) == 1
    assert (reflectance[0][mask].min(), reflectance[0][~mask & seen].max()) == pytest.approx((0.3, 0.3), abs=0.02)


def test_a_tile_that_is_not_there_is_asked_for_once_by_each_of_its_names(made):
    asked_for = {path: count for path, count in made["asked"].items() if "/26P" in path}
    assert asked_for == {f"/{QUARTER}/{name}/B04.tif": 1 for name in ("26PLS_0_0", "26PLT_0_1")}


def test_only_the_blocks_that_are_needed_go_over_the_wire(tmp_path):
    """Of 3 x 3 blocks with data one is needed: a request for each band's header, and one for the block."""
    name = "21LZL_0_0"
    draw_tile(tmp_path / QUARTER, Drawn(name, 32721, 799_980, 9_100_000, *PLACES["edge"]), 9000, cog=True)
    (middle,) = blocks_under(name, Grid(14).windows_around(np.array([mercator(*PLACES["edge"]) * 2])), Grid(14))
    whole, needed = 0, 0
    for path in tmp_path.rglob("*.tif"):
        with rasterio.open(path) as file:
            windows = [Window(n % 40 * 256, n // 40 * 256, 256, 256) for n in middle.tolist()]
            needed += sum(size for _, size in block_extents(file, 1, windows))
            rows = len({window.row_off // 1024 for window in windows})
        whole += path.stat().st_size
    with mirror(tmp_path) as url:
        client = Web(Server(url.removeprefix("http://")), max_rps=1000, tries=2, connections=1)
        cache = TileCache(tmp_path / "cache")
        record = TileFetcher(client, f"{url}/{QUARTER}", "m", cache).fetch(name, middle)
    assert record.status == "covered"
    assert client.traffic.requests == 4 * (1 + rows)
    assert needed < client.traffic.received_bytes < needed + 4 * 70_000
    assert client.traffic.received_bytes < 0.6 * whole


def test_a_second_run_asks_nothing(made):
    assert made["again"].status == 0
    assert made["asked again"] == made["asked"]
    assert "0 requests sent, 0.0 MB of tiles received" in made["again"].printed


def test_other_chips_from_the_same_blocks_ask_nothing(made, cut, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(made["workspace"].root, root)
    shutil.rmtree(root / "segmentation")
    done = cut(root, "http://127.0.0.1:9", "--encoding=published")
    assert done.status == 0, done.printed
    assert "0 requests sent" in done.printed
    assert windows_of(Workspace(root))["written"].sum() == 3


def test_faults_are_survived_to_the_same_chips(made, cut, files, tmp_path):
    shares = {"429": 0.1, "503": 0.1, "reset": 0.1, "truncated": 0.1}
    with mirror(files, Faults(shares=shares, seed=3)) as url:
        done = cut(tmp_path / "data", url)
    assert done.status == 0, done.printed
    calm = digests_under(made["workspace"].root / "segmentation")
    assert digests_under(tmp_path / "data" / "segmentation") == calm


def test_a_tile_lost_for_good_is_a_failure_until_the_next_run(made, cut, files, tmp_path):
    rules = (Rule("503", "21MXQ_0_0/B08"), Rule("corrupt block", "60KYF_1_0/B03", first=2))
    with mirror(files, Faults(rules=rules)) as url:
        done = cut(tmp_path / "data", url, "--tries=2")
    assert done.status == 1
    assert "failed: fiji, corner" in done.printed, done.printed
    assert "error: 2 windows lost to failed downloads; run the same command again" in done.printed
    tiles = gpd.read_file(Workspace(tmp_path / "data").year(YEAR).windows, layer="tiles").set_index("tile")
    assert "503" in tiles.loc["21MXQ_0_0", "reason"]
    with mirror(files) as url:
        assert cut(tmp_path / "data", url).status == 0
        again = asked(url)
    assert {path.split("/")[3] for path in again} == {"21MXQ_0_0", "60KYF_1_0"}
    calm = digests_under(made["workspace"].root / "segmentation")
    assert digests_under(tmp_path / "data" / "segmentation") == calm


def test_a_wrong_address_is_no_gap_in_coverage(cut, files, tmp_path):
    with mirror(files) as url:
        done = cut(tmp_path / "data", url, "--quarter=Q1")
        assert done.status == 2
        assert "tiles asked for is at " + url + "/2021/Q1: check --sentinel2-url, year and --quarter" in done.printed
    assert not (tmp_path / "data" / "tiff_tiles").exists()


def test_what_a_run_would_take_is_told_beforehand(made, cut, tmp_path):
    fresh = cut(tmp_path / "data", "http://127.0.0.1:9", "--plan")
    assert fresh.status == 0, fresh.printed
    assert f"{'tiles needed':<44}" in fresh.printed
    known = cut(made["workspace"].root, "http://127.0.0.1:9", "--plan")
    assert f"{'  to fetch':<44}{0:>12}" in known.printed


def test_years_before_the_mosaics_are_refused(cut, tmp_path):
    done = cut(tmp_path, "http://127.0.0.1:9", year=2016)
    assert done.printed == "error: year 2016 is out of range: the Sentinel-2 mosaics begin in 2017\n"
