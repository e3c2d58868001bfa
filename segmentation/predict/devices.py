"""Inference on one device in this process, or on several at once in a process each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

from segmentation.core.errors import PipelineError
from segmentation.core.process.signals import holding_back_signals
from segmentation.core.process.workers import init_worker
from segmentation.predict.predictor import AUTO, Predictor
from segmentation.predict.runs import ModelRun


@dataclass(frozen=True)
class Inference:
    """How to run a model.

    Attributes:
        devices: such as ``("cuda:0", "cuda:1")``; none for a GPU where there is one, else the CPU.
        batch_size: chips that go through the model together on each device; None for as many as the memory allows.
        precision: see ``predictor.PRECISIONS``.
        compiled: compile the model first.
        workers: over all devices, processes that read chips; on a CPU, threads that read and predict them.
    """

    devices: tuple[str, ...] = ()
    batch_size: int | None = None
    precision: str = AUTO
    compiled: bool = False
    workers: int = 2


def predict_chips(chips: Sequence[Path], run: ModelRun, how: Inference) -> Iterator[tuple[int, np.ndarray]]:
    """Predict chips on one or several devices.

    Args:
        chips: paths of chips.
        run: the trained model.
        how: to run it.

    Returns:
        Every chip's position and its levels, (512, 512) uint8 (see ``Predictor.predict``), as they get ready. One
        device's model is loaded before this returns, those of several as the first result is asked for.

    Raises:
        PipelineError: see ``Predictor``.
    """
    if len(how.devices) > 1:
        return _on_several(chips, run, how)
    device = how.devices[0] if how.devices else None
    return Predictor(run, device, how.precision, how.compiled).predict(chips, how.batch_size, how.workers)


def _on_several(chips: Sequence[Path], run: ModelRun, how: Inference) -> Iterator[tuple[int, np.ndarray]]:
    """Every device takes each n-th chip."""
    context = multiprocessing.get_context("spawn")
    count = len(how.devices)
    readers, processes = {}, []
    for number, device in enumerate(how.devices):
        reader, writer = context.Pipe(duplex=False)
        process = context.Process(target=_shard, args=(writer, chips[number::count], run, how, device), name=device)
        with holding_back_signals():
            process.start()
        writer.close()  # the process has its own; with this one open, its end would go unnoticed
        readers[reader] = number
        processes.append(process)
    try:
        while readers:
            for reader in wait(list(readers)):
                number = readers[reader]
                try:
                    message = reader.recv()
                except EOFError:
                    raise PipelineError(f"the process on {how.devices[number]} ended early; is memory short?") from None
                if message is None:
                    del readers[reader]
                elif isinstance(message, str):
                    raise PipelineError(message)
                else:
                    position, levels = message
                    yield number + count * position, levels
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _shard(results: Connection, chips: Sequence[Path], run: ModelRun, how: Inference, device: str) -> None:
    """What the process of one device does: send every result, then None, or the text of what went wrong."""
    init_worker()
    workers = max(1, how.workers // len(how.devices))
    try:
        predictor = Predictor(run, device, how.precision, how.compiled)
        for result in predictor.predict(chips, how.batch_size, workers):
            results.send(result)
    except PipelineError as error:
        results.send(str(error))
    else:
        results.send(None)
