"""Splits without leakage: overlapping windows stay together, whatever else happens."""

import itertools

import numpy as np
import pyproj
import pytest
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import Grid, Windows
from segmentation.windows.splits import (
    DOMINANT,
    assign_splits,
    far_from_shares,
    leakage_m2,
    overlap_groups,
    overlapping_pairs,
    read_test_ids,
)

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


def grouped(sizes):
    """Ids and groups of the given sizes."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return np.array([f"mine{i}" for i in range(len(groups))]), groups


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("sizes", [(60, 1, 2), (1, 60, 2), (2, 1, 60)])
def test_a_cluster_of_nearly_all_windows_is_trained_on(sizes, seed):
    ids, groups = grouped(sizes)
    splits = assign_splits(ids, groups, seed=seed)
    assert (splits == "train").sum() == 60
    assert set(splits) == {"train", "val", "test"}


def test_whatever_the_sizes_the_largest_groups_are_trained_on_and_every_split_has_some(rng):
    redrawn = 0
    for seed in range(40):
        sizes = np.sort(rng.integers(1, 6, rng.integers(3, 40)))
        sizes[-1] *= rng.integers(1, 60)
        sizes[-2] *= rng.integers(1, 20)
        ids, groups = grouped(sizes)
        splits = assign_splits(ids, groups, seed=seed)
        former = assign_splits(ids, groups, seed=seed, dominant_to_train=False)
        of_group = splits[np.searchsorted(groups, np.arange(len(sizes)))]
        dominant = sizes > DOMINANT * len(ids)
        assert set(splits) == {"train", "val", "test"}
        assert (splits == of_group[groups]).all(), "groups stay together"
        if dominant.any():
            assert of_group[sizes == sizes.max()].tolist().count("train") >= 1
            # With two other groups at least, no dominant one is lost to validation or test.
            assert (of_group[dominant] == "train").all() or (~dominant).sum() < 2
        else:
            assert (splits == former).all(), "nothing was wrong, so nothing changes"
        redrawn += (splits != former).any()
        mixed = rng.permutation(len(ids))
        assert (assign_splits(ids[mixed], groups[mixed], seed=seed) == splits[mixed]).all()
    assert redrawn > 3


def test_beside_a_dominant_group_the_shares_are_kept_and_nothing_changes_without_need():
    ids, groups = grouped([25] + [1] * 75)
    lost = 0
    for seed in range(30):
        splits = assign_splits(ids, groups, seed=seed)
        former = assign_splits(ids, groups, seed=seed, dominant_to_train=False)
        if former[0] == "train":
            assert (splits == former).all()
        else:
            lost += 1
            assert [int((splits == name).sum()) for name in ("train", "val", "test")] == [80, 10, 10]
    assert 0 < lost < 15


def test_beside_chosen_test_polygons_the_dominant_group_is_trained_on():
    ids, groups = grouped([60, 3, 2, 1])
    for seed in range(20):
        splits = assign_splits(ids, groups, frozenset({ids[60]}), seed)
        assert (splits[groups == 1] == "test").all()
        assert (splits[groups == 0] == "train").all()
        assert "val" in splits


def test_splits_far_from_their_shares_are_said_with_numbers():
    splits = np.repeat(["train", "val", "test"], [2, 60, 1])
    assert far_from_shares(splits) == (
        "splits far from their shares, as windows that overlap stay together: "
        "train 2 (3.2%, meant 80%), val 60 (95.2%, meant 10%), test 1 (1.6%, meant 10%)"
    )
    chosen = far_from_shares(np.repeat(["train", "val", "test"], [10, 10, 100]), chosen_test=True)
    assert chosen.endswith("train 10 (50.0%, meant 89%), val 10 (50.0%, meant 11%)")


@pytest.mark.parametrize("counts", [(80, 10, 10), (78, 13, 9), (9, 1, 1), (5, 1, 1), (0, 0, 0)])
def test_splits_close_to_their_shares_need_no_word(counts):
    assert far_from_shares(np.repeat(["train", "val", "test"], counts)) == ""


def test_a_test_split_of_any_size_that_was_chosen_needs_no_word():
    assert far_from_shares(np.repeat(["train", "val", "test"], [80, 10, 400]), chosen_test=True) == ""


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
