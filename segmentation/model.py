"""MMSegmentation models: find a trained one by its name, and predict the probability of mine with it.

``find_run`` needs neither torch nor MMSegmentation, so that a typing error is answered at once.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmentation.errors import PipelineError
from segmentation.workspace import REPOSITORY, fingerprint

if TYPE_CHECKING:
    import torch
    from mmengine.dataset import Compose
    from mmseg.models import BaseSegmentor

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


class Predictor:
    """A segmentor with two classes, ready to predict chips in batches.

    Args:
        run: config and checkpoint.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None takes a GPU where there is one.

    Raises:
        PipelineError: config and checkpoint do not fit, or the device is not there.
    """

    def __init__(self, run: ModelRun, device: str | None = None):
        import torch

        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        # MMSegmentation prints what it loads, and warns of what SegFormer does without.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model = _load(run, self.device)
            self._pipeline = _reading(self._model.cfg.test_pipeline)

    def predict(self, chips: Sequence[Path], batch_size: int, workers: int) -> Iterator[tuple[int, np.ndarray]]:
        """Probability of mine for every chip.

        Args:
            chips: paths of chips.
            batch_size: chips that go through the model together.
            workers: processes that read and decode chips.

        Yields:
            A chip's position and its probabilities, (512, 512) float32, 0 to 1, in the order of ``chips``.
        """
        import torch
        from mmengine.dataset import pseudo_collate

        loader = torch.utils.data.DataLoader(
            _Chips(chips, self._pipeline),
            batch_size=batch_size,
            num_workers=min(workers, len(chips)),
            collate_fn=pseudo_collate,
        )
        position = 0
        for batch in loader:
            for sample in self._forward(batch):
                yield position, probability_of_mine(sample.seg_logits.data)
                position += 1

    def _forward(self, batch: dict) -> list:
        import torch

        bf16 = self.device.startswith("cuda") and torch.cuda.is_bf16_supported()
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=bf16):
            return self._model.test_step(batch)


def _load(run: ModelRun, device: str) -> BaseSegmentor:
    from mmengine.runner import load_checkpoint
    from mmseg.apis import init_model

    try:
        model = init_model(run.config, device=device)
        # Strict: weights that do not fit would be left random otherwise.
        load_checkpoint(model, str(run.checkpoint), map_location=device, strict=True)
    except (RuntimeError, AssertionError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PipelineError(f"cannot load {run.checkpoint} with {run.config} on {device}: {reason}") from None
    classes = model.decode_head.num_classes
    if classes != 2:
        raise PipelineError(f"{run.config} has {classes} classes; two are needed, background and mine")
    return model


def _reading(test_pipeline: Sequence[dict]) -> Compose:
    """The steps of a config's test pipeline that do not need a mask."""
    from mmengine.dataset import Compose

    return Compose([step for step in test_pipeline if step["type"] != "LoadAnnotations"])


class _Chips:
    """The chips as a dataset for torch's DataLoader, read as the config's test pipeline says."""

    def __init__(self, chips: Sequence[Path], pipeline: Compose):
        self._chips, self._pipeline = chips, pipeline

    def __len__(self) -> int:
        return len(self._chips)

    def __getitem__(self, position: int) -> dict:
        return self._pipeline({"img_path": str(self._chips[position])})


def probability_of_mine(logits: torch.Tensor) -> np.ndarray:
    """Softmax over the two classes, (h, w) float32: with logits (2, h, w) it is ``sigmoid(l1 - l0)``.

    A head with a single output has been through MMSegmentation's own sigmoid already.
    """
    logits = logits.float()
    probability = (logits[1] - logits[0]).sigmoid() if len(logits) == 2 else logits[0]
    return probability.cpu().numpy()
