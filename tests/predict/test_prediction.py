"""Step 3 on a small year: what is kept stays, what was made in another way is refused, faults are one line."""

import shutil

import geopandas as gpd
import numpy as np
import pytest
import torch
from helpers.models import untrained
from helpers.predictions import YEAR, draw_chips, one_country, step_3

from segmentation.core.errors import PipelineError
from segmentation.core.files import fingerprint, read_json, write_json
from segmentation.core.workspace import Workspace
from segmentation.geo.metadata import read_settings
from segmentation.predict.devices import Inference
from segmentation.predict.kept import record_path
from segmentation.predict.runs import ModelRun, find_run
from segmentation.predict.year import plan_year, write_levels
from segmentation.windows.record import read_windows

RUN = "model_1"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of random weights, and the options that name it."""
    folder = tmp_path_factory.mktemp("trained")
    run = untrained(folder)
    return run, ("--config", run.config, "--checkpoint", run.checkpoint, "--countries", one_country(folder))


@pytest.fixture(scope="module")
def bf16_year(trained, tmp_path_factory):
    """The root of a year predicted in bf16."""
    root = tmp_path_factory.mktemp("bf16") / "data"
    draw_chips(root)
    done = step_3(root, *trained[1], "--precision", "bf16")
    assert done.status == 0, done.printed
    return root


@pytest.fixture
def year(bf16_year, tmp_path):
    """A copy of that year, for a test to change: its folder."""
    shutil.copytree(bf16_year, tmp_path / "data")
    return Workspace(tmp_path / "data").year(YEAR)


def kept(folder, run=RUN):
    """The kept probabilities' content by name."""
    return {path.name: path.read_bytes() for path in record_path(folder, run).parent.glob("*.tif")}


def plan(folder, run, **how):
    return plan_year(read_windows(folder.windows, YEAR), folder, run, Inference(("cpu",), **how), quiet=True)


def refused(done, *words):
    assert done.status == 2, done.printed
    assert len(done.printed.strip().splitlines()) == 1, done.printed
    for word in words:
        assert word in done.printed


def test_another_precision_is_refused_and_removes_only_when_asked(year, trained):
    before, root = kept(year), year.path.parents[1]
    refused(
        step_3(root, *trained[1], "--precision", "fp32"),
        "made with --precision bf16, not fp32",
        "--restart removes these 3 files",
    )
    assert kept(year) == before
    done = step_3(root, *trained[1], "--precision", "fp32", "--restart", "--force")
    assert done.status == 0, done.printed
    assert "removed 3 probability files" in done.printed
    assert read_json(record_path(year, RUN))["precision"] == "fp32"
    assert kept(year).keys() == before.keys()
    assert kept(year) != before
    assert read_settings(year.predicted(RUN))["precision"] == "fp32"


def test_other_weights_under_the_same_name_are_refused(year, trained, tmp_path):
    content = torch.load(trained[0].checkpoint, weights_only=True)
    content["state_dict"]["decode_head.conv_seg.bias"] += 1
    torch.save(content, tmp_path / "iter_1.pth")
    before = kept(year)
    with pytest.raises(
        PipelineError, match="made with another checkpoint than .*iter_1.pth; --restart removes these 3"
    ):
        plan(year, ModelRun(trained[0].config, tmp_path / "iter_1.pth", 1))
    assert kept(year) == before


def test_a_model_that_does_not_run_costs_nothing_that_is_kept(year, trained, tmp_path):
    (tmp_path / "iter_1.pth").write_bytes(b"no checkpoint")
    before, record = kept(year), record_path(year, RUN).read_bytes()
    options = ("--config", trained[0].config, "--checkpoint", tmp_path / "iter_1.pth", "--restart", "--force")
    refused(step_3(year.path.parents[1], *options), "cannot load", "iter_1.pth")
    assert (kept(year), record_path(year, RUN).read_bytes()) == (before, record)


def test_a_year_goes_on_in_the_precision_it_was_begun_in(year, trained):
    record_path(year, RUN).with_name("w1.tif").unlink()
    work = plan(year, trained[0])
    assert (work.missing, work.how.precision) == ([1], "bf16")
    assert work.made_from == read_json(record_path(year, RUN))


def test_a_new_year_is_predicted_in_fp32_on_a_cpu(trained, tmp_path):
    folder = draw_chips(tmp_path).year(YEAR)
    work = plan(folder, trained[0])
    assert (work.missing, work.how.precision) == ([0, 1, 2], "fp32")
    assert not record_path(folder, RUN).exists()


def test_a_precision_in_which_a_device_cannot_go_on_is_told(year, trained):
    record = record_path(year, RUN)
    write_json(record, read_json(record) | {"precision": "fp16"})
    record.with_name("w1.tif").unlink()
    with pytest.raises(PipelineError, match=r"were made in fp16, in which cpu cannot go on; .* --restart"):
        plan(year, trained[0])


def test_other_chips_are_refused(year, trained):
    write_json(year.settings, {"source": "other noise"})
    with pytest.raises(PipelineError, match="made with other chips than the year's; --restart"):
        plan(year, trained[0])


def test_probabilities_of_which_nothing_is_known_are_not_removed(year, trained):
    record_path(year, RUN).unlink()
    with pytest.raises(PipelineError, match="nothing says what made the probabilities in .*model_1; --restart"):
        plan(year, trained[0])
    assert len(kept(year)) == 3


def test_a_config_counts_by_what_it_says_of_the_model_not_by_its_text(year, trained, tmp_path):
    text = trained[0].config.read_text()
    same, other = tmp_path / "a" / "model.py", tmp_path / "b" / "model.py"
    for path, content in ((same, f"# a comment\n{text}"), (other, f"{text}\nmodel['test_cfg'] = dict(mode='slide')\n")):
        path.parent.mkdir()
        path.write_text(content)
    assert plan(year, ModelRun(same, trained[0].checkpoint, 1)).missing == []
    with pytest.raises(PipelineError, match="made with another model or test pipeline than .*model.py says"):
        plan(year, ModelRun(other, trained[0].checkpoint, 1))


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b""])
def test_a_damaged_probability_is_named_and_made_again(year, trained, caplog, damage):
    path = record_path(year, RUN).with_name("w2.tif")
    path.write_bytes(damage(path.read_bytes()))
    assert plan(year, trained[0]).missing == [2]
    assert "1 kept probability files cannot be read and are made anew" in caplog.text
    assert str(path) in caplog.text


def test_other_polygons_need_neither_config_nor_checkpoint_and_replace_nothing(year, trained):
    run, root, path = trained[0], year.path.parents[1], year.predicted(RUN)
    before, probabilities = path.read_bytes(), kept(year)
    named = ("-model=model", "-iter=1", "--countries", trained[1][-1])
    refused(
        step_3(root, *named, "--threshold", 0.7, "--format", "parquet"),
        f"{path} was made with other settings (threshold was 0.5, is now 0.7)",
        "--force replaces it, --suffix TEXT keeps both",
    )
    done = step_3(root, *named, "--threshold", 0.7, "--overlap", "mean", "--suffix", "sure", "--format", "gpkg,fgb")
    assert done.status == 0, done.printed
    beside = year.predicted(RUN, "sure")
    assert (path.read_bytes(), kept(year)) == (before, probabilities)
    assert gpd.read_file(beside)["area"].sum() < gpd.read_file(path)["area"].sum()
    assert Workspace(root).runs(YEAR) == [RUN]
    for file in (beside, beside.with_suffix(".fgb")):
        settings = read_settings(file)
        assert settings["checkpoint sha256"] == fingerprint(run.checkpoint)
        assert (settings["precision"], settings["threshold"]) == ("bf16", "0.7")
        assert (settings["overlapping windows"], settings["outline"]) == ("mean", "pixel")
        assert (settings["mosaic"], settings["holes"], settings["minimum area m2"]) == ("noise", "closed", "0.0")


def test_a_chip_to_predict_needs_the_checkpoint_after_all(year):
    run = find_run("model", 1, kept=year.kept_runs())
    assert plan(year, run).missing == []
    record_path(year, RUN).with_name("w0.tif").unlink()
    with pytest.raises(PipelineError, match="no config at .*model.py"):
        plan(year, run)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_and_nothing_is_kept(trained, tmp_path, value):
    content = torch.load(trained[0].checkpoint, weights_only=True)
    content["state_dict"]["decode_head.conv_seg.weight"][1, 0] = value
    torch.save(content, tmp_path / "iter_1.pth")
    folder = draw_chips(tmp_path / "data").year(YEAR)
    done = step_3(tmp_path / "data", "--config", trained[0].config, "--checkpoint", tmp_path / "iter_1.pth")
    refused(done, "w0.tif", "weights that are not finite (decode_head.conv_seg.weight)")
    assert not kept(folder)
    assert not record_path(folder, RUN).exists()
    assert not (folder.path / "gpkg").exists()


def test_a_chip_that_was_damaged_meanwhile_is_named(year, trained):
    record_path(year, RUN).with_name("w2.tif").unlink()
    work = plan(year, trained[0])
    chip = work.chips[2]
    chip.write_bytes(chip.read_bytes()[:3000])
    with pytest.raises(PipelineError, match=r"the chip .*w2.tif cannot be read; remove it and run step 1"):
        write_levels(work.predictions[2].probability, chip, np.zeros((512, 512), "uint8"))
    assert "w2.tif" not in kept(year)
