"""Several processes of one training: one speaks and decides, all do the same."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TextIO, TypeVar

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, init_dist, is_distributed, is_main_process
from mmengine.utils.dl_utils import set_multi_processing

from segmentation.core.errors import PipelineError

_Decision = TypeVar("_Decision")


def is_first() -> bool:
    """Whether this is the first of the processes that a launcher has started, or the only one.

    Known from the start on, before they are joined.
    """
    return os.environ.get("RANK", "0") == "0"


def say(text: str, file: TextIO | None = None) -> None:
    """Print once, however many processes train; on standard output unless another file is named."""
    if is_first():
        print(text, file=file or sys.stdout, flush=True)


def join_ranks(config: Config) -> None:
    """Join the processes that a launcher has started; does nothing without a launcher.

    MMEngine does this itself on GPUs, but only when the runner is made, and not on CPUs.

    Args:
        config: with ``launcher`` set; on CPUs its model gets the wrapper that works there.
    """
    if config.launcher == "none" or is_distributed():
        return
    environment = config.get("env_cfg", {})
    # As MMEngine does, before processes are joined.
    set_multi_processing(**environment.get("mp_cfg", {}), distributed=True)
    if torch.cuda.is_available():
        init_dist(config.launcher, **environment.get("dist_cfg", {"backend": "nccl"}))
        return
    torch.distributed.init_process_group("gloo")
    # Without device_ids, which MMEngine would fill in with a GPU.
    wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False, "device_ids": None}
    config.setdefault("model_wrapper_cfg", wrapper)


def decide_once(decide: Callable[[], _Decision]) -> _Decision:
    """Have the first process decide, and tell the others, so that all do the same with the same files.

    Raises:
        PipelineError: the first process has raised it; it is raised in every process.
    """
    told: list = [None, None]
    if is_main_process():
        try:
            told[0] = decide()
        except PipelineError as error:
            told[1] = str(error)
    broadcast_object_list(told)
    decision, refusal = told
    if refusal is not None:
        raise PipelineError(refusal)
    return decision
