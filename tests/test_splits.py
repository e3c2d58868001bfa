"""Splits without leakage: overlapping windows stay together, whatever else happens."""

import itertools

import numpy as np
import pyproj
import pytest
import shapely

from segmentation.errors import PipelineError
from segmentation.grid import Grid, Windows
from segmentation.splits import assign_splits, leakage_m2, overlap_groups, overlapping_pairs, read_test_ids

GRID = Grid()


def windows(*rows):
    return Windows(*np.array(rows, dtype="int64").reshape(-1, 3).T)


@pytest.fixture
def crowded(rng):
    """1500 windows of several sizes, crowded as mining districts are."""
    n = 1500
    side = 512 * rng.choice([1, 1, 1, 2, 4], n)
    col = 3_000_000 + rng.integers(0, 60_000, n)
    row = 4_200_000 + rng.integers(0, 60_000, n)
    return Windows(col, row, side), np.array([f"mine{i}" for i in range(n)])


def share_pixels(one, other):
    return all(max(a, b) < min(a + one[2], b + other[2]) for a, b in zip(one[:2], other[:2], strict=True))


def test_windows_overlap_where_they_share_a_pixel(crowded):
    places = np.column_stack([crowded[0].col, crowded[0].row, crowded[0].side_px])[:300]
    found = {tuple(pair) for pair in overlapping_pairs(windows(*places.tolist())).tolist()}
    naive = {(i, j) for i, j in itertools.combinations(range(300), 2) if share_pixels(places[i], places[j])}
    assert naive
    assert found == naive


@pytest.mark.parametrize(
    ("other", "together"),
    [((511, 0), True), ((512, 0), False), ((0, 512), False), ((512, 512), False), ((-511, 511), True)],
)
def test_windows_that_merely_touch_do_not_overlap(other, together):
    groups = overlap_groups(windows((1000, 1000, 512), (1000 + other[0], 1000 + other[1], 512)))
    assert (groups[0] == groups[1]) == together


def test_a_chain_of_overlaps_is_one_group():
    groups = overlap_groups(windows((0, 0, 512), (9000, 0, 512), (800, 0, 512), (400, 0, 512)))
    assert groups[0] == groups[2] == groups[3] != groups[1]


def test_overlapping_windows_share_a_split_and_the_shares_are_kept(crowded):
    places, ids = crowded
    groups = overlap_groups(places)
    splits = assign_splits(ids, groups)
    first, second = overlapping_pairs(places).T
    assert len(first) > 100, "the case must be crowded to say anything"
    assert (splits[first] == splits[second]).all()
    assert leakage_m2(GRID.window_bounds(places), places, splits) == 0
    largest = np.bincount(groups).max() / len(ids)
    for name, share in {"train": 0.8, "val": 0.1, "test": 0.1}.items():
        assert (splits == name).mean() == pytest.approx(share, abs=largest)


def test_single_windows_are_shared_out_by_eight_one_one():
    splits = assign_splits(np.array([f"m{i}" for i in range(1000)]), np.arange(1000))
    assert {name: int((splits == name).sum()) for name in ("train", "val", "test")} == {
        "train": 800,
        "val": 100,
        "test": 100,
    }


def test_a_polygon_keeps_its_split_whatever_the_order_of_the_rows(crowded, rng):
    places, ids = crowded
    splits = dict(zip(ids, assign_splits(ids, overlap_groups(places)), strict=True))
    mixed = rng.permutation(len(ids))
    shuffled = Windows(places.col[mixed], places.row[mixed], places.side_px[mixed])
    again = dict(zip(ids[mixed], assign_splits(ids[mixed], overlap_groups(shuffled)), strict=True))
    assert splits == again


def test_another_seed_draws_other_splits(crowded):
    places, ids = crowded
    groups = overlap_groups(places)
    assert (assign_splits(ids, groups, seed=1) != assign_splits(ids, groups, seed=2)).any()
    assert (assign_splits(ids, groups, seed=1) == assign_splits(ids, groups, seed=1)).all()


def test_chosen_test_polygons_take_their_whole_group_and_no_other(crowded):
    places, ids = crowded
    groups = overlap_groups(places)
    busiest = np.argmax(np.bincount(groups))
    chosen = frozenset({ids[groups == busiest][0], ids[groups != busiest][0]})
    splits = assign_splits(ids, groups, chosen)
    chosen_groups = groups[np.isin(ids, list(chosen))]
    assert ((splits == "test") == np.isin(groups, chosen_groups)).all()
    rest = splits[splits != "test"]
    largest = np.bincount(groups).max() / len(rest)
    assert (rest == "train").mean() == pytest.approx(8 / 9, abs=largest)


def test_when_all_are_chosen_all_are_tested():
    ids = np.array(["a", "b"])
    assert assign_splits(ids, np.array([0, 1]), frozenset(ids)).tolist() == ["test", "test"]


def test_a_single_polygon_is_trained_on():
    assert assign_splits(np.array(["only"]), np.array([0])).tolist() == ["train"]


@pytest.mark.parametrize("row", [4_194_304, 4_700_000, 3_500_000])
def test_a_leak_is_measured_on_the_ground(row):
    places = windows((3_000_000, row, 1024), (3_000_600, row + 300, 1024), (3_900_000, row, 512))
    leak = leakage_m2(GRID.window_bounds(places), places, np.array(["train", "test", "val"]))
    shared = shapely.box(*GRID.window_bounds(windows((3_000_600, row + 300, 424)))[0])
    # The shared rectangle is 424 x 724 pixels; meridians and parallels bound it, so geodesics of a pixel trace it.
    west, south, east, north = GRID.window_bounds(windows((3_000_600, row + 300, 724)))[0]
    east = shared.bounds[2]
    steps = np.linspace(west, east, 200), np.linspace(south, north, 200)
    x = np.concatenate([steps[0], np.full(200, east), steps[0][::-1], np.full(200, west)])
    y = np.concatenate([np.full(200, south), steps[1], np.full(200, north), steps[1][::-1]])
    lon, lat = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True).transform(x, y)
    area, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)
    assert leak == pytest.approx(abs(area), rel=1e-5)


def test_overlap_within_a_split_is_no_leak():
    places = windows((0, 4_000_000, 512), (100, 4_000_000, 512))
    assert leakage_m2(GRID.window_bounds(places), places, np.array(["val", "val"])) == 0


def test_ids_for_the_test_split_come_from_a_file(tmp_path):
    (tmp_path / "ids.txt").write_text("7\n\n  12 \r\n7\n", encoding="utf-8")
    assert read_test_ids(tmp_path / "ids.txt", np.array(["7", "12", "30"])) == {"7", "12"}
    assert read_test_ids(None, np.array(["7"])) == frozenset()


def test_unknown_test_ids_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(PipelineError, match="no file of test ids at"):
        read_test_ids(tmp_path / "ids.txt", np.array(["7"]))
    (tmp_path / "ids.txt").write_text("7\n8\n9\n", encoding="utf-8")
    with pytest.raises(PipelineError, match="2 ids are not among the polygons, for example '8'"):
        read_test_ids(tmp_path / "ids.txt", np.array(["7"]))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_test_ids_are_read_in_the_encoding_that_an_editor_left(tmp_path, encoding):
    (tmp_path / "ids.txt").write_bytes("7\r\nMorro São João\r\nway/101\r\n".encode(encoding))
    known = np.array(["7", "Morro-Sao-Joao", "way-101", "8"])
    assert read_test_ids(tmp_path / "ids.txt", known) == {"7", "Morro-Sao-Joao", "way-101"}
