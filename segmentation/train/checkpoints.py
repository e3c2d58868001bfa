"""Checkpoints: written whole, looked through before a training goes on, set aside before it begins anew."""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner.checkpoint import CheckpointLoader

from segmentation.core.errors import PipelineError
from segmentation.core.files import whole_file
from segmentation.core.process import leftovers

_LOG = logging.getLogger(__name__)

_BACKEND = "whole files"
_NAME = re.compile(r"(?:iter|epoch)_(\d+)\.pth")
# What MMEngine's Runner.resume reads of a checkpoint.
_TO_GO_ON = ("meta", "message_hub", "optimizer")
_OF_A_RUN = ("iter_*.pth", "epoch_*.pth", "best_*.pth", "last_checkpoint", "data.json")
# What reading a damaged checkpoint raises: its archive (RuntimeError, EOFError, OSError) or what is pickled in it.
_DAMAGE = (
    *(RuntimeError, EOFError, OSError),
    *(pickle.UnpicklingError, AttributeError, ImportError, IndexError, KeyError, TypeError, ValueError),
)


@register_backend(_BACKEND)
class WholeFileBackend(LocalBackend):
    """MMEngine's local files, but a file gets its name only when all of it is on disk."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file.

        Raises:
            PipelineError: it cannot be written, for example because the disk is full.
        """
        try:
            with whole_file(Path(filepath)) as partial, partial.open("wb") as file:
                file.write(obj)
        except OSError as error:
            raise PipelineError(
                f"cannot write the checkpoint {filepath}: {error.strerror}; make room, then run the same command "
                "again: it goes on from the checkpoint before"
            ) from None


def write_whole(config: Config) -> None:
    """Have a config's checkpoints written whole, unless they go to a storage of its own."""
    hook = config.setdefault("default_hooks", {}).setdefault("checkpoint", {"type": "CheckpointHook"})
    if hook and not hook.get("backend_args") and not hook.get("file_client_args"):
        hook["backend_args"] = {"backend": _BACKEND}


@dataclass(frozen=True)
class Former:
    """What an earlier run has left, set aside.

    Attributes:
        folder: where it is now.
        files: their number.
    """

    folder: Path
    files: int


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read without error.

    Attributes:
        path: of the file.
        step: iterations (or epochs) behind it, by its name.
        resumable: whether it holds the optimizer's state, so that training can go on from it.
        config: the text of the config it was trained with; empty where it does not say.
    """

    path: Path
    step: int
    resumable: bool
    config: str


def has_checkpoints(work_dir: Path) -> bool:
    """Whether a run has left any checkpoint in its folder, readable or not."""
    return bool(_by_step(work_dir))


def good_checkpoints(work_dir: Path) -> Iterator[Checkpoint]:
    """The checkpoints of a run that can be read, newest first; each that cannot is left out with a warning.

    The files themselves decide, not ``last_checkpoint``, which may be missing, cut off or out of date.
    """
    for step, path in _by_step(work_dir):
        try:
            content = CheckpointLoader.load_checkpoint(str(path), map_location="cpu", logger="silent")
            resumable = bool(content["state_dict"]) and all(name in content for name in _TO_GO_ON)
            config = content["meta"].get("cfg", "") if "meta" in content else ""
        except _DAMAGE:
            _LOG.info("why %s cannot be read", path, exc_info=True)
            _LOG.warning("%s is damaged and left out", path)
            continue
        yield Checkpoint(path, step, resumable, config)


def newest_resumable(newest: Checkpoint | None, older: Iterable[Checkpoint]) -> Checkpoint | None:
    """The newest of the checkpoints from which training can go on; warns of newer ones from which it cannot."""
    for checkpoint in chain([newest], older):
        if checkpoint is None or checkpoint.resumable:
            return checkpoint
        _LOG.warning("%s holds weights alone: training cannot go on from it", checkpoint.path)
    return None


def _by_step(work_dir: Path) -> list[tuple[int, Path]]:
    """The checkpoints of a run by their step, newest first."""
    found = []
    for path in work_dir.glob("*.pth"):
        name = _NAME.fullmatch(path.name)
        if name:
            found.append((int(name[1]), path))
    return sorted(found, reverse=True)


def set_aside(work_dir: Path) -> Former | None:
    """Move what an earlier run has left in its folder into one of its own there; None where it has left nothing."""
    files = sorted(path for pattern in _OF_A_RUN for path in work_dir.glob(pattern))
    if not files:
        return None
    number = 1
    while (work_dir / f"former_{number}").exists():
        number += 1
    folder = work_dir / f"former_{number}"
    folder.mkdir()
    for path in files:
        path.rename(folder / path.name)
    return Former(folder, len(files))


def remove_partial_files(work_dir: Path) -> None:
    """Remove what a killed run has left half-written."""
    for leftover in work_dir.glob(f"{leftovers.PREFIX}*"):
        leftover.unlink(missing_ok=True)
