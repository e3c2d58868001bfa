"""Workers hand batches over in shared memory: fewer of them where that is small, as in Docker (64 MB)."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmseg.registry import DATASETS

SHARED_MEMORY = Path("/dev/shm")
# More than the workers of any recipe here fill: eight processes of the B5 config need less than 1 GB.
_PLENTY_BYTES = 4 << 30
# Random crops and scales make samples of different sizes.
_SAMPLES = 8
# torch's own default.
_PREFETCH = 2


def fit_workers(config: Config, free_bytes: int | None = None) -> None:
    """Lower the number of workers of training and validation until their batches fit into shared memory.

    A worker that finds it full dies or waits for ever, and training with it.

    Args:
        config: with MMSegmentation's modules registered; changed in place, with a warning.
        free_bytes: of shared memory; what is free now by default.
    """
    if free_bytes is None:
        free_bytes = free_shared_memory()
    loaders = [config[name] for name in ("train_dataloader", "val_dataloader") if config.get(name)]
    most = max(loader.get("num_workers", 0) for loader in loaders)
    if free_bytes >= _PLENTY_BYTES or not most:
        return
    # All processes of this machine share it.
    share = free_bytes // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    batches = [_batch_bytes(loader) for loader in loaders]
    fitting = most
    while fitting and _needed_bytes(loaders, batches, fitting) > share:
        fitting -= 1
    if fitting == most:
        return
    needed = _needed_bytes(loaders, batches, most)
    for loader in loaders:
        _limit_workers(loader, fitting)
    logging.getLogger(__name__).warning(
        "%s has room for %.0f MB, batches of %d workers need %.0f MB: %d workers instead (in Docker, --shm-size=1g "
        "gives more room)",
        SHARED_MEMORY,
        share / 1e6,
        most,
        needed / 1e6,
        fitting,
    )


def free_shared_memory() -> int:
    """Bytes that are free in shared memory; plenty where the system does not keep it in a folder."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else _PLENTY_BYTES


def _needed_bytes(loaders: list[ConfigDict], batches: list[int], limit: int) -> int:
    """Bytes that the batches under way fill: those each worker prepares ahead, and the one in use."""
    total = 0
    for loader, batch in zip(loaders, batches, strict=True):
        workers = min(loader.get("num_workers", 0), limit)
        if workers:
            ahead = loader.get("prefetch_factor") or _PREFETCH
            total += (workers * ahead + 1) * batch
    return total


def _batch_bytes(loader: ConfigDict) -> int:
    """Bytes of a batch, by the largest of some samples."""
    if not loader.get("num_workers", 0):
        return 0
    dataset = DATASETS.build(loader.dataset)
    samples = [dataset[place % len(dataset)] for place in range(_SAMPLES)]
    # Pickled they are a little larger than in shared memory, which holds their tensors alone.
    return loader.get("batch_size", 1) * max(len(pickle.dumps(sample)) for sample in samples)


def _limit_workers(loader: ConfigDict, limit: int) -> None:
    loader["num_workers"] = min(loader.get("num_workers", 0), limit)
    if loader["num_workers"] == 0:
        # torch refuses both without workers.
        loader["persistent_workers"] = False
        loader.pop("prefetch_factor", None)
