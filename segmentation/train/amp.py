"""Mixed precision in training: MMEngine's own on a GPU, and the same on a CPU, which MMEngine leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Forward pass and loss in bfloat16 where torch's autocast sees fit, weights and gradients in float32.

    Bfloat16 has the range of float32, so the loss needs no scaling.
    """

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """As ``OptimWrapper``, with autocast around it."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield


def use_mixed_precision(config: Config) -> None:
    """Set a config's optimizer wrapper to the one for this machine's device."""
    if get_device() == "cpu":
        config.optim_wrapper.type = CpuAmpOptimWrapper.__name__
    else:
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.setdefault("loss_scale", "dynamic")
