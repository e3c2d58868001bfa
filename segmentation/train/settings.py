"""A training's config: read, changed and checked, so that what is wrong with it is one line."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from segmentation.core.errors import PipelineError, in_one_line, reason_of
from segmentation.core.workspace import REPOSITORY

_NEEDED = ("model", "train_dataloader", "train_cfg", "optim_wrapper")
_VALIDATION = ("val_dataloader", "val_cfg", "val_evaluator")
# The settings of models, and of their parts, that may name a file of weights.
_WEIGHTS = ("checkpoint", "pretrained")
_KEY = re.compile(r"\w+(\.[\w-]+)*")


def read_config(path: Path, changes: Sequence[str] = ()) -> Config:
    """Read a config and apply changes to it.

    Args:
        path: of the config.
        changes: of the form ``KEY=VALUE``, the key with dots.

    Raises:
        PipelineError: there is no such file, it cannot be read, or a change does not fit it.
    """
    if not path.is_file():
        raise PipelineError(f"no config at {path}")
    settings = dict(parse_change(text) for text in changes)
    with in_one_line(f"cannot read the config {path}"):
        config = Config.fromfile(path)
    for key, value in settings.items():
        try:
            config.merge_from_dict({key: value})
        except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise PipelineError(f"--cfg-options {key}={value} does not fit {path.name}: {reason_of(error)}") from None
    return config


def parse_change(text: str) -> tuple[str, object]:
    """One ``KEY=VALUE``; the value as Python writes it, else as text.

    Raises:
        PipelineError: the text is not of this form.
    """
    key, separator, value = text.partition("=")
    if not separator or not _KEY.fullmatch(key):
        raise PipelineError(f"--cfg-options takes KEY=VALUE, not {text!r}")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def check_config(config: Config, path: Path) -> None:
    """Make sure that a config holds what a training needs.

    Raises:
        PipelineError: something is missing or of the wrong type.
    """
    missing = [name for name in _NEEDED if not isinstance(config.get(name), dict)]
    if missing:
        raise PipelineError(f"{path} says nothing of {', '.join(missing)}: training needs {', '.join(_NEEDED)}")
    absent = [name for name in _VALIDATION if not config.get(name)]
    if absent and len(absent) < len(_VALIDATION):
        raise PipelineError(f"{path} has no {', '.join(absent)}: validation needs all of {', '.join(_VALIDATION)}")
    for part in ("train", "val"):
        loader = config.get(f"{part}_dataloader")
        if loader and not isinstance(loader.get("dataset"), dict | list):
            raise PipelineError(f"{path} names no dataset in {part}_dataloader")
    length = config.train_cfg.get("max_iters", config.train_cfg.get("max_epochs"))
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise PipelineError(f"{path}: train_cfg.max_iters has to be a whole number of at least 1, not {length!r}")


def anchor_weights(config: Config, root: Path = REPOSITORY) -> None:
    """Make the paths of weights absolute that a config names, so that it does not matter where training is started.

    Args:
        config: of a training; changed in place.
        root: the folder that relative ones start from, see ``data.anchor_data_roots``. What is no file there stays as
            it is: an address, or a name in some model zoo.
    """
    if isinstance(config.get("load_from"), str):
        config.load_from = _anchored(config.load_from, root)
    _anchor_weights_in(config.model, root)


def _anchor_weights_in(part: object, root: Path) -> None:
    """The same for a model's settings, however they are nested."""
    if isinstance(part, list | tuple):
        for item in part:
            _anchor_weights_in(item, root)
    elif isinstance(part, dict):
        # MMEngine's own items() would import here what a config puts off.
        for name, value in dict.items(part):
            if name in _WEIGHTS and isinstance(value, str):
                part[name] = _anchored(value, root)
            else:
                _anchor_weights_in(value, root)


def _anchored(name: str, root: Path) -> str:
    if "://" in name or not (root / name).is_file():
        return name
    return str(root / name)
