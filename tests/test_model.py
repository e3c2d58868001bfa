"""Finding a trained model by what a user types."""

from pathlib import Path

import pytest

from segmentation.errors import PipelineError
from segmentation.model import ModelRun, find_run

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


def test_the_fingerprint_follows_the_weights(trained):
    one, other = (find_run("b5", iteration, **trained).fingerprint() for iteration in (16000, 160000))
    assert one["config"] == other["config"]
    assert one["checkpoint"] != other["checkpoint"]
    assert one == ModelRun(**vars(find_run("b5", 16000, **trained))).fingerprint()
