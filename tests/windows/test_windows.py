"""The plan of a year's windows, and the record of what was seen."""

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from helpers.quads import AMAZON_COL, AMAZON_ROW, PIXEL_M, world_to_mercator

from segmentation.core.errors import PipelineError
from segmentation.geo.geopackage import read_metadata
from segmentation.geo.grid import Grid, boxes, quad_name
from segmentation.imagery.cache import NOT_COVERED
from segmentation.windows.plan import as_windows, full_resolution, keep_former_splits, plan_windows, splits_fingerprint
from segmentation.windows.record import (
    VALID_GROUND,
    Footprint,
    quads_by_window,
    read_windows,
    write_windows,
    written_fingerprint,
)
from segmentation.windows.splits import assign_splits
from segmentation.windows.statuses import WRITTEN

GRID = Grid()


def mines(*places, size_px=80):
    """Square mines at pixels of an Amazonian quad, EPSG:3857."""
    squares = []
    for col, row in places:
        x, y = world_to_mercator(AMAZON_COL + col, AMAZON_ROW + row)
        squares.append(shapely.box(x, y - size_px * PIXEL_M, x + size_px * PIXEL_M, y))
    return gpd.GeoDataFrame({"id": [str(i) for i in range(len(places))]}, geometry=squares, crs="EPSG:3857")


@pytest.fixture
def plan():
    return plan_windows(mines((1000, 1000), (1200, 1000), (4090, 1000), (4090, 4090), (3000, 3000)), GRID)


def test_every_polygon_has_its_window_in_the_same_order(plan):
    assert plan["id"].tolist() == list("01234")
    assert plan["side_px"].tolist() == [512] * 5
    assert plan["col"].tolist()[0] == AMAZON_COL + 1040 - 256
    assert plan["row"].tolist()[0] == AMAZON_ROW + 1040 - 256
    assert plan.crs == "EPSG:3857"
    assert shapely.equals(plan.geometry.values, boxes(GRID.window_bounds(as_windows(plan)))).all()


@pytest.fixture(params=[False, True], ids=["resampled", "native"])
def lopsided(request):
    """Twenty windows in one cluster and two alone: the plan, and the one that a former version would have made."""
    cluster = [(1000 + 10 * place, 1000) for place in range(20)]
    polygons = mines(*cluster, (3000, 3000), (200, 3500), size_px=300)
    seeds = range(20)
    for seed in seeds:
        plan = plan_windows(polygons, GRID, seed=seed)
        former = plan.assign(
            split=assign_splits(plan["id"].to_numpy(str), plan["group"].to_numpy(), seed=seed, dominant_to_train=False)
        )
        if former["split"][0] != "train":
            break
    if request.param:
        plan, former = full_resolution(plan, GRID), full_resolution(former, GRID)
    return plan, former, seed


def test_a_workspace_keeps_the_splits_that_it_was_made_with(lopsided, caplog):
    plan, former, seed = lopsided
    assert (plan["split"] != former["split"]).any()
    kept = keep_former_splits(plan, frozenset({splits_fingerprint(former), "of another"}), frozenset(), seed)
    assert kept["split"].tolist() == former["split"].tolist()
    assert "keeps the splits that it was made with" in caplog.text


def test_a_workspace_without_former_splits_gets_those_that_can_be_trained_on(lopsided, caplog):
    plan, former, seed = lopsided
    both = {splits_fingerprint(plan), splits_fingerprint(former)}
    for recorded in (set(), {"of another"}, both):
        assert keep_former_splits(plan, frozenset(recorded), frozenset(), seed) is plan
    assert not caplog.text


def test_windows_that_overlap_share_group_and_split(plan):
    groups = plan["group"].tolist()
    assert groups[0] == groups[1]
    assert len(set(groups)) == 4
    assert plan["split"][0] == plan["split"][1]
    assert set(plan["split"]) <= {"train", "val", "test"}


def test_the_plan_does_not_depend_on_the_polygons_crs():
    given = mines((1000, 1000), (2000, 500))
    planned = plan_windows(given, GRID)
    again = plan_windows(given.to_crs("EPSG:4326"), GRID)
    assert planned.drop(columns="geometry").equals(again.drop(columns="geometry"))


def test_chosen_polygons_are_tested_on():
    places = [(1000 * i, 1000 * j) for i in range(5) for j in range(5)]
    chosen = frozenset({"3", "17"})
    planned = plan_windows(mines(*places), GRID, chosen)
    assert set(planned.loc[planned["split"] == "test", "id"]) == chosen


def test_a_polygon_as_wide_as_a_country_is_refused_by_name():
    wide = gpd.GeoDataFrame(
        {"id": ["pit", "brazil"]},
        geometry=[shapely.box(0, 0, 100, 100), shapely.box(-6e6, -2e6, -5e6, -1e6)],
        crs="EPSG:3857",
    )
    with pytest.raises(PipelineError, match=r"polygon 'brazil' needs a window of \d+ px.*1 such"):
        plan_windows(wide, GRID)


def test_the_fingerprint_of_the_splits_follows_seed_and_choice():
    given = mines(*[(1000 * i, 1000 * j) for i in range(5) for j in range(5)])
    prints = [splits_fingerprint(plan_windows(given, GRID, *more)) for more in ((), (), (frozenset({"3"}),))]
    assert prints[0] == prints[1] != prints[2]
    assert splits_fingerprint(plan_windows(given, GRID, seed=7)) != prints[0]


def test_the_quads_of_each_window_are_listed(plan):
    listed = quads_by_window(as_windows(plan), GRID).groupby("window")["name"].agg(set).tolist()
    assert listed[0] == {"680-1018"}
    assert listed[2] == {"680-1018", "681-1018"}
    assert listed[3] == {"680-1018", "681-1018", "680-1017", "681-1017"}


def test_what_was_seen_is_kept_and_read_again(tmp_path, plan):
    cut = plan.assign(
        status=[WRITTEN, WRITTEN, NOT_COVERED, WRITTEN, WRITTEN],
        valid_share=[1.0, 0.7, 0.0, 1.0, 1.0],
        mine_share=[0.1, 0.2, np.nan, 0.0, 0.3],
    )
    quads = gpd.GeoDataFrame(
        {"name": [quad_name(680, 1018)], "mosaic": ["m"], "status": ["covered"], "reason": [""]},
        geometry=boxes(GRID.quad_bounds(680, 1018)),
        crs="EPSG:3857",
    )
    path = tmp_path / "2019" / "windows.gpkg"
    footprint = Footprint("quad", quads, quads_by_window(as_windows(cut), GRID))
    seen = gpd.GeoDataFrame({"id": ["1"]}, geometry=[cut.geometry[1].buffer(-100)], crs="EPSG:3857")
    write_windows(path, cut, footprint, GRID, {"mosaic": "m", "level": "15"}, ground=seen)

    again = read_windows(path, 2019)
    kept = ["id", "split", "group", "col", "row", "side_px", "status", "valid_share"]
    for column in kept:
        assert again[column].tolist() == cut[column].tolist(), column
    assert again["mine_share"].isna().tolist() == cut["mine_share"].isna().tolist()
    assert again["written"].tolist() == [True, True, False, True, True]
    assert again["quads"].tolist()[0] == "680-1018"
    assert again["pixel_3857_m"].to_numpy() == pytest.approx(PIXEL_M)
    assert again.crs == "EPSG:3857"
    assert shapely.equals(again.geometry.values, cut.geometry.values).all()
    assert pyogrio.list_layers(path)[:2, 0].tolist() == ["windows", "quads"]
    assert read_metadata(path)["mosaic"] == "m"
    assert read_metadata(path)["windows"].startswith("4 of 5 written, sha256 ")
    kept_ground = gpd.read_file(path, layer=VALID_GROUND)
    assert kept_ground["id"].tolist() == ["1"]
    assert kept_ground.crs == "EPSG:3857"
    assert shapely.equals(kept_ground.geometry.values, seen.geometry.values).all()


def test_a_window_that_was_written_later_changes_the_fingerprint(plan):
    before = plan.assign(status=[WRITTEN, NOT_COVERED, NOT_COVERED, WRITTEN, WRITTEN])
    after = plan.assign(status=[WRITTEN, WRITTEN, NOT_COVERED, WRITTEN, WRITTEN])
    assert written_fingerprint(before) == written_fingerprint(before.copy())
    assert written_fingerprint(before) != written_fingerprint(after)
    assert written_fingerprint(after) != written_fingerprint(after.assign(col=after["col"] + 1))


def test_a_year_that_step_one_has_not_seen_is_told_what_to_do(tmp_path):
    with pytest.raises(PipelineError, match="no windows of 2019 .*segmentation_dataset_generation.py -year=2019 first"):
        read_windows(tmp_path / "windows.gpkg", 2019)


def test_large_windows_become_chips_of_full_resolution():
    given = mines((1000, 1000), (2000, 3000), (3000, 1000), size_px=80)
    given.loc[2, "geometry"] = given.geometry[2].buffer(3000)
    given["id"] = ["1", "2", "large"]
    plan = plan_windows(given, GRID)
    chips = full_resolution(plan, GRID)
    large = chips[chips["polygon"] == "large"]
    across = int(plan["side_px"].iloc[2]) // 512
    assert across > 2
    assert len(large) == across**2
    assert (chips["side_px"] == 512).all()
    assert chips["id"].is_unique
    assert large["id"].tolist()[:2] == ["large_0_0", "large_0_1"]
    assert large.total_bounds == pytest.approx(plan.geometry[2].bounds)
    assert set(zip((large["col"] - plan["col"][2]) // 512, (large["row"] - plan["row"][2]) // 512, strict=True)) == {
        (col, row) for col in range(across) for row in range(across)
    }
    assert large.geometry.area.sum() == pytest.approx(plan.geometry[2].area)
    assert chips[chips["polygon"] != "large"]["id"].tolist() == plan["id"].tolist()[:2]
    for column in ("split", "group"):
        assert (chips[column].to_numpy() == plan.set_index("id").loc[chips["polygon"], column].to_numpy()).all()


def test_a_chip_that_would_take_another_polygons_name_is_refused():
    given = mines((1000, 1000), (2000, 3000), size_px=80)
    given["geometry"] = given.geometry.buffer(3000)
    given["id"] = ["7", "7_0_1"]
    given.loc[1, "geometry"] = given.geometry[1].centroid.buffer(100)
    with pytest.raises(PipelineError, match="'7_0_1' of a large window has the name of another polygon"):
        full_resolution(plan_windows(given, GRID), GRID)
