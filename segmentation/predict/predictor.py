"""Inference on one device: chips in, levels of probability out, in batches as large as the memory allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmentation.core.errors import PipelineError
from segmentation.core.process.cores import usable_cores
from segmentation.core.process.workers import map_ahead
from segmentation.predict.batches import Chips, batches_of, collate
from segmentation.predict.precision import AUTO, default_device
from segmentation.predict.probability import CERTAIN
from segmentation.predict.runs import ModelRun
from segmentation.predict.segmentor import Segmentor

if TYPE_CHECKING:
    import torch
    from mmseg.structures import SegDataSample

# Chips that go through the model together unless the user says otherwise. On a GPU the number is halved until the
# memory suffices; on a CPU one chip alone stays in its caches and is the fastest.
_GPU_BATCH, _CPU_BATCH = 64, 1


class Predictor:
    """A trained segmentor, ready to predict chips in batches.

    Attributes:
        segmentor: the model that predicts.

    Args:
        run: config and checkpoint.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None takes a GPU where there is one.
        precision: one of ``precision.PRECISIONS``; see ``precision.choose_precision``.
        compiled: compile the model first, see ``Segmentor``.

    Raises:
        PipelineError: config and checkpoint do not fit, or the device or its precision is not there.
    """

    def __init__(self, run: ModelRun, device: str | None = None, precision: str = AUTO, *, compiled: bool = False):
        self._run = run
        self.segmentor = Segmentor(run, device or default_device(), precision, compiled=compiled)
        # Chips that go through the model together: as many as were asked for, fewer once those have not fitted.
        self._batch_size = 1

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
        self._batch_size = batch_size or (_GPU_BATCH if self.segmentor.on_gpu else _CPU_BATCH)
        reading = Chips(chips, self.segmentor.pipeline, self._run)
        if self.segmentor.on_gpu:
            return enumerate(self._on_gpu(reading, workers))
        return enumerate(self._on_cpu(reading, self._batch_size, workers))

    def _on_gpu(self, chips: Chips, workers: int) -> Iterator[np.ndarray]:
        """The levels of every chip, read by processes that are forked here."""
        import torch

        loader = torch.utils.data.DataLoader(
            chips,
            batch_size=self._batch_size,
            num_workers=min(workers, len(chips)),
            collate_fn=collate,
            pin_memory=True,
        )
        return self._levels(batches_of(loader))

    def _on_cpu(self, chips: Chips, batch_size: int, workers: int) -> Iterator[np.ndarray]:
        """The levels of every chip, batches side by side: cores need not wait for each other within a layer."""
        import torch

        def predict_batch(first: int) -> list[np.ndarray]:
            positions = range(first, min(first + batch_size, len(chips)))
            batch = collate([chips[position] for position in positions])
            return list(self._levels(batches_of([batch])))

        threads_before = torch.get_num_threads()
        # Torch knows of no limits that control groups set.
        cores = min(threads_before, usable_cores())
        threads = max(1, min(workers, cores))
        firsts = range(0, len(chips), batch_size)
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(cores // threads,)) as pool:
                # The first batch alone: it also decides how the model is run from then on.
                for first in firsts[:1]:
                    yield from pool.submit(predict_batch, first).result()
                for levels in map_ahead(pool, predict_batch, firsts[1:], waiting=2 * threads):
                    yield from levels
        finally:
            torch.set_num_threads(threads_before)

    def _levels(self, batches: Iterable[dict]) -> Iterator[np.ndarray]:
        """The levels of every chip of some batches, (512, 512) uint8 each."""
        for batch in batches:
            images, samples = batch["inputs"], batch["data_samples"]
            left = len(images)
            # The last batch is filled up with its last chip: sums in batches of another size may round differently,
            # and a run that goes on where another stopped is to give the same.
            missing = self._batch_size - left
            images, samples = images + images[-1:] * missing, samples + samples[-1:] * missing
            while left > 0:
                probability = self._predict_what_fits(images, samples)
                levels = (probability[:left] * CERTAIN).round().byte()
                yield from levels.cpu().numpy()
                done = len(probability)
                images, samples, left = images[done:], samples[done:], left - done

    def _predict_what_fits(self, images: list[torch.Tensor], samples: list[SegDataSample]) -> torch.Tensor:
        """Predict the first of some chips, as many as fit into the memory; no more than that from now on.

        Raises:
            PipelineError: not even one chip fits.
        """
        import torch

        while True:
            images, samples = images[: self._batch_size], samples[: self._batch_size]
            try:
                return self.segmentor.probability(images, samples)
            except torch.OutOfMemoryError:
                pass
            # Outside of the handler, whose error holds on to the tensors that did not fit.
            if len(images) == 1:
                raise PipelineError(
                    f"one chip alone does not fit into the memory of {self.segmentor.device}; try --devices cpu"
                )
            self._batch_size = len(images) // 2
            torch.cuda.empty_cache()
