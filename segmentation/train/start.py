"""Where a training begins: at the very beginning, or at the newest checkpoint of the same data that is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmseg.utils import register_all_modules

from segmentation.train.checkpoints import (
    good_checkpoints,
    has_checkpoints,
    newest_resumable,
    remove_partial_files,
    set_aside,
)
from segmentation.train.ranks import say
from segmentation.train.record import describe_data, refuse_other_data, write_record


@dataclass(frozen=True)
class Start:
    """Where a training begins.

    Attributes:
        checkpoint: to go on from; None at the very beginning.
        finished: whether it is the last one.
    """

    checkpoint: Path | None
    finished: bool = False


def find_start(config: Config, work_dir: Path, *, restart: bool) -> Start:
    """Look at the data and at what the run's folder holds, and keep there what is trained on.

    Args:
        config: of the training.
        work_dir: the run's folder, held by the caller.
        restart: set aside what the folder holds.

    Raises:
        PipelineError: the data are not complete, or others than those of the run that the folder holds.
    """
    register_all_modules()
    data = describe_data(config)
    remove_partial_files(work_dir)
    if restart:
        former = set_aside(work_dir)
        if former is not None:
            say(f"set aside: {former.files} files of the former run, now in {former.folder}")
    good = good_checkpoints(work_dir)
    newest = next(good, None)
    if has_checkpoints(work_dir):
        refuse_other_data(work_dir, data, newest)
    write_record(work_dir, data)
    last = config.train_cfg.get("max_iters", config.train_cfg.get("max_epochs"))
    if newest is not None and newest.step >= last:
        return Start(newest.path, finished=True)
    resumed = newest_resumable(newest, good)
    return Start(resumed.path if resumed else None)
