"""Inference on one device: chips in, levels of probability out, in batches as large as the memory allows."""

from __future__ import annotations

import contextlib
import io
import pickle
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmentation.cores import usable_cores
from segmentation.errors import PipelineError
from segmentation.model import ModelRun
from segmentation.probabilities import CERTAIN
from segmentation.workers import map_ahead

if TYPE_CHECKING:
    import torch
    from mmengine.dataset import Compose
    from mmseg.models import BaseSegmentor
    from mmseg.structures import SegDataSample

AUTO, FP32, BF16, FP16 = "auto", "fp32", "bf16", "fp16"
PRECISIONS = (AUTO, FP32, BF16, FP16)

# Chips that go through the model together unless the user says otherwise. On a GPU the number is halved until the
# memory suffices; on a CPU one chip alone stays in its caches and is the fastest.
_GPU_BATCH, _CPU_BATCH = 64, 1


class Predictor:
    """A segmentor with two classes, ready to predict chips in batches.

    Any MMSegmentation model whose result is logits: two (background, mine) or one, in ``whole`` or ``slide`` test
    mode. What it gives equals ``mmseg.apis.inference_model`` chip by chip: to 1e-4 in ``fp32``; ``bf16`` and ``fp16``
    round more coarsely.

    Args:
        run: config and checkpoint.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None takes a GPU where there is one.
        precision: one of ``PRECISIONS``; ``auto`` is ``bf16`` on GPUs that compute in it, else ``fp32``.
        compiled: compile the model with ``torch.compile``, for one size of batch: about a minute once, for long runs.

    Raises:
        PipelineError: config and checkpoint do not fit, or the device or its precision is not there.
    """

    def __init__(self, run: ModelRun, device: str | None = None, precision: str = AUTO, compiled: bool = False):
        import torch

        from segmentation.rewrites import speed_up

        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        # MMSegmentation prints what it loads, and warns of what SegFormer does without.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model = speed_up(_load(run, self.device)).to(memory_format=torch.channels_last)
            self._pipeline = _reading(self._model.cfg.test_pipeline)
        self._on_gpu = self.device.startswith("cuda")
        self._autocast = _autocast_type(precision, self._on_gpu)
        self._most = 1
        if compiled:
            self._model.encode_decode = torch.compile(self._model.encode_decode, dynamic=False)

    def predict(
        self, chips: Sequence[Path], batch_size: int | None = None, workers: int = 2
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Probability of mine for every chip.

        Args:
            chips: paths of chips.
            batch_size: chips that go through the model together; None for as many as the memory allows.
            workers: on a GPU, processes that read and decode chips; they are forked here, before this returns. On a
                CPU, threads that read and predict a batch each and share its cores.

        Returns:
            A chip's position and its levels, (512, 512) uint8, 0 to ``probabilities.CERTAIN`` for 0 to 1, in the
            order of ``chips``.
        """
        import torch
        from mmengine.dataset import pseudo_collate

        self._most = batch_size = batch_size or (_GPU_BATCH if self._on_gpu else _CPU_BATCH)
        reading = _Chips(chips, self._pipeline)
        if not self._on_gpu:
            return enumerate(self._in_threads(reading, batch_size, workers))
        loader = torch.utils.data.DataLoader(
            reading,
            batch_size=batch_size,
            num_workers=min(workers, len(chips)),
            collate_fn=pseudo_collate,
            pin_memory=True,
        )
        return enumerate(self._levels(iter(loader)))

    def _in_threads(self, chips: _Chips, batch_size: int, workers: int) -> Iterator[np.ndarray]:
        """The levels of every chip, batches side by side: cores need not wait for each other within a layer."""
        import torch
        from mmengine.dataset import pseudo_collate

        def levels(first: int) -> list[np.ndarray]:
            batch = [chips[position] for position in range(first, min(first + batch_size, len(chips)))]
            return list(self._levels([pseudo_collate(batch)]))

        before = torch.get_num_threads()
        # Torch knows of no limits that control groups set.
        cores = min(before, usable_cores())
        threads = max(1, min(workers, cores))
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(cores // threads,)) as pool:
                for some in map_ahead(pool, levels, range(0, len(chips), batch_size), waiting=2 * threads):
                    yield from some
        finally:
            torch.set_num_threads(before)

    def _levels(self, batches: Iterable[dict]) -> Iterator[np.ndarray]:
        for batch in batches:
            left = len(batch["inputs"])
            # The last batch is filled up: sums in batches of another size may round differently, and a run that goes on
            # where another stopped is to give the same.
            fill = self._most - left
            images, samples = (part + part[-1:] * fill for part in (batch["inputs"], batch["data_samples"]))
            while left > 0:
                probability = self._within_memory(images, samples)
                yield from (probability[:left] * CERTAIN).round().byte().cpu().numpy()
                done = len(probability)
                images, samples, left = images[done:], samples[done:], left - done

    def _within_memory(self, images: list[torch.Tensor], samples: list[SegDataSample]) -> torch.Tensor:
        """Predict the first of some chips, as many as fit; no more than that from now on."""
        import torch

        while True:
            try:
                return self.probability(images[: self._most], samples[: self._most])
            except torch.OutOfMemoryError:
                fitting = len(images[: self._most])
            # Outside of the handler, whose error holds on to the tensors that did not fit.
            if fitting == 1:
                raise PipelineError(f"one chip alone does not fit into the memory of {self.device}; try --devices cpu")
            self._most = fitting // 2
            torch.cuda.empty_cache()

    def probability(self, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample]) -> torch.Tensor:
        """Softmax over the two classes: with logits l0 and l1 it is ``sigmoid(l1 - l0)``.

        Args:
            images: (3, h, w) uint8 each, as the config's test pipeline packs them.
            samples: what the pipeline says of them.

        Returns:
            (n, 512, 512) float32 on the device, probability of mine, 0 to 1.
        """
        import torch

        with (
            torch.inference_mode(),
            torch.autocast(self.device.partition(":")[0], self._autocast, enabled=self._autocast is not None),
        ):
            data = self._model.data_preprocessor({"inputs": list(images), "data_samples": list(samples)}, False)
            inputs = data["inputs"].contiguous(memory_format=torch.channels_last)
            facts = [sample.metainfo for sample in data["data_samples"]]
            logits = self._model.inference(inputs, facts).float()
            if any(tuple(fact["ori_shape"]) != logits.shape[2:] or "img_padding_size" in fact for fact in facts):
                # Resized or padded on the way in: MMSegmentation takes that back. It also turns single logits into
                # probabilities.
                ends = self._model.postprocess_result(logits, data["data_samples"])
                logits = torch.stack([end.seg_logits.data for end in ends])
                return logits[:, 0] if logits.shape[1] == 1 else (logits[:, 1] - logits[:, 0]).sigmoid()
            return (logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]).sigmoid()


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


def _autocast_type(precision: str, on_gpu: bool) -> torch.dtype | None:
    """The type in which convolutions and matrix products are computed; None for plain float32."""
    import torch

    bf16_here = on_gpu and torch.cuda.is_bf16_supported()
    if precision == AUTO:
        precision = BF16 if bf16_here else FP32
    if precision == BF16 and on_gpu and not bf16_here:
        raise PipelineError("this GPU does not compute in bf16; choose --precision fp16 or fp32")
    if precision == FP16 and not on_gpu:
        raise PipelineError("fp16 is for GPUs; choose --precision bf16 or fp32 on a CPU")
    return {FP32: None, BF16: torch.bfloat16, FP16: torch.float16}[precision]


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
