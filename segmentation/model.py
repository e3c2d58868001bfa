"""Trained models: a config and a checkpoint, found by what a user types.

Needs neither torch nor MMSegmentation, so that a typing error is answered at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from segmentation.errors import PipelineError
from segmentation.workspace import REPOSITORY, fingerprint

CONFIGS = REPOSITORY / "configs"
WORK_DIRS = REPOSITORY / "work_dirs"


@dataclass(frozen=True)
class ModelRun:
    """A trained model: its config and the checkpoint after some iterations."""

    config: Path
    checkpoint: Path
    iteration: int

    @property
    def name(self) -> str:
        """``MODEL_ITER``, as it stands in the names of files made with this model."""
        return f"{self.config.stem}_{self.iteration}"

    def fingerprint(self) -> dict[str, str]:
        """What its predictions depend on."""
        return {"config": fingerprint(self.config), "checkpoint": fingerprint(self.checkpoint)}


def find_run(
    model: str | None,
    iteration: int,
    config: Path | None = None,
    checkpoint: Path | None = None,
    configs: Path = CONFIGS,
    work_dirs: Path = WORK_DIRS,
) -> ModelRun:
    """Find a trained model.

    Args:
        model: a config's name in ``configs``, or a part of it that fits one alone.
        iteration: training iterations behind the checkpoint.
        config: a config anywhere, instead of ``model``.
        checkpoint: a checkpoint anywhere, instead of ``work_dirs/<config name>/iter_<iteration>.pth``.
        configs: where configs are looked for by name.
        work_dirs: where checkpoints are looked for.

    Raises:
        PipelineError: there is no such config or checkpoint, or more than one config fits.
    """
    if (model is None) == (config is None):
        raise PipelineError("which model? give either -model=NAME (a config in configs/) or --config FILE")
    if config is None:
        config = _find_config(model, configs)
    elif not config.is_file():
        raise PipelineError(f"no config at {config}")
    if checkpoint is None:
        checkpoint = work_dirs / config.stem / f"iter_{iteration}.pth"
        if not checkpoint.is_file():
            raise PipelineError(f"no checkpoint at {checkpoint}; {_trained(checkpoint.parent, config)}")
    elif not checkpoint.is_file():
        raise PipelineError(f"no checkpoint at {checkpoint}")
    return ModelRun(config, checkpoint, iteration)


def _find_config(model: str, configs: Path) -> Path:
    known = {path.stem: path for path in sorted(configs.glob("*.py"))}
    if model in known:
        return known[model]
    fitting = [name for name in known if model in name]
    if len(fitting) == 1:
        return known[fitting[0]]
    if fitting:
        raise PipelineError(f"model {model!r} is ambiguous: it fits {', '.join(fitting)}")
    raise PipelineError(f"no config of a model {model!r} in {configs}; there are {', '.join(known) or 'none'}")


def _trained(folder: Path, config: Path) -> str:
    iterations = sorted(int(found[1]) for p in folder.glob("iter_*.pth") if (found := re.search(r"iter_(\d+)", p.name)))
    if iterations:
        return f"trained are -iter={', '.join(map(str, iterations))}"
    return f"train it first: python -m segmentation.train {config}"
