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
from segmentation.predict.precision import AUTO
from segmentation.predict.predictor import Predictor
from segmentation.predict.runs import ModelRun


@dataclass(frozen=True)
class Inference:
    """How to run a model.

    Attributes:
        devices: such as ``("cuda:0", "cuda:1")``; none for a GPU where there is one, else the CPU.
        batch_size: chips that go through the model together on each device; None for as many as the memory allows.
        precision: see ``precision.PRECISIONS``.
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
    predictor = Predictor(run, device, how.precision, compiled=how.compiled)
    return predictor.predict(chips, how.batch_size, how.workers)


@dataclass(frozen=True)
class _Levels:
    """What the process of a device sends of a chip: its position among the device's chips, and its levels."""

    position: int
    levels: np.ndarray


@dataclass(frozen=True)
class _Fault:
    """What it sends last if something went wrong."""

    text: str


@dataclass(frozen=True)
class _Done:
    """What it sends last if all went well."""


def _on_several(chips: Sequence[Path], run: ModelRun, how: Inference) -> Iterator[tuple[int, np.ndarray]]:
    """Every device takes each n-th chip."""
    context = multiprocessing.get_context("spawn")
    count = len(how.devices)
    # The number of each device whose process has more to send, by the connection on which it does.
    sending: dict[Connection, int] = {}
    processes = []
    for number, device in enumerate(how.devices):
        reader, writer = context.Pipe(duplex=False)
        arguments = (writer, chips[number::count], run, how, device)
        process = context.Process(target=_predict_share, args=arguments, name=device)
        with holding_back_signals():
            process.start()
        writer.close()  # the process has its own; with this one open, its end would go unnoticed
        sending[reader] = number
        processes.append(process)
    try:
        while sending:
            ready = wait(list(sending))
            for reader in [reader for reader in sending if reader in ready]:
                number = sending[reader]
                message = _receive(reader, how.devices[number])
                if isinstance(message, _Levels):
                    yield number + count * message.position, message.levels
                else:
                    del sending[reader]
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _receive(reader: Connection, device: str) -> _Levels | _Done:
    """The next message of a device's process.

    Raises:
        PipelineError: something went wrong there, or the process was ended from outside.
    """
    try:
        message = reader.recv()
    except EOFError:
        raise PipelineError(f"the process on {device} ended early; is memory short?") from None
    if isinstance(message, _Fault):
        raise PipelineError(message.text)
    return message


def _predict_share(results: Connection, chips: Sequence[Path], run: ModelRun, how: Inference, device: str) -> None:
    """What the process of one device does: predict its share of the chips and send the levels."""
    init_worker()
    workers = max(1, how.workers // len(how.devices))
    try:
        predictor = Predictor(run, device, how.precision, compiled=how.compiled)
        for position, levels in predictor.predict(chips, how.batch_size, workers):
            results.send(_Levels(position, levels))
    except PipelineError as error:
        results.send(_Fault(str(error)))
    else:
        results.send(_Done())
