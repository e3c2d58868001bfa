"""Chips from a STAC API: a real server with drawn scenes, and step 1 as a user starts it."""

import logging

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from helpers import stac_standin, step_1
from helpers.quads import HALF_WORLD_M
from helpers.stac_standin import (
    BARE_GROUND,
    COLLECTION,
    FOREST,
    NOISE,
    PLANETARY_COMPUTER,
    Scene,
    Storage,
    Tile,
    stac_api,
)
from pyproj import Transformer

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import CHIP_PX, Grid, lonlat_to_mercator
from segmentation.imagery.cache import FAILED, NOT_COVERED
from segmentation.imagery.rasters.scales import Reflectance
from segmentation.imagery.source import Prepared
from segmentation.imagery.stac.catalogue import Catalogue
from segmentation.imagery.stac.looks import STUDY_SEASON, SceneSelection, Season
from segmentation.imagery.stac.source import StacImagery
from segmentation.windows.plan import as_windows, plan_windows

pytestmark = pytest.mark.skipif(stac_standin.server_program() is None, reason="rustac is not installed")

GRID = Grid(14)
LON, LAT = 25.38, -10.7
TILE = Tile(32735, 317120.0, 8822260.0, 1100)
SIGNATURE = "yDOn0t-KeepMe"


def disk(lon, lat, radius_px, dx=0.0, dy=0.0):
    """A disk around a place (and some grid pixels beside it), EPSG:3857."""
    x, y = lonlat_to_mercator(lon, lat)
    return shapely.Point(x + dx * GRID.pixel_m, y + dy * GRID.pixel_m).buffer(radius_px * GRID.pixel_m, quad_segs=64)


MINE = disk(LON, LAT, 45.3)
# Far enough apart for their windows to differ; all in the scenes' tile.
LARGE = disk(LON, LAT, 160.7)
SCENES = [
    Scene("2019-06-05", cloud=1, clouds=0.5),
    Scene("2019-07-01", cloud=5),
    Scene("2019-07-11", cloud=10, baseline="05.00", shift=1000, listed=-0.1, taken_off=False),
    Scene("2019-08-01", cloud=15, baseline="05.00", listed=-0.1, taken_off=False),
    Scene("2019-09-01", cloud=20, baseline="05.00", listed=0.0, taken_off=True),
    Scene("2019-10-01", cloud=25, haze=0.3),
    Scene("2019-11-01", cloud=90, haze=0.5),
    *(Scene(day) for day in ("2019-01-05", "2019-02-05", "2019-03-05")),
]
# GDAL remembers what it has read, and what it could not read: these are for one test each.
FLAKY, LOST, CUT = SCENES[-3:]


class Place:
    """Scenes in a storage; their items."""

    def __init__(self, folder, tiles, shape, scenes):
        self.storage = Storage(folder)
        grounds = [stac_standin.ground_of(tile, shape) for tile in tiles]
        self.items = [
            stac_standin.write_scene(folder, tiles[scene.tile], scene, grounds[scene.tile], self.storage.url)
            for scene in scenes
        ]

    def asked_of(self, scene):
        return [path for path in self.storage.files_asked() if f"/{scene.name}/" in path]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("scenes"), [TILE], MINE, SCENES)


@pytest.fixture(scope="module")
def served(place, tmp_path_factory):
    with stac_api(tmp_path_factory.mktemp("api"), place.items) as url:
        yield url


@pytest.fixture
def api(place, served):
    """The address of the API, with a storage that knows nothing of other tests."""
    place.storage.calm()
    return served


def plan_of(*shapes):
    names = [f"mine-{number}" for number in range(len(shapes))]
    return plan_windows(gpd.GeoDataFrame({"id": names}, geometry=list(shapes), crs="EPSG:3857"), GRID)


def source(url, folder, season=STUDY_SEASON, looks=3, **options):
    options = {"threads": 2, "tries": 3, "quiet": True} | options
    return StacImagery(
        Catalogue(url, COLLECTION, max_rps=1000, tries=3), 2019, SceneSelection(season, looks), folder, **options
    )


def composites(imagery, plan):
    """What a source makes of a plan: the pixels of every window, None where it says there are none."""
    windows = as_windows(plan)
    imagery.connect(windows)
    problems = {item.position: item.problem for item in imagery.prepare(windows)}
    imagery.close()
    reader, squares = imagery.reader(), plan[["col", "row", "side_px"]].to_numpy().tolist()
    return [None if problems[n] else reader.read(*square) for n, square in enumerate(squares)]


def assert_found(pixels, shape, window, band=0):
    """Centre and half width (the root of the area) of a shape within a quarter of a chip's pixel."""
    assert pixels.valid.all()
    weights = (pixels.reflectance[band] - FOREST[band]) / (BARE_GROUND[band] - FOREST[band])
    chip_m = GRID.pixel_m * window["side_px"] / CHIP_PX
    x = (shape.centroid.x + HALF_WORLD_M - window["col"] * GRID.pixel_m) / chip_m
    y = (HALF_WORLD_M - shape.centroid.y - window["row"] * GRID.pixel_m) / chip_m
    at = np.arange(CHIP_PX) + 0.5
    weights[np.hypot(at - x, at[:, None] - y) > np.sqrt(shape.area) / chip_m] = 0  # the noise around the shape
    found = np.array([(weights * at).sum(), (weights * at[:, None]).sum()]) / weights.sum()
    assert np.hypot(*(found - [x, y])) < 0.25
    assert abs(np.sqrt(weights.sum()) - np.sqrt(shape.area) / chip_m) < 0.25


@pytest.mark.parametrize("side_px", [512, 1024])
def test_a_shape_is_found_where_it_was_drawn(api, tmp_path, side_px):
    [window] = plan_of(MINE if side_px == CHIP_PX else LARGE).to_dict("records")
    assert window["side_px"] == side_px, "the case must be what it is called"
    [pixels] = composites(source(api, tmp_path), plan_of(MINE if side_px == CHIP_PX else LARGE))
    for band in range(4):
        assert_found(pixels, MINE, window, band)


def test_reflectance_is_the_same_however_it_is_stored(api, tmp_path):
    """No offset, one that has to be subtracted, one wrongly listed, one said to be subtracted."""
    seen = []
    for first, last in (("07-01", "07-05"), ("07-06", "07-20"), ("08-01", "08-31"), ("09-01", "09-30")):
        [pixels] = composites(source(api, tmp_path, Season(first, last)), plan_of(MINE))
        seen.append(pixels.reflectance)
    for other in seen[1:]:
        np.testing.assert_allclose(other, seen[0], atol=1e-4)
    np.testing.assert_allclose(seen[0][:, 100, 256], FOREST, atol=NOISE)
    np.testing.assert_allclose(seen[0][:, 256, 256], BARE_GROUND, atol=NOISE)


def test_clouds_are_masked_and_the_least_cloudy_scenes_taken(place, api, tmp_path):
    imagery = source(api, tmp_path)
    plan = plan_of(MINE)
    [pixels] = composites(imagery, plan)
    assert pixels.valid.all()
    assert pixels.reflectance.max() < 0.5, "no cloud is left"
    touched = imagery.footprint(as_windows(plan)).touched
    assert touched["name"].tolist() == [scene.name for scene in SCENES[:4]]
    assert not place.asked_of(SCENES[4]), "the looks before are enough"


def test_a_scene_under_cloud_costs_its_classes_alone(place, api, tmp_path):
    west = disk(LON - 0.024, LAT, 10)  # its window shows nothing but cloud in the first scene
    composites(source(api, tmp_path, Season("06-01", "06-30")), plan_of(west))
    assert {path.rpartition("/")[2] for path in place.asked_of(SCENES[0])} == {"scl.tif"}


def test_where_there_is_only_cloud_there_is_no_data(api, tmp_path):
    plan = plan_of(MINE)
    [pixels] = composites(source(api, tmp_path, Season("06-01", "06-30")), plan)
    cloud_ends = TILE.west + SCENES[0].clouds * TILE.side_px * stac_standin.PIXEL_M
    row = plan["row"][0] + 256.5
    cols = plan["col"][0] + np.flatnonzero(pixels.valid[256]) + 0.5
    to_utm = Transformer.from_crs(3857, TILE.epsg, always_xy=True)
    x, _ = to_utm.transform(cols * GRID.pixel_m - HALF_WORLD_M, np.full(len(cols), HALF_WORLD_M - row * GRID.pixel_m))
    assert cloud_ends + 30 < x.min() < cloud_ends + 60, "clouds fade out"
    assert len(x) == CHIP_PX - np.argmax(pixels.valid[256])
    assert pixels.reflectance[:, ~pixels.valid].max() == 0
    np.testing.assert_allclose(pixels.reflectance[:, 100, 500], FOREST, atol=NOISE)


def test_what_a_mask_missed_does_not_pass_the_median(api, tmp_path):
    hazy = Season("09-01", "10-30")  # two scenes, one of them with haze: their median is between
    [between] = composites(source(api, tmp_path / "two", hazy), plan_of(MINE))
    assert between.reflectance[0, 100, 256] == pytest.approx(FOREST[0] + 0.15, abs=NOISE)
    [clear] = composites(source(api, tmp_path / "three", Season("08-01", "10-30")), plan_of(MINE))
    assert clear.reflectance[0, 100, 256] == pytest.approx(FOREST[0], abs=NOISE)


def test_scenes_of_two_zones_meet_without_a_seam(tmp_path):
    lon, lat = 30.0, -6.0
    shape = disk(lon, lat, 60.2, 0.4, 0.3)
    tiles = [Tile(32735, 826200.0, 9339500.0, 700), Tile(32736, 166700.0, 9339500.0, 700)]
    days = ("2019-07-01", "2019-07-06")
    scenes = [Scene(day, tile=tile, time=f"08:3{tile}:00") for day in days for tile in (0, 1)]
    where = Place(tmp_path / "files", tiles, shape, scenes)
    plan = plan_of(shape)
    with stac_api(tmp_path / "api", where.items) as url:
        imagery = source(url, tmp_path / "cache")
        [pixels] = composites(imagery, plan)
    assert_found(pixels, shape, plan.iloc[0])
    used = imagery.footprint(as_windows(plan)).pieces
    assert len(used) == 4, "both zones give pixels, of both days"
    assert used["day"].tolist() == [scene.day for scene in sorted(scenes, key=lambda scene: scene.name)]


def test_a_window_at_the_antimeridian_is_read_on_its_side(tmp_path):
    shape = disk(-179.985, -17.0, 40.4)
    where = Place(tmp_path / "files", [Tile(32701, 181000.0, 8122000.0, 800)], shape, [Scene("2019-07-01")])
    plan = plan_of(shape)
    assert plan["col"].tolist() == [0]
    with stac_api(tmp_path / "api", where.items) as url:
        [pixels] = composites(source(url, tmp_path / "cache"), plan)
    seen = pixels.valid & (pixels.reflectance[0] > FOREST[0] + 0.01)
    assert seen.any()
    row, col = np.argwhere(seen).mean(axis=0) + 0.5
    assert col == pytest.approx((shape.centroid.x + HALF_WORLD_M) / GRID.pixel_m, abs=0.5)
    assert row == pytest.approx((HALF_WORLD_M - shape.centroid.y) / GRID.pixel_m - plan["row"][0], abs=0.5)


def test_a_season_has_its_first_and_its_last_day_and_no_other(tmp_path):
    inside = [("2019-06-01", "00:00:01"), ("2019-11-30", "23:59:58")]
    outside = [("2019-05-31", "23:59:59"), ("2019-12-01", "00:00:00"), ("2018-07-01", "08:00:00")]
    tile = Tile(32735, 318500.0, 8822500.0, 100)
    scenes = [Scene(day, time=time) for day, time in inside + outside]
    where = Place(tmp_path / "files", [tile], MINE, scenes)
    with stac_api(tmp_path / "api", where.items) as url:
        catalogue = Catalogue(url, COLLECTION, max_rps=1000)
        catalogue.connect()
        found = catalogue.scenes(np.array([25.3, -10.8, 25.4, -10.6]), *STUDY_SEASON.of(2019))
    assert [item.id for item in found] == [scene.name for scene in scenes[:2]]


def test_more_scenes_than_a_page_holds_are_found(place, tmp_path):
    many = [place.items[0] | {"id": f"{number:03d}"} for number in range(230)]
    with stac_api(tmp_path, many) as url:
        catalogue = Catalogue(url, COLLECTION, max_rps=1000)
        catalogue.connect()
        assert len(catalogue.scenes(np.array([25.3, -10.8, 25.4, -10.6]), *STUDY_SEASON.of(2019))) == 230


def test_a_window_without_scenes_is_not_observed_and_not_asked_for_again(place, api, tmp_path):
    sea = plan_of(disk(LON + 3, LAT, 20))
    assert composites(source(api, tmp_path), sea) == [None]
    again = source(api, tmp_path)
    again._catalogue.connect = lambda: pytest.fail("nothing is left to ask")
    assert list(again.prepare(as_windows(sea))) == [Prepared(0, NOT_COVERED)]
    assert again.footprint(as_windows(sea)).pieces.empty
    assert place.storage.asked == []


def test_a_source_that_nobody_has_connected_finds_out_what_it_needs_by_itself(api, tmp_path):
    sea = as_windows(plan_of(disk(LON + 3, LAT, 20)))
    imagery = source(api, tmp_path)
    assert list(imagery.prepare(sea)) == [Prepared(0, NOT_COVERED)]
    imagery.close()


def test_faults_of_the_storage_are_survived(place, api, tmp_path):
    place.storage.faults += [503, "reset", None, 429, None, None, 503, "reset"]
    [pixels] = composites(source(api, tmp_path, Season("01-01", "01-31"), tries=5), plan_of(MINE))
    assert pixels.valid.all()
    assert not place.storage.faults
    assert len(place.asked_of(FLAKY)) > 8


def test_a_lost_scene_is_a_failed_window_and_no_other(place, api, tmp_path, caplog):
    plan = plan_of(MINE, disk(LON + 3, LAT, 20))
    place.storage.broken[f"/{LOST.name}/blue.tif"] = 0
    imagery = source(api, tmp_path, Season("02-01", "02-28"), tries=1)
    imagery.connect(as_windows(plan))
    problems = {item.position: item.problem for item in imagery.prepare(as_windows(plan))}
    assert problems == {0: FAILED, 1: NOT_COVERED}
    assert f"scene {LOST.name}: HTTP response code: 503" in caplog.text


def test_scenes_of_unknown_scale_are_not_made_white_by_a_wrong_one(tmp_path, caplog):
    tile = Tile(32735, 318500.0, 8822500.0, 100)
    where = Place(tmp_path / "files", [tile], MINE, [Scene("2019-07-01", baseline="", listed=None)])
    middle = tile.outline().centroid
    plan = plan_of(disk(middle.x, middle.y, 20))
    with stac_api(tmp_path / "api", where.items) as url:
        imagery = source(url, tmp_path / "cache", reflectance=Reflectance(0.5))
        imagery.connect(as_windows(plan))
        assert [item.problem for item in imagery.prepare(as_windows(plan))] == [FAILED]
        assert "is no ground's; say it with --reflectance-scale (0.0001 where" in caplog.text
        # Nothing was made, so that the right one is no mixture.
        [pixels] = composites(source(url, tmp_path / "cache", reflectance=Reflectance(1e-4)), plan)
    assert 0.02 < pixels.reflectance[0][pixels.valid].mean() < 0.1


def test_a_scene_that_breaks_off_in_its_middle_is_lost(place, api, tmp_path):
    place.storage.broken[f"/{CUT.name}/red.tif"] = 2  # its head comes, its pixels do not
    imagery = source(api, tmp_path, Season("03-01", "03-31"), tries=1)
    plan = as_windows(plan_of(MINE))
    imagery.connect(plan)
    assert [item.problem for item in imagery.prepare(plan)] == [FAILED]


def test_composites_do_not_depend_on_the_order_of_events(api, tmp_path):
    plan = plan_of(MINE, disk(LON + 0.006, LAT, 10))
    season = Season("07-01", "07-20")
    for threads in (1, 2):
        composites(source(api, tmp_path / str(threads), season, looks=2, threads=threads), plan)
    one, two = (step_1.digests_under(tmp_path / str(threads)) for threads in (1, 2))
    assert one == two
    assert len(one) == 2 + 4, "composites, settings, windows, scenes, offsets"


def test_a_forecast_counts_what_is_there(api, tmp_path):
    plan = plan_of(MINE, disk(LON + 0.006, LAT, 10), disk(LON + 3, LAT, 20))
    before = source("http://127.0.0.1:9", tmp_path, looks=1).forecast(as_windows(plan))
    assert (before.pieces, before.missing, before.requests) == (3, 3, 3 + 2)
    composites(source(api, tmp_path, looks=1), plan.iloc[[0, 2]].reset_index(drop=True))
    after = source(api, tmp_path, looks=1).forecast(as_windows(plan))
    assert (after.covered, after.not_covered, after.missing, after.requests) == (1, 1, 1, 3 + 1)
    assert 0 < after.kept_bytes < before.kept_bytes


def test_other_composites_are_not_mixed_in(api, tmp_path):
    plan = plan_of(disk(LON + 3, LAT, 20))
    composites(source(api, tmp_path, looks=2), plan)
    with pytest.raises(PipelineError, match="looks was 2, is now 3"):
        composites(source(api, tmp_path, looks=3), plan)


def test_what_is_no_stac_api_is_said_at_once(place, api, tmp_path):
    windows = as_windows(plan_of(MINE))
    with pytest.raises(PipelineError, match="no STAC API answers at http://127.0.0.1:9"):
        source("http://127.0.0.1:9", tmp_path, tries=1).connect(windows)
    with pytest.raises(PipelineError, match="no STAC API answers at"):
        source(place.storage.url, tmp_path).connect(windows)
    imagery = StacImagery(
        Catalogue(api, "landsat-9", max_rps=1000, tries=1), 2019, SceneSelection(STUDY_SEASON), tmp_path
    )
    with pytest.raises(PipelineError, match=f"no collection 'landsat-9' at {api}; it has {COLLECTION}"):
        imagery.connect(windows)


@pytest.fixture(scope="module")
def planetary_scenes(tmp_path_factory):
    """Scenes as the Planetary Computer has them: other names, offsets left in and unlisted, tokens needed."""
    scene = {"assets": PLANETARY_COMPUTER, "listed": None}
    scenes = [Scene("2019-07-01", **scene), Scene("2022-07-01", baseline="04.00", shift=1000, **scene)]
    where = Place(tmp_path_factory.mktemp("planetary"), [TILE], MINE, scenes)
    with stac_api(tmp_path_factory.mktemp("planetary-api"), where.items) as url:
        yield where, url


@pytest.fixture
def planetary(planetary_scenes):
    planetary_scenes[0].storage.calm()
    return planetary_scenes


def leaked(folder):
    return [path for path in folder.rglob("*") if path.is_file() and SIGNATURE.encode() in path.read_bytes()]


def test_tokens_open_files_and_are_renewed_when_refused(planetary, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="segmentation")  # whatever level a command has set
    where, url = planetary
    where.storage.signature = f"{SIGNATURE}-1"
    imagery = source(url, tmp_path, looks=1, sas_url=where.storage.sas_url)
    west, east = plan_of(disk(LON - 0.006, LAT, 10)), plan_of(disk(LON + 0.006, LAT, 10))
    [first] = composites(imagery, west)
    where.storage.signature = f"{SIGNATURE}-2"
    [second] = composites(imagery, east)
    assert first.valid.all() and second.valid.all()
    assert sum("/token/" in path for _, path in where.storage.asked) == 2
    assert "?..." in caplog.text
    assert SIGNATURE not in caplog.text
    assert leaked(tmp_path) == []


def test_a_storage_that_refuses_every_token_loses_the_scene_and_no_secret(planetary, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    where, url = planetary
    where.storage.signature, where.storage.gives = "another", SIGNATURE
    imagery = source(url, tmp_path, tries=1, sas_url=where.storage.sas_url)
    plan = as_windows(plan_of(MINE))
    imagery.connect(plan)
    assert [item.problem for item in imagery.prepare(plan)] == [FAILED]
    imagery.close()
    assert "403" in caplog.text
    assert SIGNATURE not in caplog.text
    assert leaked(tmp_path) == []


def test_step_1_goes_on_where_a_storage_failed_it_and_then_asks_nothing(planetary, tmp_path):
    where, url = planetary
    where.storage.signature = SIGNATURE
    polygons = tmp_path / "polygons.gpkg"
    names = ["mine", "neighbour", "elsewhere"]
    shapes = [MINE, disk(LON + 0.003, LAT, 10), disk(LON + 3, LAT, 10)]
    gpd.GeoDataFrame({"id": names}, geometry=shapes, crs="EPSG:3857").to_crs("EPSG:4326").to_file(polygons)
    options = ("--imagery", f"stac:{url}#{COLLECTION}", "--sas-url", where.storage.sas_url, "--looks", 1, "--tries", 1)

    def run():
        where.storage.asked.clear()
        return step_1.run(tmp_path / "data", polygons, None, *options, "--verbose")

    where.storage.broken[f"/{Scene('2019-07-01').name}/B03.tif"] = 0
    lost = run()
    assert lost.status == 1, lost.printed
    assert "2 windows lost to failed downloads; run the same command again" in lost.printed
    assert "not covered: elsewhere" in lost.printed
    where.storage.broken.clear()
    done = run()
    assert done.status == 0, done.printed
    assert where.storage.asked
    again = run()
    assert (again.status, where.storage.asked) == (0, []), again.printed
    assert all(SIGNATURE not in said.printed for said in (lost, done, again))
    assert leaked(tmp_path) == []

    folder = tmp_path / "data" / "segmentation" / "2019"
    [chip] = folder.glob("img_dir/*/mine.tif")
    [mask] = folder.glob("ann_dir/*/mine.tif")
    with rasterio.open(chip) as image, rasterio.open(mask) as drawn:
        red = image.read(1) * image.scales[0] + image.offsets[0]
        assert image.transform == drawn.transform
        bare = red > (FOREST[0] + BARE_GROUND[0]) / 2
        mine = drawn.read(1) == 1
    assert (bare != mine).sum() < 0.02 * mine.sum()
    windows = gpd.read_file(folder / "windows.gpkg", layer="windows").set_index("id")
    assert windows.loc["mine", "mosaic"] == f"{COLLECTION} 2019-06-01/2019-11-30"
    assert windows.loc["mine", "scenes"] == Scene("2019-07-01").name
    assert windows.loc["elsewhere", "status"] == NOT_COVERED
    assert len(gpd.read_file(folder / "windows.gpkg", layer="scenes")) == 1


def test_logins_and_proxies_of_the_environment_do_not_reach_a_storage_on_this_machine(planetary, tmp_path, monkeypatch):
    where, url = planetary
    where.storage.signature = SIGNATURE
    polygons = tmp_path / "polygons.gpkg"
    gpd.GeoDataFrame({"id": ["mine"]}, geometry=[MINE], crs="EPSG:3857").to_crs("EPSG:4326").to_file(polygons)
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    for name in ("no_proxy", "NO_PROXY", "NETRC"):
        monkeypatch.delenv(name)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GDAL_HTTP_USERPWD", "me:secret")
    monkeypatch.setenv("GDAL_HTTP_HEADERS", "X-Login: secret")
    options = ("--imagery", f"stac:{url}#{COLLECTION}", "--sas-url", where.storage.sas_url, "--looks", 1, "--tries", 1)
    done = step_1.run(tmp_path / "data", polygons, None, *options, "--verbose")
    assert done.status == 0, done.printed
    assert where.storage.files_asked()
    assert where.storage.logins == []
