"""The commands of the README, as a user runs them, on two districts of the demo's landscape.

Every command runs as a process of its own once; what else is asked of it is typed in this process, where it need not
load its libraries again.
"""

import os
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

import gpkg_dataset_generation as step_3_script
import segmentation_dataset_generation as step_1_script
from segmentation.chips.mask import IGNORE
from segmentation.core import cli
from segmentation.core.provenance import COMPARED
from segmentation.core.workspace import REPOSITORY, Workspace
from segmentation.demo.landscape.sites import literature_polygons
from segmentation.demo.planet.standin import DEMO_KEY, standin
from segmentation.imagery.planet.key import KEY_NAMES

YEAR = 2019
ITERATIONS = 2
# Windows of two quads, some of which overlap; of twice the pixels, and one that no key may see.
POLYGONS = [*(f"{place}-0{n}" for place in ("huepetuhe", "linden") for n in (1, 2, 3, 6)), "linden-08"]
CONFIG = REPOSITORY / "configs" / "segformer_demo_mining-512x512.py"


def run(*arguments, cwd=REPOSITORY, **environment):
    """Run a command of the project; no key but the given one, wherever the tests run."""
    inherited = {name: value for name, value in os.environ.items() if name not in KEY_NAMES}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=inherited | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


SCRIPTS = {"segmentation_dataset_generation.py": step_1_script, "gpkg_dataset_generation.py": step_3_script}


@pytest.fixture
def typed(monkeypatch, capsys):
    """Runs a script as ``run`` does, but in this process."""

    def run_here(name, *words, **environment):
        with monkeypatch.context() as patch:
            for key in KEY_NAMES:
                patch.delenv(key, raising=False)
            for key, value in environment.items():
                patch.setenv(key, value)
            patch.setattr(sys, "argv", [name, *map(str, words)])
            with pytest.raises(SystemExit) as left:
                cli.run(SCRIPTS[name].main, SCRIPTS[name].arguments())
        told = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, left.value.code, told.out, told.err)

    return run_here


def files_under(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def polygons(tmp_path_factory):
    """Literature polygons of two districts, in another format and CRS than usual."""
    path = tmp_path_factory.mktemp("polygons") / "two districts.geojson"
    drawn = literature_polygons()
    drawn[drawn["id"].isin(POLYGONS)].to_crs("EPSG:3395").to_file(path)
    return path


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """The stand-in for Planet's API."""
    with standin(tmp_path_factory.mktemp("rendered")) as url:
        yield url


@pytest.fixture(scope="module")
def step_1(polygons, api, tmp_path_factory):
    """Step 1 of the label year: its workspace, and what it printed."""
    root = tmp_path_factory.mktemp("workspace")
    done = run(*step_1_of(root, polygons, api), PL_API_KEY=DEMO_KEY)
    assert done.returncode == 0, done.stderr
    return Workspace(root), done.stdout


def step_1_of(root, polygons, api, year=YEAR):
    script = "segmentation_dataset_generation.py"
    rest = ("--seed", 43, "--data-root", root, "--polygons", polygons, "--api-url", api, "--max-rps", 100, "--quiet")
    # One process that cuts: others test what several do, and each takes seconds to start.
    return (script, f"-year={year}", "--workers", 1, *rest)


@pytest.fixture(scope="module")
def checkpoint(step_1, tmp_path_factory):
    """A model that has seen a few batches."""
    workspace, _ = step_1
    work_dir = tmp_path_factory.mktemp("work_dir")
    data_root = workspace.year(YEAR).path
    settings = [f"{part}_dataloader.dataset.data_root={data_root}" for part in ("train", "val", "test")]
    settings += [f"train_cfg.max_iters={ITERATIONS}", f"train_cfg.val_interval={ITERATIONS}"]
    settings += ["train_dataloader.batch_size=2", f"default_hooks.checkpoint.interval={ITERATIONS}"]
    done = run("-m", "segmentation.train", CONFIG, "--work-dir", work_dir, "--cfg-options", *settings)
    assert done.returncode == 0, done.stderr
    return work_dir / f"iter_{ITERATIONS}.pth"


@pytest.fixture(scope="module")
def step_3(step_1, checkpoint):
    """Step 3 of the label year: the GeoPackage, and what it printed."""
    workspace, _ = step_1
    # Barely trained, the model is sure of nothing; a low threshold makes it draw all the same.
    done = run(*step_3_of(workspace, checkpoint), "--threshold", 0.1)
    assert done.returncode == 0, done.stderr
    return workspace.year(YEAR).predicted(f"{CONFIG.stem}_{ITERATIONS}"), done.stdout


def step_3_of(workspace, checkpoint, year=YEAR):
    model = ("--config", CONFIG, "--checkpoint", checkpoint, f"-iter={ITERATIONS}")
    return ("gpkg_dataset_generation.py", f"-year={year}", "--data-root", workspace.root, *model, "--quiet")


def test_step_1_accounts_for_every_polygon(step_1, polygons):
    workspace, printed = step_1
    windows = gpd.read_file(workspace.year(YEAR).windows, layer="windows")
    assert sorted(windows["id"]) == sorted(gpd.read_file(polygons)["id"])
    assert windows.loc[windows["status"] == "not covered", "id"].tolist() == ["linden-08"]
    written = windows[windows["status"] == "written"]
    chips = list(workspace.year(YEAR).path.glob("img_dir/*/*.tif"))
    assert sorted(path.stem for path in chips) == sorted(written["id"])
    assert f"{'polygons read':<44}{len(windows):>12}" in printed
    assert f"{'overlap between splits':<44}{'0 m2':>12}" in printed


def test_chips_and_masks_lie_where_their_windows_do(step_1):
    workspace, _ = step_1
    folder = workspace.year(YEAR)
    windows = gpd.read_file(folder.windows, layer="windows")
    for row in windows[windows["status"] == "written"].itertuples():
        with (
            rasterio.open(folder.chip(row.split, row.id)) as chip,
            rasterio.open(folder.mask(row.split, row.id)) as mask,
        ):
            assert chip.crs == mask.crs == windows.crs
            assert chip.transform == mask.transform
            assert shapely.box(*chip.bounds).equals_exact(row.geometry, 1e-6)
            no_data = ~chip.read().any(axis=0)
            np.testing.assert_array_equal(mask.read(1) == IGNORE, no_data)


def test_every_quad_is_fetched_once_and_an_uncovered_one_is_named(step_1):
    workspace, _ = step_1
    quads = gpd.read_file(workspace.year(YEAR).windows, layer="quads")
    covered = quads[quads["status"] == "covered"]
    cached = workspace.year(YEAR).quads.rglob("*.tif")
    assert sorted(path.stem for path in cached) == sorted(covered["quad"])
    assert (quads["status"] == "not covered").sum() == 1


def test_a_finished_year_needs_neither_network_nor_key_and_stays_the_same(step_1, polygons, typed):
    workspace, _ = step_1
    folder = workspace.year(YEAR).path
    before = files_under(folder)
    for path in list(folder.glob("*_dir/train/*.tif"))[:5]:
        path.unlink()
    (folder / "windows.gpkg").unlink()
    done = typed(*step_1_of(workspace.root, polygons, "http://127.0.0.1:9"))
    assert done.returncode == 0, done.stderr
    assert files_under(folder) == before


def test_another_year_has_chips_in_the_same_splits_and_no_masks(step_1, polygons, api, typed):
    workspace, _ = step_1
    done = typed(*step_1_of(workspace.root, polygons, api, year=2022), PLANET_API_KEY=DEMO_KEY)
    assert done.returncode == 0, done.stderr
    splits = [
        gpd.read_file(workspace.year(year).windows, layer="windows").set_index("id")["split"] for year in (YEAR, 2022)
    ]
    assert splits[0].equals(splits[1])
    assert list(workspace.year(2022).path.glob("img_dir/*/*.tif"))
    assert not (workspace.year(2022).path / "ann_dir").exists()


def test_a_year_made_from_other_polygons_is_not_mixed_with_this_one(step_1, polygons, api, tmp_path, typed):
    workspace, _ = step_1
    fewer = tmp_path / "fewer.gpkg"
    gpd.read_file(polygons).iloc[1:].to_file(fewer)
    done = typed(*step_1_of(workspace.root, fewer, api), PL_API_KEY=DEMO_KEY)
    assert done.returncode == 2
    assert "made with other settings (polygons was" in done.stderr


def test_a_plan_says_what_a_year_would_take_without_key_or_network(step_1, polygons, tmp_path, typed):
    workspace, _ = step_1
    needed = len(gpd.read_file(workspace.year(YEAR).windows, layer="quads"))
    for root, missing in ((tmp_path / "nothing", needed), (workspace.root, 0)):
        done = typed(*step_1_of(root, polygons, "http://127.0.0.1:9"), "--plan")
        assert done.returncode == 0, done.stderr
        assert f"{'quads needed':<44}{needed:>12}" in done.stdout
        assert f"{'  to fetch':<44}{missing:>12}" in done.stdout
        assert f"{'requests, at least':<44}{(1 + 2 * missing) if missing else 0:>12}" in done.stdout
    assert not (tmp_path / "nothing").exists()


def test_the_least_cloudy_mosaic_is_taken_quad_by_quad(polygons, api, tmp_path, typed):
    few = tmp_path / "few.gpkg"
    gpd.read_file(polygons).query("id in ['huepetuhe-02', 'linden-02', 'linden-08']").to_file(few)
    command = (*step_1_of(tmp_path / "workspace", few, api, year=2021), "--cloud-free")
    done = typed(*command, PL_API_KEY=DEMO_KEY)
    assert done.returncode == 0, done.stderr
    folder = Workspace(tmp_path / "workspace").year(2021)
    quads = gpd.read_file(folder.windows, layer="quads").set_index("quad")
    windows = gpd.read_file(folder.windows, layer="windows")
    assert quads["cloud"].between(0, 100).all()
    for window in windows.itertuples():
        assert set(window.mosaic.split()) == set(quads.loc[window.quads.split(), "mosaic"])
    before = files_under(folder.path)
    (folder.path / "windows.gpkg").unlink()
    again = typed(*command[:-2], "--api-url", "http://127.0.0.1:9", *command[-2:])
    assert again.returncode == 0, again.stderr
    assert files_under(folder.path) == before


def test_the_key_is_nowhere_in_the_workspace(polygons, api, tmp_path, typed):
    done = typed(*step_1_of(tmp_path, polygons, api), "--verbose", PL_API_KEY=DEMO_KEY)
    assert done.returncode == 2, "--quiet and --verbose exclude each other"
    secret = "api_key="
    command = [part for part in step_1_of(tmp_path, polygons, api) if part != "--quiet"]
    done = run(*command, "--verbose", PL_API_KEY=DEMO_KEY)
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    assert not [name for name, content in files_under(tmp_path).items() if secret.encode() in content]


@pytest.mark.parametrize(
    ("environment", "extra", "message"),
    [
        ({}, (), "error: no Planet API key"),
        ({"PL_API_KEY": "wrong"}, (), "refuses the API key (401)"),
        ({"PL_API_KEY": DEMO_KEY}, ("--mosaic", "absent"), "mosaic absent is not visible to this API key"),
        ({"PL_API_KEY": DEMO_KEY}, ("--polygons", "absent.gpkg"), "no polygons at absent.gpkg"),
    ],
)
def test_what_step_1_cannot_do_is_one_line_and_leaves_nothing(
    polygons, api, tmp_path, environment, extra, message, typed, monkeypatch
):
    root = tmp_path / "workspace"
    monkeypatch.chdir(tmp_path)
    done = typed(*step_1_of(root, polygons, api), *extra, **environment)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not root.exists()


def test_step_1_starts_from_any_folder(polygons, api, tmp_path):
    script, *words = step_1_of(tmp_path / "workspace", polygons, api)
    done = run(REPOSITORY / script, *words, cwd=tmp_path, PL_API_KEY="wrong")
    assert done.returncode == 2
    assert "refuses the API key (401)" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "workspace").exists()


def test_a_workspace_that_cannot_be_written_is_told(polygons, api, tmp_path, typed):
    (tmp_path / "file").touch()
    done = typed(*step_1_of(tmp_path / "file" / "workspace", polygons, api), PL_API_KEY=DEMO_KEY)
    assert done.returncode == 2
    assert f"is no folder: {tmp_path / 'file'} is a file" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_same_year_twice_at_once_is_refused(step_1, polygons, api, checkpoint, typed):
    workspace, _ = step_1
    with workspace.year(YEAR).locked():
        for command in (step_1_of(workspace.root, polygons, api), step_3_of(workspace, checkpoint)):
            done = typed(*command, PL_API_KEY=DEMO_KEY)
            assert done.returncode == 2
            assert f"error: {YEAR} is being worked on by another process" in done.stderr


def test_step_3_writes_polygons_with_their_attributes(step_3):
    path, printed = step_3
    found = gpd.read_file(path, layer="mining_polygons")
    assert found.crs == "EPSG:4326"
    assert found.columns.tolist()[:6] == ["id", "iso_a3", "country_name", "year", "area", "mean_probability"]
    assert len(found) > 0
    assert found.geometry.is_valid.all()
    assert set(found["iso_a3"]) <= {"PER", "GUY"}
    assert found["mean_probability"].between(0.1, 1).all()
    assert (found["area"] > 0).all()
    assert f"open in QGIS: {path}" in printed
    metadata = pyogrio.read_info(path, layer="mining_polygons")["layer_metadata"]
    assert metadata["iteration"] == str(ITERATIONS)
    assert metadata["mosaic"] == "planet_medres_normalized_analytic_2019-06_2019-11_mosaic"
    # What the panel compares years by, but for what this source does not say.
    assert set(COMPARED) - metadata.keys() <= {
        "checkpoint sha256",
        "precision",
        "temporal filter",
        "bands",
        "synthetic",
    }


def test_another_threshold_needs_no_second_inference(step_1, step_3, checkpoint, tmp_path, typed):
    workspace, _ = step_1
    probabilities = workspace.year(YEAR).path / "probabilities"
    before = {path: path.stat().st_mtime_ns for path in probabilities.rglob("*.tif")}
    largest = gpd.read_file(step_3[0], layer="mining_polygons")["area"].sum()
    done = typed(*step_3_of(workspace, checkpoint), "--threshold", 0.9, "--force")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in probabilities.rglob("*.tif")} == before
    assert gpd.read_file(step_3[0], layer="mining_polygons")["area"].sum() < largest


def test_smooth_outlines_of_means_in_every_format_need_no_second_inference(step_1, step_3, checkpoint, typed):
    workspace, _ = step_1
    probabilities = workspace.year(YEAR).path / "probabilities"
    before = {path: path.stat().st_mtime_ns for path in probabilities.rglob("*.tif")}
    done = typed(*step_3_of(workspace, checkpoint), "--threshold", 0.1, "--format", "fgb,parquet", "--force")
    assert done.returncode == 0, done.stderr
    exact = gpd.read_file(step_3[0].with_suffix(".fgb"))
    options = ("--threshold", 0.1, "--outline", "smooth", "--overlap", "mean", "--format", "parquet", "--force")
    done = typed(*step_3_of(workspace, checkpoint), *options)
    assert done.returncode == 0, done.stderr
    assert str(step_3[0].with_suffix(".parquet")) in done.stdout
    smooth = gpd.read_parquet(step_3[0].with_suffix(".parquet"))
    assert smooth.geometry.is_valid.all()
    assert 0.8 * exact["area"].sum() < smooth["area"].sum() < exact["area"].sum() * 1.02
    assert {path: path.stat().st_mtime_ns for path in probabilities.rglob("*.tif")} == before


def test_a_run_that_goes_on_ends_with_the_same_polygons(step_1, step_3, checkpoint, typed):
    workspace, _ = step_1
    probabilities = sorted((workspace.year(YEAR).path / "probabilities").rglob("*.tif"))
    command = (*step_3_of(workspace, checkpoint), "--threshold", 0.1)
    assert typed(*command, "--force").returncode == 0
    whole = [path.read_bytes() for path in (step_3[0], *probabilities)]
    for path in probabilities[::3]:
        path.unlink()
    step_3[0].unlink()
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert [path.read_bytes() for path in (step_3[0], *probabilities)] == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--devices", "gpu"), "'gpu' is no device"),
        (("--format", "gpkg,shp"), "'shp' is none of gpkg, parquet, fgb"),
        (("--batch-size", "0"), "argument --batch-size: '0' is not a whole number from 1 to 65536"),
        (("--precision", "fp8"), "invalid choice: 'fp8'"),
        (("--outline", "round"), "invalid choice: 'round'"),
    ],
)
def test_what_step_3_cannot_do_is_one_line(step_1, checkpoint, options, message, typed):
    done = typed(*step_3_of(step_1[0], checkpoint), *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_step_3_before_step_1_says_so(step_1, checkpoint, typed):
    done = typed(*step_3_of(step_1[0], checkpoint, year=2017))
    assert done.returncode == 2
    assert "run segmentation_dataset_generation.py -year=2017 first" in done.stderr


def test_predictions_are_evaluated_on_the_test_windows(step_1, step_3, checkpoint):
    workspace, _ = step_1
    _, *options = step_3_of(workspace, checkpoint)
    done = run("-m", "segmentation.evaluate", *options)
    assert done.returncode == 0, done.stderr
    assert "iou" in done.stdout


def test_an_overview_is_drawn(step_1, step_3, checkpoint, polygons, tmp_path):
    workspace, _ = step_1
    model = ("--config", CONFIG, "--checkpoint", checkpoint, f"-iter={ITERATIONS}")
    picture = tmp_path / "overview.png"
    years = ("--data-root", workspace.root, "--polygons", polygons, "--years", YEAR, "-o", picture)
    done = run("-m", "segmentation.overview", *years, *model)
    assert done.returncode == 0, done.stderr
    with rasterio.open(picture) as image:
        assert image.read().std() > 10


def test_help_does_not_wait_for_torch():
    for script in ("segmentation_dataset_generation.py", "gpkg_dataset_generation.py"):
        done = run("-X", "importtime", script, "--help")
        assert done.returncode == 0
        assert "| torch" not in done.stderr
        assert "| mmseg" not in done.stderr


@pytest.mark.parametrize(
    "extra", [("--fetch", "windows"), ("--discard-quads",), ("--fetch", "windows", "--discard-quads")]
)
def test_chips_are_the_same_however_their_quads_are_fetched(step_1, polygons, api, tmp_path, extra, typed):
    workspace, _ = step_1
    command = (*step_1_of(tmp_path, polygons, api), *extra)
    done = typed(*command, PL_API_KEY=DEMO_KEY)
    assert done.returncode == 0, done.stderr
    folder, kept = Workspace(tmp_path).year(YEAR), workspace.year(YEAR)
    made, whole = files_under(folder.path), files_under(kept.path)
    of_step_1 = [
        name for name in whole if name.split("/")[0] in ("img_dir", "ann_dir", "windows.gpkg", "settings.json")
    ]
    assert sorted(made) == of_step_1
    assert [name for name in of_step_1 if made[name] != whole[name]] == []
    on_disk = sum(path.stat().st_size for path in folder.quads.rglob("*.tif"))
    if "--discard-quads" in extra:
        assert on_disk == 0
    else:
        assert on_disk < 0.5 * sum(path.stat().st_size for path in kept.quads.rglob("*.tif"))
    again = typed(*step_1_of(tmp_path, polygons, "http://127.0.0.1:9"), *extra)
    assert again.returncode == 0, again.stderr
    assert files_under(folder.path) == made
