"""Configs and checkpoints, read: whatever is wrong with them is one line.

A config is a program, a checkpoint a pickled one. What goes wrong in them can be an error of any kind.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from segmentation.core.errors import PipelineError, in_one_line
from segmentation.predict.runs import ModelRun

if TYPE_CHECKING:
    import torch
    from mmengine.config import Config
    from mmengine.dataset import Compose
    from mmseg.models import BaseSegmentor


def read_config(run: ModelRun) -> Config:
    """The settings of a model: from its config, else from the text of it that the checkpoint carries.

    Raises:
        PipelineError: it cannot be read, such as for a syntax error, a missing import or a missing ``_base_``.
    """
    from mmengine.config import Config

    with in_one_line(f"cannot read the config {run.config}"):
        if run.config.is_file():
            return Config.fromfile(run.config)
        return Config.fromstring(run.config_text, ".py")


def recipe_fingerprint(run: ModelRun) -> str:
    """SHA-256 of what a config says of the model and of how chips are read.

    A config and the copy of it that MMEngine leaves beside the checkpoints have the same.

    Raises:
        PipelineError: it cannot be read.
    """
    config = read_config(run)
    with in_one_line(f"cannot read the config {run.config}"):
        recipe = {"model": config.model.to_dict(), "test_pipeline": test_steps(config)}
        text = json.dumps(recipe, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def load_model(run: ModelRun, config: Config, device: str) -> BaseSegmentor:
    """A model of two classes with its trained weights, in evaluation mode.

    Args:
        run: config and checkpoint.
        config: of the run, from ``read_config``.
        device: as torch names it.

    Raises:
        PipelineError: the model cannot be built, its weights do not fit, or it has not two classes.
    """
    from mmengine.runner import load_checkpoint
    from mmseg.apis import init_model

    with in_one_line(f"cannot load {run.checkpoint} with {run.config} on {device}"):
        model = init_model(config, device=device)
        # Strict: weights that do not fit would be left random otherwise.
        load_checkpoint(model, str(run.checkpoint), map_location=device, strict=True)
    # The segmentor's own number: of cascaded heads there are several.
    classes = getattr(model, "num_classes", "unknown")
    if classes != 2:
        raise PipelineError(f"{run.config} has {classes} classes; two are needed, background and mine")
    return model


def reading_pipeline(run: ModelRun, config: Config) -> Compose:
    """How a chip is read for a model: the steps of its config's test pipeline that do not need a mask.

    To be called after ``load_model``, which lets MMEngine look for the steps in MMSegmentation.

    Raises:
        PipelineError: the config has no test pipeline, or one that cannot be built.
    """
    from mmengine.dataset import Compose

    with in_one_line(f"cannot use the test pipeline of {run.config}"):
        steps = test_steps(config)
        pipeline = Compose([step for step in steps if _type_name(step) != "LoadAnnotations"])
    if not steps:
        raise PipelineError(
            f"{run.config} has neither a test_pipeline nor a test_dataloader with one: "
            "add how chips are read, as configs/_base_/mining_512x512.py does"
        )
    return pipeline


def test_steps(config: Config) -> list[dict]:
    """The steps of a config's ``test_pipeline``, else of its test dataloader; none where it has neither."""
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    return config.get("test_pipeline") or dataset.get("pipeline") or []


def first_not_finite(weights: dict[str, torch.Tensor]) -> str | None:
    """The name of the first weights of which some are not finite numbers."""
    for name, values in weights.items():
        if values.is_floating_point() and not values.isfinite().all():
            return name
    return None


def _type_name(step: dict) -> str:
    """A step's class without the registry's name in front; newer configs name the class itself."""
    named = step["type"]
    return named.rpartition(".")[2] if isinstance(named, str) else named.__name__
