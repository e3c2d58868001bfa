"""What may go wrong in a training through no fault of the code, as one line that says what to do."""

from __future__ import annotations

import re
from http.client import HTTPException
from urllib.error import URLError

import torch

from segmentation.core.errors import PipelineError, reason_of

_GO_ON = "the same command goes on from the last checkpoint"
_SMALLER = "--cfg-options train_dataloader.batch_size=N"
_FEWER = "--cfg-options train_dataloader.num_workers=N val_dataloader.num_workers=N"


def explain(error: Exception, *, began: bool) -> PipelineError | None:
    """The line for an error in training; None for one that only the code can have caused.

    Args:
        error: as raised by MMEngine's Runner.
        began: whether training itself had begun; before that, whatever fails is what the config asks for.
    """
    line = _of_network(error) or _of_memory(error) or _of_loading(error)
    if line is None and not began and not isinstance(error, OSError):
        line = f"the config cannot be trained: {reason_of(error)} (--verbose shows where)"
    return None if line is None else PipelineError(line)


def _of_network(error: Exception) -> str | None:
    if not isinstance(error, URLError | HTTPException):
        return None
    reason = getattr(error, "reason", None) or reason_of(error)
    return (
        f"cannot fetch the pretrained weights ({reason}): fetch them elsewhere and name the file with "
        "--cfg-options model.backbone.init_cfg.checkpoint=FILE"
    )


def _of_memory(error: Exception) -> str | None:
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or "CUDA error: out of memory" in text:
        return f"the GPU's memory does not suffice: take smaller batches ({_SMALLER}) or --amp; {_GO_ON}"
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "not enough memory" in text:
        return f"memory does not suffice: take smaller batches ({_SMALLER}); {_GO_ON}"
    return None


def _of_loading(error: Exception) -> str | None:
    """For errors of torch's DataLoader, which have no type of their own."""
    text = str(error)
    if "DataLoader worker (pid" in text or "unable to allocate shared memory" in text:
        return (
            "a process that loads chips has died, perhaps because memory or /dev/shm has run out: take fewer of them "
            f"({_FEWER}); {_GO_ON}"
        )
    if re.match(r"Caught \w+ in DataLoader worker process", text):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f"cannot load a chip or its mask: {lines[-1]}; run step 1 for the label year again"
    return None
