"""``--plan``: what years would take, by requests and by bandwidth, and what is left of it."""

import shutil

import geopandas as gpd
import numpy as np
import pytest
import shapely
from helpers.quads import world_to_mercator
from helpers.step_1 import POLYGONS, QUADS, calm_run, polygons_file

from segmentation.geo.grid import QUAD_BLOCK_PX, Grid, Windows
from segmentation.geo.vectors.clean import Account
from segmentation.imagery.cache import COVERED, NOT_COVERED, PieceRecord, QuadCache
from segmentation.imagery.cost import YearPlan, cost_table
from segmentation.imagery.planet.source import WINDOWS_ONLY, PlanetImagery
from segmentation.imagery.source import Forecast
from segmentation.polygons.literature import LiteraturePolygons

GRID = Grid()
# Two windows in quad 680-1018, one in quad 700-1018, one in quad 720-1018.
AT = [(680, 600), (680, 700), (700, 600), (720, 600)]
WINDOWS = Windows(
    *(np.array(of) for of in zip(*((*np.add(GRID.quad_origin(x, 1018), place), 512) for x, place in AT), strict=True))
)
NOTHING = gpd.GeoDataFrame({"id": []})
LITERATURE = LiteraturePolygons(NOTHING, NOTHING, Account(read=45_000, dropped={"no geometry": 3}))


def row(what, value):
    return f"{what:<44}{value:>12}"


def forecast_of(folder, left=None, **options):
    return PlanetImagery(None, "mosaic", folder, **options).forecast(WINDOWS, left)


def put(folder, x, size, status=COVERED, blocks=None):
    cache = QuadCache(folder / "mosaic")
    cache.folder.mkdir(parents=True, exist_ok=True)
    if size:
        cache.path((x, 1018)).write_bytes(bytes(size))
    cache.keep((x, 1018), PieceRecord("mosaic", status, size=size, blocks=blocks))


def test_time_is_the_longer_of_requests_and_bandwidth():
    forecast = Forecast("quad", 42_280, 0, 0, 84_561, piece_bytes=100e6)
    plan = YearPlan(2019, np.full(45_000, 512), GRID.pixel_m, np.ones(45_000, bool), forecast)
    told = cost_table(LITERATURE, [plan], max_rps=5.0, bandwidth_mbit=100.0).splitlines()
    assert row("to download, at 100 MB a quad", "4,228.0 GB") in told
    assert row("  time for them at 5 a second", "4.70 h") in told
    assert row("  time to download at 100 Mbit/s", "93.96 h") in told
    assert row("time, at least (the longer of the two)", "93.96 h") in told
    told = cost_table(LITERATURE, [plan], max_rps=0.1, bandwidth_mbit=1e4).splitlines()
    assert row("time, at least (the longer of the two)", "234.89 h") in told


def test_windows_are_told_by_the_size_of_their_pixels():
    side_px = 512 * np.array([1, 1, 1, 2, 3, 5, 62])
    forecast = Forecast("quad", 9, 0, 0, 19, piece_bytes=1e8)
    plan = YearPlan(2019, side_px, GRID.pixel_m, side_px < 1000, forecast)
    told = cost_table(LITERATURE, [plan], max_rps=5, bandwidth_mbit=100).splitlines()
    assert told[2:8] == [
        row("windows", 7),
        row("  of 4.8 m pixels (full resolution)", 3),
        row("  of 9.6 m pixels", 1),
        row("  of 14.3 to 23.9 m pixels", 2),
        row("  of 296.2 m pixels", 1),
        row("  finished before", 4),
    ]


def test_years_are_told_one_by_one_and_together():
    forecasts = [
        Forecast("quad", 10, 2, 1, 15, piece_bytes=100e6, on_disk_bytes=0.2e9),
        Forecast("quad", 10, 0, 0, 21, piece_bytes=30e6, kept_bytes=0.0, spared=7),
    ]
    plans = [YearPlan(2018 + n, np.array([512]), GRID.pixel_m, np.array([True]), of) for n, of in enumerate(forecasts)]
    told = cost_table(LITERATURE, plans, max_rps=5, bandwidth_mbit=100).splitlines()
    assert [line.split()[0] for line in told[:3]] == ["year", "2018", "2019"]
    assert told[1].split()[1:] == ["1", "0", "7", "0.7", "GB", "0.9", "GB", "15", "0.02", "h"]
    assert row("quads needed", 20) in told
    assert row("  not needed any more", 7) in told
    assert row("  to fetch", 10) in told
    assert row("to download, at 79 MB a quad", "0.8 GB") in told
    assert row("on disk then", "0.9 GB") in told
    assert row("requests, at least", 36) in told


def test_blocks_of_windows_are_less_than_whole_quads(tmp_path):
    whole, parts = forecast_of(tmp_path), forecast_of(tmp_path, fetch=WINDOWS_ONLY)
    assert whole.download_bytes == pytest.approx(3 * 100e6)
    _, _, blocks = GRID.blocks_of(WINDOWS)
    assert parts.download_bytes == pytest.approx(len(blocks) * 100e6 / (4096 // QUAD_BLOCK_PX) ** 2)
    assert (whole.missing, parts.missing) == (3, 3)
    # As large as those on disk, of which 680-1018 has all that is needed.
    blocks = blocks.tolist()
    put(tmp_path, 680, 6000, blocks=list(range(60)))
    parts = forecast_of(tmp_path, fetch=WINDOWS_ONLY)
    assert (parts.covered, parts.missing) == (1, 2)
    assert parts.piece_bytes == pytest.approx(100 * 4)
    assert parts.disk_bytes == pytest.approx(6000 + 2 * 400)
    # A quad that lacks some is fetched again with those that it has.
    put(tmp_path, 700, 1000, blocks=[60, 61, 62])
    assert forecast_of(tmp_path, fetch=WINDOWS_ONLY).missing == 2


def test_discarded_quads_take_no_disk_and_those_of_finished_windows_are_not_fetched_again(tmp_path):
    assert forecast_of(tmp_path, discard=True).disk_bytes == 0
    put(tmp_path, 680, 0, blocks=[])  # discarded
    put(tmp_path, 700, 0, NOT_COVERED)
    all_left = forecast_of(tmp_path, discard=True)
    assert (all_left.pieces, all_left.covered, all_left.not_covered, all_left.missing) == (3, 0, 1, 2)
    left = np.array([False, False, True, False])
    done = forecast_of(tmp_path, left, discard=True)
    assert (done.pieces, done.not_covered, done.missing, done.spared, done.requests) == (3, 1, 0, 2, 0)
    # What is on disk of finished windows stays, what others need goes once they are cut.
    put(tmp_path, 680, 500)
    put(tmp_path, 720, 300)
    left = np.array([False, False, False, True])
    assert forecast_of(tmp_path, left, discard=True).disk_bytes == 500
    assert forecast_of(tmp_path, left).disk_bytes == 800


def test_a_plan_does_not_count_finished_windows(tmp_path, tmp_path_factory, step_1):
    base = tmp_path_factory.getbasetemp()
    calm_run(base)
    shutil.copytree(base / "calm" / "data" / "segmentation", tmp_path / "data" / "segmentation")
    told = step_1(tmp_path / "data", "--polygons", polygons_file(tmp_path), "--plan").printed
    assert row("windows", len(POLYGONS)) in told
    assert row("  finished before", len(POLYGONS) - 1) in told
    assert row("quads needed", QUADS) in told
    # That of the window which no key may see; nothing is known of it without the record of quads.
    assert row("  to fetch", 1) in told
    assert row("  not needed any more", QUADS - 1) in told


def test_a_plan_takes_several_years_and_speaks_up(tmp_path, step_1):
    west, south = world_to_mercator(680 * 4096, 1029 * 4096)
    squares = [shapely.box(west + n * 900, south, west + n * 900 + 900, south + 900) for n in range(6)]
    gpd.GeoDataFrame({"id": range(6)}, geometry=squares, crs="EPSG:3857").to_file(tmp_path / "squares.gpkg")
    command = (tmp_path / "data", "--polygons", tmp_path / "squares.gpkg", "--label-year=2018")
    done = step_1(*command, "--plan", "--bandwidth=50", year="2017-2018,2020")
    assert done.status == 0, done.printed
    assert row("windows", 3 * 6) in done.printed
    assert "time to download at 50 Mbit/s" in done.printed
    assert done.printed.count("warning: 6 of 6 polygons are rectangles") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("year", "options", "message"),
    [
        ("2017-2018", (), "-year names one year; several take --plan"),
        ("2018-2017", ("--plan",), "'2018-2017' ends before it begins"),
        ("2017", ("--bandwidth=10",), "--bandwidth is for --plan"),
        ("2017", ("--plan", "--bandwidth=0"), "'0' is not a number from 0.1"),
        ("2017", ("--plan", "--bandwidth=nan"), "'nan' is not a number from 0.1"),
    ],
)
def test_what_a_plan_cannot_take_is_one_line(tmp_path, step_1, year, options, message):
    done = step_1(tmp_path, *options, year=year)
    assert (done.status, len(done.printed.splitlines())) == (2, 1)
    assert message in done.printed
