"""Trained models: a config and a checkpoint, found by what a user types.

Needs neither torch nor MMSegmentation, so that a typing error is answered at once; but for a checkpoint that is to say
itself what it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from segmentation.core.errors import PipelineError, in_one_line
from segmentation.core.files import fingerprint
from segmentation.core.workspace import REPOSITORY

CONFIGS = REPOSITORY / "configs"
WORK_DIRS = REPOSITORY / "work_dirs"

# MMEngine's names: of a checkpoint, and of a training (its config's and when it began).
_CHECKPOINT = re.compile(r"(?:^|_)iter_(\d+)$")
_EXPERIMENT = re.compile(r"(.+)_\d{8}_\d{6}")


@dataclass(frozen=True)
class ModelRun:
    """A trained model: its config and the checkpoint after some iterations.

    Attributes:
        config: its file; or, with ``config_text``, what that would be called.
        checkpoint: its file.
        iteration: training iterations behind the checkpoint; None where nothing tells.
        config_text: the config as the checkpoint carries it, where there is no file.
    """

    config: Path
    checkpoint: Path
    iteration: int | None
    config_text: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """The iteration, or what takes its place."""
        return self.checkpoint.stem if self.iteration is None else str(self.iteration)

    @property
    def name(self) -> str:
        """``MODEL_ITER``, as it stands in the names of files made with this model."""
        return self.label if self.label == self.config.stem else f"{self.config.stem}_{self.label}"

    def fingerprint(self) -> dict[str, str]:
        """What its predictions depend on."""
        return {"config": fingerprint(self.config), "checkpoint": fingerprint(self.checkpoint)}

    def need_files(self) -> None:
        """Make sure that the model can be loaded.

        Raises:
            PipelineError: the config or the checkpoint is not there.
        """
        if not (self.config_text or self.config.is_file()):
            raise PipelineError(f"no config at {self.config}")
        if not self.checkpoint.is_file():
            hint = (
                f"; {_trained(self.checkpoint.parent, self.config)}" if _CHECKPOINT.search(self.checkpoint.stem) else ""
            )
            raise PipelineError(f"no checkpoint at {self.checkpoint}{hint}")


def find_run(
    model: str | None,
    iteration: int | None,
    config: Path | None = None,
    checkpoint: Path | None = None,
    kept: Collection[str] = (),
    configs: Path = CONFIGS,
    work_dirs: Path = WORK_DIRS,
) -> ModelRun:
    """Find a trained model.

    Args:
        model: a config's name in ``configs``, or a part of it that fits one alone.
        iteration: training iterations behind the checkpoint; None for what the checkpoint itself says.
        config: a config anywhere, instead of ``model``. Without either, the checkpoint's own.
        checkpoint: a checkpoint anywhere, instead of ``work_dirs/<config name>/iter_<iteration>.pth``.
        kept: names of runs whose probabilities are there: these need neither config nor checkpoint until there is
            something to predict (``ModelRun.need_files``).
        configs: where configs are looked for by name.
        work_dirs: where checkpoints are looked for.

    Raises:
        PipelineError: there is no such config or checkpoint, or more than one config fits.
    """
    if (model and config) or not (model or config or checkpoint):
        raise PipelineError(
            "which model? give either -model=NAME (a config in configs/) or --config FILE, or --checkpoint FILE alone"
        )
    own = _Checkpoint(checkpoint) if checkpoint else None
    if iteration is None and own:
        iteration = own.iteration()
    text = ""
    if model:
        config = _find_config(model, configs, _kept_models(kept, iteration))
    elif config is None:
        config, text = own.config(configs)
    if checkpoint is None:
        if iteration is None:
            hint = _trained(work_dirs / config.stem, config)
            raise PipelineError(f"which checkpoint of {config.stem}? give -iter=N or --checkpoint FILE; {hint}")
        checkpoint = work_dirs / config.stem / f"iter_{iteration}.pth"
    run = ModelRun(config, checkpoint, iteration, text)
    if run.name not in kept:
        run.need_files()
    return run


class _Checkpoint:
    """What a checkpoint's place, name and content say of the training that it is from."""

    def __init__(self, path: Path):
        self.path = path.absolute()
        self._meta: dict | None = None

    def iteration(self) -> int | None:
        """From the file's name, else as MMEngine noted it; None where neither says."""
        if found := _CHECKPOINT.search(self.path.stem):
            return int(found[1])
        noted = self._read().get("iter")
        return noted if isinstance(noted, int) and noted > 0 else None

    def config(self, configs: Path) -> tuple[Path, str]:
        """The config's file, or its name and text.

        MMEngine leaves the config beside the checkpoints, in a folder named after it, and its text in each of them.

        Args:
            configs: where it is looked for by name, too.

        Raises:
            PipelineError: nothing tells.
        """
        folder = self.path.parent
        for place in (folder, configs):
            if (place / f"{folder.name}.py").is_file():
                return place / f"{folder.name}.py", ""
        if not self.path.is_file():
            # Enough of a name to find what is kept of it.
            return configs / f"{folder.name}.py", ""
        meta = self._read()
        if not isinstance(meta.get("cfg"), str):
            raise PipelineError(
                f"{self.path} does not say its config, and {folder} holds no {folder.name}.py; "
                "add -model=NAME or --config FILE"
            )
        experiment = _EXPERIMENT.fullmatch(str(meta.get("experiment_name")))
        name = experiment[1] if experiment else self.path.stem
        beside = folder / f"{name}.py"
        return (beside, "") if beside.is_file() else (Path(f"{name}.py"), meta["cfg"])

    def _read(self) -> dict:
        if self._meta is None:
            self._meta = read_meta(self.path) if self.path.is_file() else {}
        return self._meta


def _kept_models(kept: Collection[str], iteration: int | None) -> list[str]:
    """The models of which probabilities after some iterations are there."""
    ending = f"_{iteration}"
    return sorted(name.removesuffix(ending) for name in kept if name.endswith(ending))


def _find_config(model: str, configs: Path, kept_models: Collection[str]) -> Path:
    """The config's file; of a model that is only kept, where it would be."""
    known = {path.stem: path for path in sorted(configs.glob("*.py"))}
    if model in known:
        return known[model]
    for names in (known, kept_models):
        fitting = [name for name in names if model in name]
        if len(fitting) == 1 or model in fitting:
            name = model if model in fitting else fitting[0]
            return configs / f"{name}.py"
        if fitting:
            raise PipelineError(f"model {model!r} is ambiguous: it fits {', '.join(fitting)}")
    raise PipelineError(f"no config of a model {model!r} in {configs}; there are {', '.join(known) or 'none'}")


def _trained(folder: Path, config: Path) -> str:
    iterations = sorted(int(found[1]) for p in folder.glob("iter_*.pth") if (found := re.search(r"iter_(\d+)", p.name)))
    if iterations:
        return f"trained are -iter={', '.join(map(str, iterations))}"
    return f"train it first: python -m segmentation.train {config}"


def read_meta(checkpoint: Path) -> dict:
    """What a checkpoint says of itself: MMEngine notes the config's text as ``cfg``, and ``iter``.

    Raises:
        PipelineError: the file is no checkpoint.
    """
    import torch
    from mmengine.runner.checkpoint import get_torch_safe_globals

    with in_one_line(f"cannot read the checkpoint {checkpoint}"):
        try:
            with torch.serialization.safe_globals(get_torch_safe_globals()):
                content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except torch.serialization.pickle.UnpicklingError:
            # Beside weights, older versions keep objects of their own; MMEngine reads these just so.
            content = torch.load(checkpoint, map_location="cpu", weights_only=False)
        meta = content.get("meta")
    return meta if isinstance(meta, dict) else {}
