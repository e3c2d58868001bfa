"""In which type of number a model computes, and on which device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from segmentation.core.errors import PipelineError

AUTO, FP32, BF16, FP16 = "auto", "fp32", "bf16", "fp16"
PRECISIONS = (AUTO, FP32, BF16, FP16)


def default_device() -> str:
    """A GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_precision(precision: str, devices: Sequence[str]) -> str:
    """The type in which convolutions and matrix products are computed, the same on all devices that share the work.

    Args:
        precision: one of ``PRECISIONS``; ``auto`` is ``bf16`` where all devices are GPUs that compute in it, else
            ``fp32``.
        devices: as torch names them, at least one.

    Raises:
        PipelineError: a device does not compute in it.
    """
    on_gpu = [device.startswith("cuda") for device in devices]
    gpus_without = [device for device in devices if device.startswith("cuda") and not _computes_in_bf16(device)]
    if precision == AUTO:
        return BF16 if all(on_gpu) and not gpus_without else FP32
    if precision == BF16 and gpus_without:
        raise PipelineError(f"the GPU {gpus_without[0]} does not compute in bf16; choose --precision fp16 or fp32")
    if precision == FP16 and not all(on_gpu):
        raise PipelineError("fp16 is for GPUs; choose --precision bf16 or fp32 on a CPU")
    return precision


def _computes_in_bf16(gpu: str) -> bool:
    import torch

    number = torch.device(gpu).index or 0
    if number >= torch.cuda.device_count():
        return False  # it is refused elsewhere
    with torch.cuda.device(number):
        return torch.cuda.is_bf16_supported(including_emulation=False)


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """No TF32, in which GPUs round the factors of float32 products to 10 bits; CPUs know nothing of it."""
    import torch

    conv, product = torch.backends.cudnn, torch.backends.cuda.matmul
    before = conv.allow_tf32, product.allow_tf32
    conv.allow_tf32 = product.allow_tf32 = False
    try:
        yield
    finally:
        conv.allow_tf32, product.allow_tf32 = before
