"""Chips and masks of a small district, cut from hand-made quads in a complete cache."""

import argparse
import os
import re
import shutil
import signal

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from helpers.quads import AMAZON_COL, AMAZON_ROW, world_to_mercator, write_quad

from segmentation.chips.cutting import BandSums, CutJob, cut
from segmentation.chips.dataset import Dataset, cut_windows
from segmentation.chips.mask import IGNORE, MINE, read_mask
from segmentation.chips.summary import summarise
from segmentation.core import cli
from segmentation.core.errors import PipelineError
from segmentation.core.workspace import Workspace
from segmentation.geo.grid import CHIP_PX, Grid
from segmentation.geo.vectors.clean import Account
from segmentation.imagery.cache import COVERED, NOT_COVERED, PieceRecord, QuadCache
from segmentation.imagery.planet.quads import QuadReader
from segmentation.imagery.planet.source import PlanetImagery
from segmentation.polygons.literature import LiteraturePolygons
from segmentation.windows.plan import as_windows, plan_windows
from segmentation.windows.statuses import TOO_LITTLE_DATA, WRITTEN

GRID = Grid()
MOSAIC = "planet_medres_normalized_analytic_2019-06_2019-11_mosaic"

FOREST = [300, 500, 400, 3000, 65535]
BARE_GROUND = [2000, 2200, 2400, 2600, 65535]

# Mines by id: first column, first row, width and height in pixels of quad 680-1018. The ground of each is bare.
MINES = {
    "sea": (10 * 4096 + 1000, 1000, 50, 50),  # on quad 690-1018
    "pit": (1000, 2000, 100, 60),
    "twin": (1150, 2000, 50, 40),  # in the pit's window
    "large": (2500, 600, 500, 300),  # needs a window of 1024 px
    "edge": (4090, 3000, 12, 10),  # half of its window lies on quad 681-1018
    "bare": (600, 3500, 20, 20),  # the quad has no data there
}
# In the file but not mapped, as a mine just outside the belt would be; it lies in the pit's window.
UNPLANNED = (900, 1900, 30, 30)
# Where there are pixels: first row, first column, height, width.
SEEN = [(1500, 500, 800, 1000), (238, 2238, 1024, 1024), (2700, 3800, 600, 296)]
EXPECTED = {
    "pit": WRITTEN,
    "twin": WRITTEN,
    "large": WRITTEN,
    "edge": WRITTEN,
    "bare": TOO_LITTLE_DATA,
    "sea": NOT_COVERED,
}


def polygon(col, row, width, height):
    west, north = world_to_mercator(AMAZON_COL + col, AMAZON_ROW + row)
    east, south = world_to_mercator(AMAZON_COL + col + width, AMAZON_ROW + row + height)
    return shapely.box(west, south, east, north)


def frame(mines):
    return gpd.GeoDataFrame({"id": list(mines)}, geometry=[polygon(*p) for p in mines.values()], crs="EPSG:3857")


def no_client():
    raise PipelineError("no Planet API key")


def imagery(workspace):
    return PlanetImagery(no_client, MOSAIC, workspace.year(2019).quads, threads=1, quiet=True)


def dataset(workspace, labels):
    plan = plan_windows(frame(MINES), GRID)
    source = imagery(workspace)
    source.connect(as_windows(plan))
    return cut_windows(plan, source, workspace.year(2019), labels, workers=1, quiet=True).windows, source


@pytest.fixture(scope="module")
def labels():
    return frame(MINES | {"unplanned": UNPLANNED})


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A workspace with the quads of 2019: one quad, and two that the API does not give."""
    workspace = Workspace(tmp_path_factory.mktemp("cached"))
    ground = np.empty((5, 4096, 4096), "uint16")
    ground[:] = np.array(FOREST, "uint16")[:, None, None]
    for col, row, width, height in [*MINES.values(), UNPLANNED]:
        if col < 4096:
            ground[:, row : row + height, col : col + width] = np.array(BARE_GROUND, "uint16")[:, None, None]
    patches = {(row, col): ground[:, row : row + height, col : col + width] for row, col, height, width in SEEN}
    cache = QuadCache(workspace.year(2019).quads / MOSAIC)
    path = cache.path((680, 1018))
    write_quad(path, 680, 1018, patches)
    cache.keep((680, 1018), PieceRecord(MOSAIC, COVERED, size=path.stat().st_size))
    for quad in ((681, 1018), (690, 1018)):
        cache.keep(quad, PieceRecord(MOSAIC, NOT_COVERED, "no quad there"))
    return workspace


@pytest.fixture(scope="module")
def made(cached, labels):
    """The dataset of the label year: what became of each window by its id, its folder and the source."""
    windows, source = dataset(cached, labels)
    return windows.set_index("id"), cached.year(2019), source


@pytest.fixture
def copied(made, cached, tmp_path):
    """A copy of the finished dataset, to be damaged."""
    shutil.copytree(cached.root, tmp_path / "copy")
    return Workspace(tmp_path / "copy")


def chip_and_mask(made, name):
    windows, folder, _ = made
    split = windows.loc[name, "split"]
    with rasterio.open(folder.chip(split, name)) as chip:
        return chip.read(), chip.transform, read_mask(folder.mask(split, name))


def files(folder):
    return {path.relative_to(folder.path).as_posix(): path for path in sorted(folder.path.rglob("*")) if path.is_file()}


def test_every_window_is_accounted_for(made):
    windows, folder, _ = made
    assert windows["status"].to_dict() == EXPECTED
    written = windows[windows["status"] == WRITTEN]
    expected = {
        f"{kind}/{split}/{name}.tif" for name, split in written["split"].items() for kind in ("img_dir", "ann_dir")
    }
    assert set(files(folder)) == expected


@pytest.mark.parametrize("name", ["pit", "twin", "large", "edge"])
def test_the_mask_covers_the_very_pixels_that_show_bare_ground(made, name):
    chip, _, mask = chip_and_mask(made, name)
    bare = chip[0] > 100
    assert bare.any()
    np.testing.assert_array_equal(mask == MINE, bare)
    np.testing.assert_array_equal(mask == IGNORE, (chip == 0).all(axis=0))


@pytest.mark.parametrize("name", ["pit", "large"])
def test_a_mine_lies_in_the_middle_of_its_chip(made, name):
    _, transform, mask = chip_and_mask(made, name)
    col, row, width, height = MINES[name]
    factor = made[0].loc[name, "side_px"] // CHIP_PX
    top, left = 256 - height // factor // 2, 256 - width // factor // 2
    assert (mask[top : top + height // factor, left : left + width // factor] == MINE).all()
    assert transform @ (left, top) == pytest.approx(world_to_mercator(AMAZON_COL + col, AMAZON_ROW + row), abs=1e-4)


def test_every_polygon_of_the_file_is_drawn_not_only_the_windows_own(made):
    _, _, mask = chip_and_mask(made, "pit")
    areas = [MINES["pit"][2:], MINES["twin"][2:], UNPLANNED[2:]]
    assert (mask == MINE).sum() == sum(width * height for width, height in areas)


def test_the_colours_of_a_chip_are_those_of_the_ground(made):
    chip, _, mask = chip_and_mask(made, "pit")
    scales = np.array([0.002, 0.002, 0.002, 0.0025])
    for ground, place in ((BARE_GROUND, mask == MINE), (FOREST, mask == 0)):
        blue, green, red, nir, _ = ground
        expected = np.rint(np.array([red, green, blue, nir]) / 10_000 / scales) + 1
        assert (chip[:, place] == expected[:, None]).all()


def test_shares_are_those_of_the_valid_pixels(made):
    windows, _, _ = made
    assert windows["valid_share"].to_dict() == pytest.approx(
        {"pit": 1, "twin": 1, "large": 1, "edge": 0.5, "bare": 0, "sea": 0}
    )
    assert windows.loc["large", "mine_share"] == pytest.approx(500 * 300 / 1024**2)
    assert windows.loc["edge", "mine_share"] == pytest.approx(6 * 10 / (256 * 512))
    assert windows.loc[["bare", "sea"], "mine_share"].isna().all()


def test_the_valid_ground_of_windows_that_are_valid_in_part_is_kept(cached, labels, made):
    plan = plan_windows(frame(MINES), GRID)
    again = cut_windows(plan, imagery(cached), made[1], labels, workers=1, quiet=True)
    assert again.ground["id"].tolist() == ["edge"]
    west, south, _, north = plan.set_index("id").geometry["edge"].bounds
    east, _ = world_to_mercator(AMAZON_COL + 4096, 0)  # of the quad that is there
    assert again.ground.geometry[0].bounds == pytest.approx((west, south, east, north), abs=1e-6)
    assert again.ground.geometry[0].area == pytest.approx((east - west) * (north - south))
    assert again.ground.crs == "EPSG:3857"


def test_a_chip_names_its_window_and_mosaic(made):
    windows, folder, _ = made
    with rasterio.open(folder.chip(windows.loc["pit", "split"], "pit")) as chip:
        assert (chip.tags()["WINDOW"], chip.tags()["MOSAIC"]) == ("pit", MOSAIC)


def test_quads_are_accounted_for(made):
    quads = made[2].footprint(as_windows(plan_windows(frame(MINES), GRID))).pieces.set_index("name")
    assert quads["status"].to_dict() == {"680-1018": "covered", "681-1018": NOT_COVERED, "690-1018": NOT_COVERED}
    assert quads.loc["690-1018", "reason"] == "no quad there"
    west, _, _, north = quads.geometry["680-1018"].bounds
    assert (west, north) == pytest.approx(world_to_mercator(AMAZON_COL, AMAZON_ROW))


def test_the_summary_names_what_is_missing(made):
    windows, _, source = made
    everything = windows.reset_index()
    polygons = LiteraturePolygons(everything, everything, Account(read=7, dropped={"outside 30 N to 30 S": 1}))
    train = BandSums(4, np.array([40, 80]), np.array([400, 1700]))
    text = summarise(polygons, Dataset(everything, train, everything[:0]), source.footprint(as_windows(everything)))
    for line in (
        r"polygons read +7",
        r"written +4",
        "not covered: sea",
        "too little data: bare",
        r"between splits +0 m2",
        r"mean \[10.00, 20.00\], std \[0.00, 5.00\]",
    ):
        assert re.search(line, text), line


def test_the_summary_says_how_far_the_splits_are_from_their_shares(made):
    windows, _, source = made
    lopsided = windows.reset_index().assign(split="test")
    polygons = LiteraturePolygons(lopsided, lopsided, Account(read=6))
    footprint = source.footprint(as_windows(lopsided))
    text = summarise(polygons, Dataset(lopsided, None, lopsided[:0]), footprint)
    assert "train 0 (0.0%, meant 80%), val 0 (0.0%, meant 10%), test 4 (100.0%, meant 10%)" in text
    assert "meant" not in summarise(polygons, Dataset(lopsided, None, lopsided[:0]), footprint, chosen_test=True)


def test_the_statistics_are_those_of_the_training_chips(made, cached, labels):
    windows, folder, _ = made
    plan = plan_windows(frame(MINES), GRID)
    train = cut_windows(plan, imagery(cached), folder, labels, workers=2, quiet=True).train
    written = windows[(windows["status"] == WRITTEN) & (windows["split"] == "train")]
    pixels = []
    for name in written.index:
        with rasterio.open(folder.chip("train", name)) as chip:
            dn = chip.read()
        pixels.append(dn[:, dn.any(axis=0)].astype("float64"))
    together = np.concatenate(pixels, axis=1)
    assert train.pixels == together.shape[1]
    np.testing.assert_allclose(train.mean, together.mean(axis=1))
    np.testing.assert_allclose(train.std, together.std(axis=1), atol=1e-9)


def test_a_dataset_is_resumed_to_the_same_bytes(copied, labels):
    folder = copied.year(2019)
    before = {name: (path.read_bytes(), path.stat().st_mtime_ns) for name, path in files(folder).items()}
    lost = [name for name in before if "pit" in name or ("img_dir" in name and "large" in name)]
    assert len(lost) == 3
    for name in lost:
        (folder.path / name).unlink()
    windows, _ = dataset(copied, labels)
    after = {name: (path.read_bytes(), path.stat().st_mtime_ns) for name, path in files(folder).items()}
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in before.items()
    }
    kept = [name for name in before if not any(part in name for part in ("pit", "large"))]
    assert all(after[name] == before[name] for name in kept), "what was there is not written again"
    assert windows.set_index("id")["status"].to_dict() == EXPECTED


def test_a_year_without_labels_has_chips_alone(cached, labels, copied):
    shutil.rmtree(copied.year(2019).path)
    windows, _ = dataset(copied, None)
    names = files(copied.year(2019))
    assert len(names) == 4
    assert all(name.startswith("img_dir/") for name in names)
    assert windows["mine_share"].isna().all()
    assert windows.set_index("id")["status"].to_dict() == EXPECTED


def test_a_mask_that_was_lost_is_drawn_again(made, cached, tmp_path):
    """People delete ann_dir to have it made anew."""
    row = made[0].loc["pit"]
    job = CutJob(
        window_id="pit",
        col=int(row["col"]),
        row=int(row["row"]),
        side_px=512,
        chip=tmp_path / "img.tif",
        mask=tmp_path / "ann.tif",
        polygons_3857=np.array([polygon(*MINES["pit"])]),
        reader=QuadReader(cached.year(2019).quads / MOSAIC, GRID),
        grid=GRID,
        tags={},
    )
    first = cut(job)
    before = job.mask.read_bytes()
    job.mask.unlink()
    assert cut(job) == first
    assert job.mask.read_bytes() == before


def test_a_key_is_asked_for_only_when_a_quad_is_missing(copied):
    plan = plan_windows(frame(MINES), GRID)
    imagery(copied).connect(as_windows(plan))
    (copied.year(2019).quads / MOSAIC / "680-1018.tif").unlink()
    with pytest.raises(PipelineError, match="no Planet API key"):
        imagery(copied).connect(as_windows(plan))


class DyingReader:
    """Reads nothing: its process is killed, as by a system that has no memory left."""

    def read(self, col, row, side_px):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_one_line_and_the_next_run_goes_on(copied, labels, monkeypatch, capsys):
    folder = copied.year(2019)
    lost = next(folder.path.glob("img_dir/*/pit.tif"))
    lost.unlink()

    def main(_):
        dataset(copied, labels)
        return cli.DONE

    monkeypatch.setattr(PlanetImagery, "reader", lambda _: DyingReader())
    with pytest.raises(SystemExit) as left:
        cli.run(main, argparse.Namespace(verbose=False))
    assert left.value.code == cli.REFUSED
    told = capsys.readouterr().err
    assert told.startswith("error: a worker process was killed") and len(told.splitlines()) == 1
    monkeypatch.undo()
    assert dataset(copied, labels)[0].set_index("id")["status"].to_dict() == EXPECTED
    assert lost.exists()
