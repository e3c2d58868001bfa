"""Finding a trained model by what a user types."""

from pathlib import Path

import pytest
import torch

from segmentation.core.errors import PipelineError
from segmentation.core.workspace import Workspace
from segmentation.predict.kept import inputs_of
from segmentation.predict.loading import read_config
from segmentation.predict.runs import ModelRun, find_run

B0, B5, OTHER = "segformer_mit-b0_8xb2-160k", "segformer_mit-b5_8xb2-160k", "segformer"


@pytest.fixture
def trained(tmp_path):
    """Three configs; the B5 is trained, with two checkpoints and what mmengine leaves beside them."""
    configs, work_dirs = tmp_path / "configs", tmp_path / "work_dirs"
    (configs / "_base_").mkdir(parents=True)
    (configs / "_base_" / "schedule.py").write_text("")
    for name in (B0, B5, OTHER):
        (configs / f"{name}.py").write_text("model = dict()\n")
    (work_dirs / B5).mkdir(parents=True)
    for name in ("iter_16000.pth", "iter_160000.pth", "best_mIoU_iter_16000.pth", "last_checkpoint"):
        (work_dirs / B5 / name).write_text(name)
    return {"configs": configs, "work_dirs": work_dirs}


@pytest.mark.parametrize("typed", [B5, "b5", "segformer_mit-b5"])
def test_a_model_is_found_by_its_name_or_a_part_that_fits_one_alone(trained, typed):
    run = find_run(typed, 160000, **trained)
    assert run.config == trained["configs"] / f"{B5}.py"
    assert run.checkpoint.read_text() == "iter_160000.pth"
    assert run.name == f"{B5}_160000"


def test_an_exact_name_wins_over_names_that_contain_it(trained):
    (trained["work_dirs"] / OTHER).mkdir()
    (trained["work_dirs"] / OTHER / "iter_5.pth").write_text("")
    assert find_run(OTHER, 5, **trained).config.stem == OTHER


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("mit", f"'mit' is ambiguous: it fits {B0}, {B5}$"),
        ("unet", f"no config of a model 'unet' .*{OTHER}, {B0}, {B5}"),
        ("schedule", "no config of a model 'schedule'"),
        (None, "which model.*-model=NAME.*--config"),
        ("b0", f"no checkpoint at .*iter_160000.pth; train it first: python -m segmentation.train .*{B0}.py"),
    ],
)
def test_what_cannot_be_found_is_told_with_the_way_out(trained, typed, message):
    with pytest.raises(PipelineError, match=message) as refused:
        find_run(typed, 160000, **trained)
    assert "\n" not in str(refused.value)


def test_a_missing_iteration_lists_those_that_are_trained(trained):
    with pytest.raises(PipelineError, match=r"iter_80000\.pth; trained are -iter=16000, 160000$"):
        find_run("b5", 80000, **trained)


def test_no_configs_at_all_are_told(tmp_path):
    with pytest.raises(PipelineError, match="there are none"):
        find_run("b5", 1, configs=tmp_path / "nowhere", work_dirs=tmp_path)


def test_config_and_checkpoint_may_lie_anywhere(tmp_path, trained):
    config, checkpoint = tmp_path / "mine.py", tmp_path / "published.pth"
    config.write_text("")
    checkpoint.write_text("")
    run = find_run(None, 160000, config, checkpoint, **trained)
    assert (run.config, run.checkpoint, run.name) == (config, checkpoint, "mine_160000")
    assert find_run("b0", 160000, None, checkpoint, **trained).config.stem == B0


def test_a_config_from_anywhere_has_its_checkpoint_in_its_own_work_dir(tmp_path, trained):
    (tmp_path / f"{B5}.py").write_text("")
    run = find_run(None, 16000, tmp_path / f"{B5}.py", **trained)
    assert run.checkpoint == trained["work_dirs"] / B5 / "iter_16000.pth"


@pytest.mark.parametrize("missing", ["config", "checkpoint"])
def test_a_named_file_that_is_not_there_is_refused(tmp_path, trained, missing):
    with pytest.raises(PipelineError, match=f"no {missing} at .*gone"):
        find_run(None if missing == "config" else "b5", 160000, **{missing: tmp_path / "gone"}, **trained)


@pytest.mark.parametrize("named", [{"model": None}, {"model": "b5", "config": Path("any.py")}])
def test_a_model_is_named_in_one_way(trained, named):
    with pytest.raises(PipelineError, match="either -model=NAME .* or --config FILE"):
        find_run(iteration=16000, **named, **trained)


def test_the_fingerprint_follows_the_weights(trained, tmp_path):
    folder = Workspace(tmp_path).year(2019)
    one, other = (inputs_of(folder, find_run("b5", iteration, **trained)) for iteration in (16000, 160000))
    assert one["config"] == other["config"]
    assert one["checkpoint"] != other["checkpoint"]
    assert one == inputs_of(folder, ModelRun(**vars(find_run("b5", 16000, **trained))))


def saved(path: Path, **meta) -> Path:
    """A checkpoint as MMEngine leaves it, but for the weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {"weight": torch.zeros(1)}, "meta": meta}, path)
    return path


NOTED = {"cfg": "model = dict(type='Noted')\n", "experiment_name": "my_model.v2_20260102_030405", "iter": 700}


def test_a_checkpoint_in_its_work_dir_alone_is_enough(trained):
    by_name, alone = find_run("b5", 16000, **trained), trained["work_dirs"] / B5 / "iter_16000.pth"
    assert find_run(None, None, checkpoint=alone, **trained) == by_name
    left_by_training = alone.with_name(f"{B5}.py")
    left_by_training.write_text("model = dict()\n")
    run = find_run(None, None, checkpoint=alone, **trained)
    assert (run.config, run.name) == (left_by_training, by_name.name)
    assert find_run(None, None, checkpoint=alone.with_name("best_mIoU_iter_16000.pth"), **trained).name == by_name.name


def test_a_checkpoint_from_elsewhere_carries_its_config_and_iteration(tmp_path, trained):
    run = find_run(None, None, checkpoint=saved(tmp_path / "downloads" / "published.pth", **NOTED), **trained)
    assert (run.name, run.iteration) == ("my_model.v2_700", 700)
    assert read_config(run).model.type == "Noted"
    by_file = find_run(None, None, checkpoint=saved(tmp_path / "downloads" / "iter_30.pth", **NOTED), **trained)
    assert by_file.name == "my_model.v2_30"
    assert find_run(None, 5, checkpoint=run.checkpoint, **trained).name == "my_model.v2_5"
    assert find_run("b0", None, checkpoint=run.checkpoint, **trained).name == f"{B0}_700"


def test_what_a_checkpoint_does_not_say_its_file_s_name_says(tmp_path, trained):
    bare = saved(tmp_path / "downloads" / "published.pth")
    assert find_run("b0", None, checkpoint=bare, **trained).name == f"{B0}_published"
    nameless = saved(tmp_path / "downloads" / "best.pth", cfg=NOTED["cfg"])
    assert find_run(None, None, checkpoint=nameless, **trained).name == "best"


def test_a_checkpoint_without_a_config_asks_for_one(tmp_path, trained):
    with pytest.raises(PipelineError, match=r"bare.pth does not say its config, .* add -model=NAME or --config FILE"):
        find_run(None, None, checkpoint=saved(tmp_path / "downloads" / "bare.pth"), **trained)
    (tmp_path / "none.pth").write_text("no checkpoint")
    with pytest.raises(PipelineError, match="cannot read the checkpoint .*none.pth") as told:
        find_run(None, None, checkpoint=tmp_path / "none.pth", **trained)
    assert "\n" not in str(told.value)


def test_a_model_without_iteration_lists_those_that_are_trained(trained):
    with pytest.raises(
        PipelineError, match=r"which checkpoint of .*b5.*-iter=N or --checkpoint FILE; .*16000, 160000$"
    ):
        find_run("b5", None, **trained)


@pytest.mark.parametrize("typed", ["unet_v3", "unet", B5])
def test_what_is_kept_needs_no_files_until_they_are_needed(trained, typed):
    kept = ("unet_v3_80000", f"{B5}_80000", "other_unet_5")
    run = find_run(typed, 80000, kept=kept, **trained)
    assert run.name in kept
    with pytest.raises(PipelineError, match="no config at .*unet_v3.py|no checkpoint at .*iter_80000.pth; trained are"):
        run.need_files()


def test_a_lost_checkpoint_is_known_by_its_place(trained):
    lost = trained["work_dirs"] / B5 / "iter_80000.pth"
    assert find_run(None, None, checkpoint=lost, kept=[f"{B5}_80000"], **trained).name == f"{B5}_80000"
    with pytest.raises(PipelineError, match="no checkpoint at .*iter_80000.pth"):
        find_run(None, None, checkpoint=lost, **trained)
