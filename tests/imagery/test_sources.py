"""Step 1 from a user's own rasters, as it is typed: the demo's landscape in another CRS, real scenes, refusals."""

import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from helpers.own_rasters import write_raster
from helpers.real_polygons import REAL_POLYGONS
from helpers.step_1 import YEAR, Done, calm_run, polygons_file, rendered_quads
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from segmentation.core.errors import PipelineError
from segmentation.core.files import read_json, write_json
from segmentation.core.provenance import INVENTED
from segmentation.core.workspace import REPOSITORY, Workspace
from segmentation.geo.geopackage import read_metadata
from segmentation.imagery.mixture import refuse_mixture

TAILINGS = REAL_POLYGONS.parent / "tailings"


def in_utm(windows: gpd.GeoDataFrame, quads: Path, folder: Path) -> None:
    """The surroundings of windows, warped from quads to files in UTM by GDAL, with bands in another order."""
    for row in windows.itertuples():
        zone = windows.loc[[row.Index]].to_crs(4326).estimate_utm_crs()
        around = windows.loc[[row.Index]].buffer(400).to_crs(zone).total_bounds
        width, height = (int(np.ptp(around[axis::2]) / 4.7) for axis in (0, 1))
        place = Affine(4.7, 0, around[0], 0, -4.7, around[3])
        for name in row.quads.split():
            if not (quads / f"{name}.tif").exists():
                continue
            options = {"crs": zone.to_wkt(), "transform": place, "width": width, "height": height}
            with (
                rasterio.open(quads / f"{name}.tif") as quad,
                WarpedVRT(quad, resampling=Resampling.cubic, src_alpha=5, dst_alpha=5, **options) as warped,
            ):
                nir, red, green, blue, alpha = warped.read([4, 3, 2, 1, 5])
            # Without data where the alpha says so, as a value that is no reflectance.
            values = np.where(alpha > 0, np.stack([nir, red, green, blue]).astype("int32"), -1)
            names = ("NIR", "Red", "Green", "Blue")
            write_raster(folder / f"{row.id}_{name}.tif", values, place, zone.to_wkt(), names, nodata=-1)


@lru_cache(maxsize=1)
def through_planet(base: Path) -> Workspace:
    """The demo's landscape as chips, through the client and the stand-in."""
    calm_run(base)
    return Workspace(base / "calm" / "data")


@pytest.fixture(scope="module")
def planet(tmp_path_factory):
    return through_planet(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def own(planet, tmp_path_factory):
    """The same as own rasters in UTM: the workspace, and how the run ended."""
    folder = tmp_path_factory.mktemp("own")
    windows = gpd.read_file(planet.year(YEAR).windows, layer="windows")
    (quads,) = (path for path in planet.year(YEAR).quads.iterdir() if path.is_dir())
    in_utm(windows, quads, folder / "landscape")
    command = ("segmentation_dataset_generation.py", f"-year={YEAR}", "--data-root", folder / "data", "--workers=2")
    options = ("--polygons", polygons_file(folder), "--imagery", folder / "landscape", "--quiet")
    done = subprocess.run(
        [sys.executable, *map(str, command + options)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Workspace(folder / "data"), Done(done.returncode, done.stdout), folder


def test_own_rasters_in_another_crs_give_the_chips_that_planet_gives(planet, own):
    workspace, done, _ = own
    assert done.status == 0, done.printed
    theirs, ours = planet.year(YEAR), workspace.year(YEAR)
    windows = gpd.read_file(theirs.windows, layer="windows")
    again = gpd.read_file(ours.windows, layer="windows")
    assert again["status"].tolist() == windows["status"].tolist()
    written = windows[windows["written"]]
    assert len(written) >= 3
    for row in written.itertuples():
        with rasterio.open(theirs.mask(row.split, row.id)) as a, rasterio.open(ours.mask(row.split, row.id)) as b:
            assert a.transform == b.transform
            # Clouds leave holes without data, whose edges are warped twice here.
            known = (a.read(1) != 255) & (b.read(1) != 255)
            np.testing.assert_array_equal(a.read(1)[known], b.read(1)[known])
            assert ((a.read(1) != 255) != (b.read(1) != 255)).mean() < 0.002
        with rasterio.open(theirs.chip(row.split, row.id)) as a, rasterio.open(ours.chip(row.split, row.id)) as b:
            difference = np.abs(a.read().astype(int) - b.read())[:, known]
            assert np.median(difference) <= 1
            assert np.percentile(difference, 99) <= 12
            assert b.descriptions == ("Red", "Green", "Blue", "NIR")


def test_a_run_says_which_files_it_used(own, step_1):
    workspace, done, folder = own
    windows = workspace.year(YEAR).windows
    files = gpd.read_file(windows, layer="files")
    assert set(files["status"]) == {"covered"}
    read = len(list((folder / "landscape").iterdir()))
    assert f"{'files read':<44}{read:>12}" in done.printed
    assert f"{'files needed':<44}{len(files):>12}" in done.printed
    assert "requests sent" not in done.printed
    used = {name for names in gpd.read_file(windows, layer="windows")["files"] for name in names.split()}
    assert used == set(files["file"])
    metadata = read_metadata(windows)
    assert (metadata["imagery"], metadata["mosaic"], metadata["level"]) == ("files", "landscape", "15")
    plan = step_1(folder / "data", "--polygons", polygons_file(folder), "--imagery", folder / "landscape", "--plan")
    assert f"{'  to fetch':<44}{0:>12}" in plan.printed


def test_a_second_run_changes_nothing_and_another_scale_is_refused(own, tmp_path, step_1):
    workspace, _, folder = own
    polygons = polygons_file(tmp_path)
    shutil.copytree(workspace.root, tmp_path / "data")
    before = {path: path.read_bytes() for path in tmp_path.rglob("img_dir/**/*.tif")}
    assert step_1(tmp_path / "data", "--polygons", polygons, "--imagery", folder / "landscape").status == 0
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("img_dir/**/*.tif")}
    other = step_1(
        tmp_path / "data", "--polygons", polygons, "--imagery", folder / "landscape", "--reflectance-scale=0.0002"
    )
    assert other.status == 2
    assert "reflectance_scale was as the files say, is now 0.0002" in other.printed


def test_files_that_were_touched_or_copied_change_nothing(own, tmp_path, step_1):
    workspace, _, folder = own
    shutil.copytree(workspace.root, tmp_path / "data")
    shutil.copytree(folder / "landscape", tmp_path / "copied", copy_function=shutil.copyfile)
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*.tif")}
    done = step_1(tmp_path / "data", "--polygons", polygons_file(tmp_path), "--imagery", tmp_path / "copied")
    assert done.status == 0, done.printed
    assert before == {path: path.read_bytes() for path in (tmp_path / "data").rglob("*.tif")}


def test_after_polygons_that_no_file_touches_the_right_ones_run(tmp_path, step_1):
    values = np.full((3, 300, 300), 1500, "uint16")
    write_raster(tmp_path / "in" / "a.tif", values, Affine(10, 0, 700_000, 0, -10, 9_340_000), "EPSG:32721", nodata=0)
    here = shapely.box(-55.18, -5.98, -55.175, -5.975)
    for name, box in {"far": shapely.affinity.translate(here, 75), "here": here}.items():
        gpd.GeoDataFrame({"id": ["pit"]}, geometry=[box], crs=4326).to_file(tmp_path / f"{name}.gpkg")
    refused = step_1(tmp_path / "data", "--imagery", tmp_path / "in", "--polygons", tmp_path / "far.gpkg")
    assert refused.status == 2
    assert refused.printed.startswith("error: none of the 1 files touches any of the 1 windows")
    assert len(refused.printed.splitlines()) == 1
    # Left behind by a run of an earlier version, which noticed too late.
    write_json(Workspace(tmp_path / "data").year(YEAR).settings, {"imagery": "files", "polygons": "far"})
    done = step_1(tmp_path / "data", "--imagery", tmp_path / "in", "--polygons", tmp_path / "here.gpkg")
    assert done.status == 0, done.printed
    assert f"{'chips':<44}{1:>12}" in done.printed


def test_years_of_a_workspace_share_their_imagery(own, tmp_path, step_1):
    workspace, _, folder = own
    shutil.copytree(workspace.root, tmp_path / "data")
    same = tmp_path / "data", "--polygons", polygons_file(tmp_path)
    planet = step_1(*same, year=2020)
    assert planet.status == 2
    assert planet.printed.startswith("error: 2019 in this workspace was made from other imagery (imagery files")
    assert len(planet.printed.splitlines()) == 1
    coarser = step_1(*same, "--imagery", folder / "landscape", "--level=14", year=2020)
    assert "(level 15) than 2020 would be (level 14)" in coarser.printed


def test_years_that_planet_does_not_show_are_welcome(own, tmp_path, step_1):
    options = ("--polygons", polygons_file(tmp_path), "--imagery", own[2] / "landscape", "--plan")
    done = step_1(tmp_path, *options, year=2025)
    assert done.status == 0, done.printed
    assert f"{'windows':<44}{4:>12}" in done.printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--imagery", "nosuch.tif"], "names no source and there is no file or folder nosuch.tif"),
        (["--imagery", "scenes", "--mosaic=m"], "--mosaic is for --imagery planet, not for files"),
        (["--bands=1,2,3"], "--bands is for --imagery files, not for planet"),
        (["--imagery", "scenes", "--bands=1,2"], "'1,2' names no 3 or 4 bands"),
        (["--imagery", "scenes", "--reflectance-scale=ten"], "'ten' is no scale"),
        (["--imagery", "scenes", "--reflectance-scale=10000"], "SCALE is 0.0001 where values are reflectance x 10,000"),
        (["--imagery", "scenes", "--reflectance-scale=nan"], "SCALE is 0.0001 where"),
        (["--imagery", "scenes", "--reflectance-scale=0"], "SCALE is 0.0001 where"),
        (["--imagery", "scenes", "--nodata=none"], "'none' is no number"),
        (["--nodata=0"], "--nodata is for --imagery files, not for planet"),
        (["--imagery", "stac:http://a#b", "--nodata=0"], "--nodata is for --imagery files, not for stac"),
        (["--level=14"], "Planet's basemaps are at level 15: leave out --level"),
        (["--level=3"], "argument --level: '3' is not a level from 11 to 19"),
        (["--max-rps=0"], "--max-rps: '0' is not a number from 0.01 to 1000"),
        (["--max-rps=nan"], "--max-rps: 'nan' is not a number from 0.01 to 1000"),
        (["--demo", "--imagery", "scenes"], "--demo brings its own imagery"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_line(tmp_path, options, message, step_1):
    done = step_1(tmp_path, *options)
    assert done.status == 2
    assert message in done.printed
    assert done.printed.startswith("error: ")
    assert len(done.printed.splitlines()) == 1


@pytest.mark.skipif(not TAILINGS.exists(), reason="real scenes are not there")
def test_real_scenes_are_a_source_as_they_are(tmp_path, step_1):
    few = gpd.read_file(TAILINGS / "polygons.gpkg").iloc[::9]
    few.to_file(tmp_path / "few.gpkg")
    options = ("--imagery", TAILINGS / "scenes", "--polygons", tmp_path / "few.gpkg", "--label-year=2021")
    done = step_1(tmp_path / "data", *options, year=2021)
    assert done.status == 0, done.printed
    folder = Workspace(tmp_path / "data").year(2021)
    windows = gpd.read_file(folder.windows, layer="windows")
    assert windows["written"].all()
    np.testing.assert_allclose(windows["pixel_3857_m"] * 512 / windows["side_px"], 9.5546, atol=1e-3)
    inside, outside = [], []
    for row in windows.itertuples():
        with (
            rasterio.open(folder.chip(row.split, row.id)) as chip,
            rasterio.open(folder.mask(row.split, row.id)) as mask,
        ):
            assert chip.count == 3
            red = chip.read(1)
            inside.append(red[mask.read(1) == 1])
            outside.append(red[mask.read(1) == 0])
    # Tailings are brighter than what surrounds them: the polygons lie on them.
    assert np.concatenate(inside).mean() > np.concatenate(outside).mean() + 10


@pytest.fixture
def demo_root(tmp_path, tmp_path_factory):
    """A data root whose stand-in finds the quads that other tests have rendered."""
    rendered = rendered_quads(tmp_path_factory.getbasetemp())
    rendered.mkdir(exist_ok=True)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "planet").symlink_to(rendered)
    return tmp_path / "demo"


def test_the_demo_marks_what_it_makes_as_synthetic(demo_root, tmp_path, step_1):
    polygons = tmp_path / "one.gpkg"
    gpd.read_file(polygons_file(tmp_path)).query("id == 'linden-02'").to_file(polygons)
    done = step_1(demo_root, "--demo", "--polygons", polygons)
    assert done.status == 0, done.printed
    assert "SYNTHETIC" in done.printed
    folder = Workspace(demo_root).year(YEAR)
    assert read_json(folder.settings)["synthetic"] == INVENTED
    assert read_metadata(folder.windows)["synthetic"] == INVENTED
    assert read_metadata(Workspace(demo_root).polygons)["synthetic"] == INVENTED
    (path,) = folder.path.glob("img_dir/*/*.tif")
    with rasterio.open(path) as chip:
        assert chip.tags()["SYNTHETIC"] == INVENTED
    # Its quads bear the names of real ones: a real run in the same root must not find them.
    assert {path.parent.name.endswith("_synthetic") for path in folder.quads.rglob("*.tif")} == {True}
    real = step_1(demo_root, "--polygons", polygons, year=2021)
    assert real.status == 2
    assert "2019 in this workspace was made from other imagery (synthetic an invented landscape" in real.printed


def test_the_demo_does_not_go_on_in_a_workspace_that_is_not_marked(demo_root, tmp_path, step_1):
    write_json(Workspace(demo_root).year(2016).settings, {"imagery": "planet", "level": 15})
    done = step_1(demo_root, "--demo", "--polygons", polygons_file(tmp_path))
    assert done.status == 2
    assert "2016 in" in done.printed
    assert "remove the folders segmentation and tiff_tiles" in done.printed
    assert len(done.printed.strip().splitlines()) == 1


def test_years_of_another_encoding_are_not_mixed_either(tmp_path):
    workspace = Workspace(tmp_path)
    settings = {"imagery": "planet", "level": 15}
    write_json(workspace.year(2016).settings, settings | {"encoding": "published"})
    write_json(workspace.year(2017).settings, settings)  # from before it was recorded
    for year in (2016, 2017):
        chip = workspace.year(year).chip("train", "1")
        chip.parent.mkdir(parents=True)
        chip.touch()
    with pytest.raises(PipelineError, match=r"2016 .* \(encoding published\) than 2018 would be \(encoding stretch\)"):
        refuse_mixture(workspace, 2018, settings | {"encoding": "stretch"})
    write_json(workspace.year(2016).settings, settings | {"encoding": "stretch"})
    refuse_mixture(workspace, 2018, settings | {"encoding": "stretch"})
