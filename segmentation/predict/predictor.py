"""Inference on one device: chips in, levels of probability out, in batches as large as the memory allows."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmentation.core.errors import PipelineError
from segmentation.core.process.cores import usable_cores
from segmentation.core.process.workers import map_ahead
from segmentation.predict.batches import Chips, batches_of, collate
from segmentation.predict.probability import CERTAIN
from segmentation.predict.runs import ModelRun

if TYPE_CHECKING:
    import torch
    from mmseg.models import BaseSegmentor
    from mmseg.structures import SegDataSample

AUTO, FP32, BF16, FP16 = "auto", "fp32", "bf16", "fp16"
PRECISIONS = (AUTO, FP32, BF16, FP16)

# Chips that go through the model together unless the user says otherwise. On a GPU the number is halved until the
# memory suffices; on a CPU one chip alone stays in its caches and is the fastest.
_GPU_BATCH, _CPU_BATCH = 64, 1

# Of the first batch, chips on which the rewritten model is compared with the plain one, and how much they may differ.
_COMPARED = 4
TOLERANCE = 1e-4
# Of the random numbers that some models draw for every chip (SegNeXt).
SEED = 0

_log = logging.getLogger(__name__)


class Predictor:
    """A segmentor with two classes, ready to predict chips in batches.

    Any MMSegmentation model whose result is logits: two (background, mine) or one, in ``whole`` or ``slide`` test
    mode. What it gives equals ``mmseg.apis.inference_model`` chip by chip: to 1e-4 in ``fp32``; ``bf16`` and ``fp16``
    round more coarsely. A model that draws random numbers draws the same for every chip, those after
    ``torch.manual_seed(SEED)``.

    The model is rewritten to be faster. On the first chips, what it gives is compared with what it gave before.

    Args:
        run: config and checkpoint.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None takes a GPU where there is one.
        precision: one of ``PRECISIONS``; see ``choose_precision``.
        compiled: compile the model with ``torch.compile``, for one size of batch: about a minute once, for long runs.

    Raises:
        PipelineError: config and checkpoint do not fit, or the device or its precision is not there.
    """

    def __init__(self, run: ModelRun, device: str | None = None, precision: str = AUTO, compiled: bool = False):
        import torch

        from segmentation.predict.loading import load_model, read_config, reading_pipeline
        from segmentation.predict.rewrites import speed_up

        self._run = run
        self.device = device or default_device()
        _require(self.device, run)
        self.precision = choose_precision(precision, [self.device])
        # MMSegmentation prints what it loads, and warns of what SegFormer does without.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = read_config(run)
            plain = load_model(run, config, self.device).to(memory_format=torch.channels_last)
            self._pipeline = reading_pipeline(run, config)
            rewritten = speed_up(plain)
        self._model = rewritten or plain
        # What the first chips are compared with; None from then on.
        self._plain: BaseSegmentor | None = plain
        self._on_gpu = self.device.startswith("cuda")
        self._most = 1
        self._compiled = compiled
        self._draws = False
        self._drawing = threading.Lock()

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
            A chip's position and its levels, (512, 512) uint8, 0 to ``probability.CERTAIN`` for 0 to 1, in the
            order of ``chips``.
        """
        import torch

        self._most = batch_size = batch_size or (_GPU_BATCH if self._on_gpu else _CPU_BATCH)
        reading = Chips(chips, self._pipeline, self._run)
        if not self._on_gpu:
            return enumerate(self._in_threads(reading, batch_size, workers))
        loader = torch.utils.data.DataLoader(
            reading,
            batch_size=batch_size,
            num_workers=min(workers, len(chips)),
            collate_fn=collate,
            pin_memory=True,
        )
        return enumerate(self._levels(batches_of(loader)))

    def _in_threads(self, chips: Chips, batch_size: int, workers: int) -> Iterator[np.ndarray]:
        """The levels of every chip, batches side by side: cores need not wait for each other within a layer."""
        import torch

        def levels(first: int) -> list[np.ndarray]:
            batch = [chips[position] for position in range(first, min(first + batch_size, len(chips)))]
            return list(self._levels(batches_of([collate(batch)])))

        before = torch.get_num_threads()
        # Torch knows of no limits that control groups set.
        cores = min(before, usable_cores())
        threads = max(1, min(workers, cores))
        firsts = range(0, len(chips), batch_size)
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(cores // threads,)) as pool:
                # The first batch alone: it also decides how the model is run from then on.
                for first in firsts[:1]:
                    yield from pool.submit(levels, first).result()
                for some in map_ahead(pool, levels, firsts[1:], waiting=2 * threads):
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

        Raises:
            PipelineError: the model gives something else than finite numbers for a chip.
        """
        if self._plain is not None:
            return self._compared(images, samples)
        return self._run_model(self._model, images, samples, self.precision)

    def _compared(self, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample]) -> torch.Tensor:
        """As ``probability``, for the first batch: leaves the plain model in use if the rewritten one differs."""
        import torch

        plain = self._plain
        few = min(_COMPARED, len(images))
        expected = self._one_by_one(plain, images[:few], samples[:few])
        probability = self._run_model(self._model, images, samples, self.precision)
        if self._model is not plain:
            as_used = not self._on_gpu and self.precision == FP32
            found = probability[:few] if as_used else self._one_by_one(self._model, images[:few], samples[:few])
            difference = (found - expected).abs().max().item()
            if not difference <= TOLERANCE:
                _log.warning(
                    "%s is run as it is: its faster form differs from it by %.2g in probability",
                    self._run.config.stem,
                    difference,
                )
                self._model = plain
                probability = self._run_model(plain, images, samples, self.precision)
        self._plain = None
        if self._compiled:
            self._model.encode_decode = torch.compile(self._model.encode_decode, dynamic=False)
        return probability

    def _one_by_one(
        self, model: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample]
    ) -> torch.Tensor:
        """As ``probability``, in float32; a batch that fits into the memory in fewer bits may not fit in these."""
        import torch

        with exact_products():
            return torch.cat(
                [self._seeded(model, images[n : n + 1], samples[n : n + 1], FP32) for n in range(len(images))]
            )

    def _run_model(
        self, model: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample], precision: str
    ) -> torch.Tensor:
        """As ``probability``, with a given model and precision."""
        import torch

        if not self._draws:
            return self._forward(model, images, samples, precision)
        # Each chip draws the same, whatever its place in a batch.
        alone = range(len(images))
        return torch.cat([self._seeded(model, images[n : n + 1], samples[n : n + 1], precision) for n in alone])

    def _seeded(
        self, model: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample], precision: str
    ) -> torch.Tensor:
        """As ``_forward``, with the same random numbers every time; notes whether the model draws any."""
        import torch

        # Torch's generators are those of the whole process: other threads wait.
        with self._drawing, torch.random.fork_rng([self.device] if self._on_gpu else []):
            torch.manual_seed(SEED)
            before = self._generators()
            probability = self._forward(model, images, samples, precision)
            drawn = [not torch.equal(one, other) for one, other in zip(before, self._generators(), strict=True)]
            self._draws = self._draws or any(drawn)
        return probability

    def _generators(self) -> list[torch.Tensor]:
        """The states of the generators from which a model may draw."""
        import torch

        return [torch.get_rng_state()] + ([torch.cuda.get_rng_state(self.device)] if self._on_gpu else [])

    def _forward(
        self, model: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample], precision: str
    ) -> torch.Tensor:
        import torch

        dtype = {FP32: None, BF16: torch.bfloat16, FP16: torch.float16}[precision]
        with (
            torch.inference_mode(),
            torch.autocast(self.device.partition(":")[0], dtype, enabled=dtype is not None),
        ):
            data = model.data_preprocessor({"inputs": list(images), "data_samples": list(samples)}, False)
            inputs = data["inputs"].contiguous(memory_format=torch.channels_last)
            facts = [sample.metainfo for sample in data["data_samples"]]
            logits = model.inference(inputs, facts).float()
            # Of the logits: infinity would become a probability of 1.
            finite = logits.isfinite().flatten(1).all(dim=1)
            if not finite.all():
                raise PipelineError(self._why_not_finite(facts[int(finite.int().argmin())], precision))
            if any(tuple(fact["ori_shape"]) != logits.shape[2:] or "img_padding_size" in fact for fact in facts):
                # Resized or padded on the way in: MMSegmentation takes that back. It also turns single logits into
                # probabilities.
                ends = model.postprocess_result(logits, data["data_samples"])
                logits = torch.stack([end.seg_logits.data for end in ends])
                return logits[:, 0] if logits.shape[1] == 1 else (logits[:, 1] - logits[:, 0]).sigmoid()
            return (logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]).sigmoid()

    def _why_not_finite(self, fact: dict, precision: str) -> str:
        """What to tell of a chip for which the model gives infinity or no number."""
        from segmentation.predict.loading import first_not_finite

        chip = fact.get("img_path", "a chip")
        weights = first_not_finite(self._model.state_dict())
        if weights:
            return (
                f"no probabilities for {chip}: {self._run.checkpoint} holds weights that are not finite ({weights}), "
                "as a training leaves that diverged; take an earlier checkpoint or train again"
            )
        if precision == FP16:
            return f"no finite probabilities for {chip}: beyond the range of fp16; choose --precision bf16 or fp32"
        return (
            f"no finite probabilities for {chip} in {precision} from {self._run.checkpoint}, whose weights are finite; "
            "take another checkpoint"
        )


def default_device() -> str:
    """A GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _require(device: str, run: ModelRun) -> None:
    """Refuse a GPU that is not there, before MMSegmentation takes its seconds to load.

    Raises:
        PipelineError: torch finds no such GPU.
    """
    import torch

    if not device.startswith("cuda"):
        return
    number, count = torch.device(device).index or 0, torch.cuda.device_count()
    if number >= count:
        raise PipelineError(
            f"cannot load {run.checkpoint} on {device}: torch finds {count or 'no'} {'GPU' if count == 1 else 'GPUs'} "
            "here; choose another with --devices"
        )


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
