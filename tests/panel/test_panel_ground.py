"""What was observed is the valid ground, whatever else its windows show."""

import shutil

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from helpers.panels import WORLD, run, square, write_years

from segmentation.chips.chip import write_chip
from segmentation.core.errors import PipelineError
from segmentation.core.workspace import Workspace
from segmentation.geo.areas import area_m2
from segmentation.geo.geopackage import Layer, write_geopackage
from segmentation.geo.grid import Grid, Windows, boxes
from segmentation.panel import ground as panel_ground
from segmentation.panel.ground import read_ground
from segmentation.panel.inputs import YearInput
from segmentation.panel.observed import observed_share, read_observed
from segmentation.predict.probability import NO_DATA, write_probability
from segmentation.windows.statuses import WRITTEN

GRID = Grid()
COL, ROW, SIDE = 2_800_000, 2_090_000, 512
# The windows of a row, each half over the next: how many of their columns, from the west, show anything.
VALID_COLUMNS = {"a": 512, "b": 128, "c": 192, "d": 64}
OLD = "windows.gpkg is from before it kept where windows are valid"


def bounds_of(position, columns=SIDE):
    windows = Windows(*(np.array([value]) for value in (COL + position * SIDE // 2, ROW, SIDE)))
    west, south, _, north = GRID.window_bounds(windows)[0]
    return west, south, west + columns * GRID.pixel_m, north


@pytest.fixture
def old_year(tmp_path):
    """A year whose windows.gpkg does not hold the valid ground, with its chips."""
    folder = Workspace(tmp_path).year(2016)
    squares = boxes(np.array([bounds_of(position) for position in range(len(VALID_COLUMNS))]))
    columns = {
        "id": list(VALID_COLUMNS),
        "split": "train",
        "status": WRITTEN,
        "valid_share": [columns / SIDE for columns in VALID_COLUMNS.values()],
        "mosaic": "m",
    }
    table = gpd.GeoDataFrame(columns, geometry=squares, crs="EPSG:3857")
    write_geopackage(folder.windows, [Layer("windows", table, "Polygon")], {"level": "15"})
    for position, (name, valid) in enumerate(VALID_COLUMNS.items()):
        dn = np.zeros((4, SIDE, SIDE), "uint8")
        dn[:, :, :valid] = 100
        transform = GRID.window_transform(COL + position * SIDE // 2, ROW)
        write_chip(folder.chip("train", name), dn, transform, {})
        levels = np.where(dn[0] > 0, np.uint8(10), np.uint8(NO_DATA))
        write_probability(folder.probability("model_1", name), levels, transform)
    return folder


def expected_ground():
    """North to south all the same: from the west the columns that some window shows."""
    return shapely.union_all([shapely.box(*bounds_of(n, valid)) for n, valid in enumerate(VALID_COLUMNS.values())])


def observed_m2(folder):
    return read_observed([YearInput(2016, folder.windows, folder.windows)], quiet=True).areas["area"].sum()


@pytest.mark.parametrize("lost", [(), ("probabilities",), ("img_dir",)])
def test_an_older_record_takes_the_valid_ground_from_chips_or_probabilities(old_year, lost):
    for name in lost:
        shutil.rmtree(old_year.path / name)
    ground = read_ground(old_year.windows, 2016, quiet=True)
    for position, valid in enumerate(VALID_COLUMNS.values()):
        assert ground.valid[position].bounds == pytest.approx(bounds_of(position, valid), abs=1e-3)
    assert [OLD in note for note in ground.notes] == [True]
    assert observed_m2(old_year) == pytest.approx(area_m2(gpd.GeoSeries([expected_ground()], crs=3857))[0], rel=1e-6)


def test_many_rasters_are_read_in_processes_to_the_same_end(old_year, monkeypatch):
    alone = read_ground(old_year.windows, 2016, quiet=True).valid
    monkeypatch.setattr(panel_ground, "_FEW_RASTERS", 1)
    together = read_ground(old_year.windows, 2016, quiet=True).valid
    assert shapely.equals_identical(alone, together).all()


def test_without_chips_what_is_valid_in_part_counts_as_not_observed_and_that_is_said(old_year):
    for name in ("probabilities", "img_dir"):
        shutil.rmtree(old_year.path / name)
    observed = read_observed([YearInput(2016, old_year.windows, old_year.windows)], quiet=True)
    assert len(observed.notes) == 1
    assert "3 windows that are valid in part" in observed.notes[0]
    assert "run step 1 for that year again" in observed.notes[0]
    assert observed.areas["windows"].tolist() == [1]
    assert observed.areas["valid_share"].tolist() == [1]


def test_the_chip_of_another_window_is_not_taken(old_year):
    shutil.rmtree(old_year.path / "probabilities")
    shutil.copy(old_year.chip("train", "c"), old_year.chip("train", "b"))
    ground = read_ground(old_year.windows, 2016, quiet=True)
    assert shapely.is_missing(ground.valid).tolist() == [False, True, False, False]


def test_a_damaged_chip_is_named(old_year):
    old_year.chip("train", "b").write_bytes(b"II*\0 cut off")
    with pytest.raises(PipelineError, match="b.tif is damaged"):
        read_ground(old_year.windows, 2016, quiet=True)


def test_a_year_in_which_no_window_was_written_was_looked_at_in_vain(tmp_path):
    columns = {"id": ["a"], "status": ["not covered"], "valid_share": [0.0], "mosaic": [""]}
    table = gpd.GeoDataFrame(columns, geometry=[square(0)], crs="EPSG:4326").to_crs("EPSG:3857")
    write_geopackage(tmp_path / "windows.gpkg", [Layer("windows", table, "Polygon")])
    observed = read_observed([YearInput(2016, tmp_path, tmp_path / "windows.gpkg")], quiet=True)
    assert observed.areas.empty
    assert observed_share(np.array([square(0)]), observed, (2016,)).tolist() == [[0]]


def test_identical_pictures_that_are_mostly_invalid_show_every_polygon_again(tmp_path, monkeypatch, capsys):
    """Two years of the same pictures, 37 % valid: 25 mines on the valid ground, of which the second year finds one."""
    squares = [square(10 * n, 0, 8, 8) for n in range(25)]
    seen = [square(10 * n, 0, 8 * 0.37, 8) for n in range(25)]
    mines = [square(10 * n + 1, 3) for n in range(25)]
    columns = {"id": range(25), "split": "test", "status": WRITTEN, "valid_share": 0.37, "mosaic": "m"}
    looked = gpd.GeoDataFrame(columns, geometry=squares, crs="EPSG:4326").to_crs("EPSG:3857")
    ground = gpd.GeoDataFrame({"id": range(25)}, geometry=seen, crs="EPSG:4326").to_crs("EPSG:3857")
    windows = []
    for year in (2016, 2017):
        path = tmp_path / f"windows_{year}.gpkg"
        write_geopackage(path, [Layer("windows", looked, "Polygon"), Layer("valid_ground", ground)])
        windows.append(f"{year}={path}")
    WORLD.to_file(tmp_path / "world.gpkg")
    inputs = write_years(tmp_path, {2016: mines, 2017: mines[:1]})
    folder = tmp_path / "panel"
    run(monkeypatch, "--inputs", *inputs, "--windows", *windows, "--countries", tmp_path / "world.gpkg", "-o", folder)
    first = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("2016 "))
    assert first.split()[1:3] == ["25", "24"]
    assert first.split()[-1] == "0", "24 are lost because the next year looked and did not find them"
    observed = pd.read_csv(folder / "country_years.csv")["observed_km2"]
    expected = area_m2(gpd.GeoSeries(seen, crs=4326)).sum() / 1e6
    assert observed.tolist() == pytest.approx([expected, expected], rel=1e-4)
