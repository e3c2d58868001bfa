"""``python -m segmentation.evaluate`` on a small drawn year."""

import json
import shutil
import sys

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from helpers.evaluations import GRID, RUN, YEAR, countries, draw_year, model
from helpers.outputs_page import documented, layer, named_in, surprising_nulls
from matplotlib.image import imread
from sklearn import metrics

from segmentation.chips.mask import IGNORE, read_mask
from segmentation.core.errors import PipelineError
from segmentation.core.provenance import INVENTED
from segmentation.evaluate import __main__ as evaluate
from segmentation.evaluate.draw.gallery import best_median_worst
from segmentation.evaluate.judgement import chip_pixel_classes
from segmentation.geo.geopackage import Layer, read_metadata, write_geopackage
from segmentation.predict.probability import NO_DATA, read_probability
from segmentation.windows.record import read_grid

FILES = {
    "calibration.csv",
    "curves.png",
    "evaluation.json",
    "measures.csv",
    "objects.gpkg",
    "objects_by_size.csv",
    "thresholds.csv",
    "windows.csv",
}


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """The drawn year, its polygons, and the options that name its model."""
    root = tmp_path_factory.mktemp("evaluated")
    workspace, polygons = draw_year(root / "data")
    config, checkpoint = model(root)
    named = ("--config", config, "--checkpoint", checkpoint, "-iter=8", "--countries", countries(root))
    return workspace, polygons, [f"-year={YEAR}", "--data-root", root / "data", *named, "--quiet"]


@pytest.fixture(scope="module")
def evaluated(year):
    """The folder of its test split, evaluated."""
    workspace, _, options = year
    run(*options, "--gallery", "2", "--bootstrap", "300")
    return workspace.year(YEAR).evaluation(RUN, "test")


def run(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
        return evaluate.main(evaluate.arguments())


def figures(folder):
    return json.loads((folder / "evaluation.json").read_text())["measures"]


def known_pixels(workspace, split):
    """Truth and probability of all pixels of a split that have data."""
    folder = workspace.year(YEAR)
    windows = gpd.read_file(folder.windows, layer="windows").query("split == @split")
    masks = np.stack([read_mask(folder.mask(split, name)) for name in windows["id"]])
    probabilities = np.stack([read_probability(folder.probability(RUN, name)) for name in windows["id"]])
    known = (masks != IGNORE) & (probabilities != NO_DATA)
    return masks[known], probabilities[known]


def test_the_page_of_outputs_describes_every_file_column_and_measure(evaluated):
    tables = {path.name: pd.read_csv(path) for path in evaluated.glob("*.csv")}
    for name, table in tables.items():
        assert set(documented(name)) == set(table), name
        assert surprising_nulls(name, table) == []
    for name in ("reference", "predicted"):
        assert set(documented("objects.gpkg")) == layer(evaluated / "objects.gpkg", name)
    assert {path.name for path in evaluated.iterdir()} <= named_in("## The evaluation", "### ")
    measures = tables["measures.csv"]
    assert {*measures["unit"], *measures["by"], *measures["measure"]} <= named_in("### measures.csv", "### objects")


def test_the_headline_is_what_scikit_learn_says_of_all_test_pixels(year, evaluated):
    truth, probability = known_pixels(year[0], "test")
    found = {
        name: figure["value"]
        for name, figure in figures(evaluated)["pixels"]["all"]["all"].items()
        if isinstance(figure, dict)
    }
    predicted = probability >= 125
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted), abs=1e-6)
    assert found["precision"] == pytest.approx(metrics.precision_score(truth, predicted), abs=1e-6)
    assert found["recall"] == pytest.approx(metrics.recall_score(truth, predicted), abs=1e-6)
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, predicted), abs=1e-6)
    assert found["iou"] == pytest.approx(metrics.jaccard_score(truth, predicted), abs=1e-6)
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(truth, probability), abs=1e-6)


def test_the_threshold_is_chosen_on_val_and_reported_on_test(year, evaluated):
    chosen = json.loads((evaluated / "evaluation.json").read_text())["best_threshold"]
    candidates = np.arange(1, 251)
    iou = {}
    for split in ("val", "test"):
        truth, probability = known_pixels(year[0], split)
        truth = truth.astype(bool)
        mine = np.cumsum(np.bincount(probability[truth], minlength=251)[::-1])[::-1][candidates]
        predicted = np.cumsum(np.bincount(probability, minlength=251)[::-1])[::-1][candidates]
        iou[split] = mine / (predicted + truth.sum() - mine)
    level = round(chosen * 250)
    assert iou["val"][level - 1] == iou["val"].max()
    assert iou["val"].argmax() != iou["test"].argmax(), "the case would show nothing"
    at_best = figures(evaluated)["pixels at the best threshold"]["all"]["all"]["iou"]
    assert at_best["value"] == pytest.approx(iou["test"][level - 1], abs=1e-6)
    assert at_best["low"] < at_best["value"] < at_best["high"]
    table = pd.read_csv(evaluated / "thresholds.csv")
    assert table["iou"].to_numpy() == pytest.approx(iou["test"], rel=1e-4)
    assert table["chosen_on_iou"].to_numpy() == pytest.approx(iou["val"], rel=1e-4)


def test_what_is_synthetic_is_marked_in_every_file(year, tmp_path, capsys):
    _, polygons, options = year
    reference = tmp_path / "drawn.gpkg"
    write_geopackage(reference, [Layer("mines", polygons)], {"synthetic": INVENTED})
    run(*options, "--reference", reference, "--bootstrap", "20")
    assert "SYNTHETIC" in capsys.readouterr().out
    folder = year[0].year(YEAR).evaluation(RUN, "test_drawn")
    assert json.loads((folder / "evaluation.json").read_text())["synthetic"] == INVENTED
    assert read_metadata(folder / "objects.gpkg")["synthetic"] == INVENTED
    tables = list(folder.glob("*.csv"))
    assert len(tables) == 5
    assert all(set(pd.read_csv(path)["synthetic"]) == {"yes"} for path in tables)


def test_real_imagery_is_not_marked(evaluated):
    assert "synthetic" not in (evaluated / "evaluation.json").read_text()
    assert "synthetic" not in (evaluated / "windows.csv").read_text()


def test_groups_are_counted_not_windows(evaluated):
    figure = figures(evaluated)["pixels"]["all"]["all"]
    assert (figure["windows"], figure["groups"]) == (8, 7)


def test_subsets_are_named_and_counted(evaluated):
    table = pd.read_csv(evaluated / "measures.csv")
    windows = table[(table["measure"] == "iou") & (table["unit"] == "pixels")].set_index(["by", "subset"])["windows"]
    assert windows["chip pixel"].to_dict() == {"1": 7, "2": 1}
    assert windows["country"].to_dict() == {"GHA": 8}


def test_objects_are_those_of_the_ground(evaluated):
    """Eight windows, two of which see the same two mines; false ones in every other window."""
    sizes = pd.read_csv(evaluated / "objects_by_size.csv")
    assert sizes["reference"].sum() == 8
    drawn = {name: gpd.read_file(evaluated / "objects.gpkg", layer=name) for name in ("reference", "predicted")}
    assert len(drawn["reference"]) == 8
    assert drawn["reference"]["status"].eq("missed").sum() == sizes["missed"].sum()
    assert drawn["predicted"]["status"].eq("false").sum() == sizes["false"].sum()
    assert (drawn["predicted"]["iou"] == 0).sum() == sizes["baseless"].sum() >= 4
    assert drawn["predicted"]["area"].sum() / 1e6 == pytest.approx(sizes["predicted_km2"].sum(), rel=1e-3)


def test_the_same_polygons_as_reference_give_what_the_masks_give(year, evaluated, tmp_path):
    workspace, polygons, options = year
    path = tmp_path / "others.geojson"
    polygons.to_crs("EPSG:4326").to_file(path)
    run(*options, "--reference", path, "--bootstrap", "300")
    other = workspace.year(YEAR).evaluation(RUN, "test_others")
    assert figures(other) == figures(evaluated)
    for name in ("windows.csv", "objects_by_size.csv", "thresholds.csv", "calibration.csv"):
        assert (other / name).read_text() == (evaluated / name).read_text()


def test_a_reference_serves_a_year_without_masks(tmp_path, capsys):
    workspace, polygons = draw_year(tmp_path / "data", masks=False, chips=False)
    config, checkpoint = model(tmp_path)
    polygons.to_file(tmp_path / "mines.shp")
    named = ("--config", config, "--checkpoint", checkpoint, "-iter=8", "--countries", countries(tmp_path))
    options = [f"-year={YEAR}", "--data-root", tmp_path / "data", *named, "--quiet"]
    with pytest.raises(PipelineError, match=r"no mask at .* \(8 of 8 are missing\): .* --reference FILE"):
        run(*options)
    run(*options, "--reference", tmp_path / "mines.shp", "--bootstrap", "50")
    assert "against mines.shp" in capsys.readouterr().out
    assert {path.name for path in workspace.year(YEAR).evaluation(RUN, "test_mines").iterdir()} == FILES


def test_everything_is_written_and_the_same_again(year, evaluated):
    assert {path.name for path in evaluated.iterdir()} == FILES | {"gallery.png"}
    before = {path.name: path.read_bytes() for path in evaluated.iterdir()}
    run(*year[2], "--gallery", "2", "--bootstrap", "300", "--workers", "1")
    assert {path.name: path.read_bytes() for path in evaluated.iterdir()} == before


def test_pictures_show_something(year, evaluated):
    run(*year[2], "--pages", "--bootstrap", "50", "--split", "val")
    pages = sorted((evaluated.parent / "val" / "pages").iterdir())
    assert [page.name for page in pages] == ["w08.png", "w09.png", "w10.png", "w11.png"]
    for path in (evaluated / "curves.png", evaluated / "gallery.png", pages[0]):
        pixels = imread(path)
        assert pixels.std() > 0.05
        assert min(pixels.shape[:2]) > 400


def test_the_screen_shows_figures_and_where_the_files_are(year, evaluated, capsys):
    run(*year[2], "--bootstrap", "300")
    printed = capsys.readouterr().out
    iou = figures(evaluated)["pixels"]["all"]["all"]["iou"]
    assert f"{RUN} on 8 test windows of {YEAR} in 7 independent groups, against the masks, threshold 0.5" in printed
    assert f"{'iou':<20}{iou['value']:>8.3f}  {iou['low']:.3f} to {iou['high']:.3f}" in printed
    assert "chosen on 4 val windows" in printed
    assert f"written to {evaluated}: evaluation.json, measures.csv, " in printed


def test_without_validation_windows_no_threshold_is_chosen(tmp_path, capsys):
    workspace, polygons = draw_year(tmp_path, chips=False)
    windows = workspace.year(YEAR).windows
    left, settings = gpd.read_file(windows).query("split != 'val'"), read_metadata(windows)
    write_geopackage(windows, [Layer("windows", left, "Polygon")], settings)
    polygons.to_file(tmp_path / "mines.gpkg")
    config, checkpoint = model(tmp_path)
    named = ("--config", config, "--checkpoint", checkpoint, "-iter=8", "--countries", countries(tmp_path))
    run(f"-year={YEAR}", "--data-root", tmp_path, *named, "--reference", tmp_path / "mines.gpkg", "--bootstrap", "20")
    assert "no threshold chosen: no val windows" in capsys.readouterr().out
    written = workspace.year(YEAR).evaluation(RUN, "test_mines") / "evaluation.json"
    assert json.loads(written.read_text())["best_threshold"] is None


def test_windows_that_do_not_say_their_grid_are_told(year, tmp_path):
    workspace, _, _ = year
    shutil.copy(workspace.year(YEAR).windows, tmp_path / "windows.gpkg")
    assert read_grid(tmp_path / "windows.gpkg") == GRID
    gpd.read_file(tmp_path / "windows.gpkg").to_file(tmp_path / "windows.gpkg", layer="windows")
    with pytest.raises(PipelineError, match=r"windows.gpkg does not say on which grid .* run step 1"):
        read_grid(tmp_path / "windows.gpkg")


def test_neither_config_nor_checkpoint_is_needed(year, evaluated, tmp_path):
    _, _, options = year
    before = figures(evaluated)
    # Of options given twice, the last counts.
    run(*options, "--config", tmp_path / "model.py", "--checkpoint", tmp_path / "model.pth", "--bootstrap", "300")
    assert figures(evaluated) == before


def test_what_cannot_be_evaluated_is_told(year, tmp_path, vector_file):
    from shapely import box

    workspace, _, options = year
    elsewhere = vector_file([box(100, 0, 100.1, 0.1)])
    with pytest.raises(PipelineError, match="has no polygon where the test windows of 2019 look"):
        run(*options, "--reference", elsewhere)
    with pytest.raises(PipelineError, match="no polygons at absent.gpkg: no such file"):
        run(*options, "--reference", "absent.gpkg")
    probability = workspace.year(YEAR).probability(RUN, "w03")
    content = probability.read_bytes()
    probability.unlink()
    try:
        with pytest.raises(PipelineError, match=r"no prediction at .*w03.tif \(1 of 8 are missing\): run gpkg_"):
            run(*options)
    finally:
        probability.write_bytes(content)
    record = probability.with_name("model.json")
    record.write_text('{"checkpoint": "of other weights"}')
    try:
        with pytest.raises(PipelineError, match="was predicted by other weights than"):
            run(*options)
    finally:
        record.unlink()


@pytest.mark.parametrize(
    "wrong",
    [["--split", "all"], ["--threshold", "1"], ["--gallery", "0"], ["--min-area=-1"], ["--seed=-1"], ["--bootstrap=0"]],
    ids=" ".join,
)
def test_a_mistyped_argument_is_one_line(year, wrong, capsys):
    with pytest.raises(SystemExit) as left:
        run(*year[2], *wrong)
    assert left.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_best_median_and_worst_are_told_apart():
    iou = np.array([0.5, np.nan, 0.9, 0.1, 0.7, 0.3, 0.0, 0.8])
    found = best_median_worst(iou, 1)
    assert {kind: rows.tolist() for kind, rows in found.items()} == {"best": [2], "median": [0], "worst": [6]}
    few = best_median_worst(iou, 3)
    assert {kind: rows.tolist() for kind, rows in few.items()} == {"best": [2, 7, 4], "median": [0, 5], "worst": [3, 6]}


def test_window_sizes_are_classes_of_doubled_pixels():
    names = chip_pixel_classes(np.array([1, 2, 3, 4, 5, 8, 9, 16, 17]))
    assert names.tolist() == ["1", "2", "3-4", "3-4", "5-8", "5-8", "9-16", "9-16", "17-32"]
