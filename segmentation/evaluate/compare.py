"""Reading and comparing windows, in parallel processes: pixels are counted, mines outlined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import rasterio

from segmentation.chips.mask import IGNORE, MINE, draw_mask, read_mask
from segmentation.core.errors import PipelineError
from segmentation.core.process.workers import worker_pool
from segmentation.core.progress import progress
from segmentation.evaluate.inputs import Pair
from segmentation.evaluate.objects import outline
from segmentation.evaluate.pixels import LEVELS, histogram
from segmentation.predict.probability import NO_DATA, read_probability

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
_CHUNK = 16


@dataclass(frozen=True)
class Comparison:
    """What was counted and outlined in n windows.

    Attributes:
        histograms: (n, 2, 251) int64, pixels by label and probability.
        reference: (m,) shapely polygons, the reference's mines of single windows, in the world's pixel coordinates.
        reference_window: (m,) int64, the position of the window that each is from.
        predicted: (k,) likewise, the predicted mines.
        predicted_window: (k,) int64.
    """

    histograms: np.ndarray
    reference: np.ndarray
    reference_window: np.ndarray
    predicted: np.ndarray
    predicted_window: np.ndarray


@dataclass(frozen=True)
class _Window:
    """What was counted and outlined in one window, see ``Comparison``."""

    histogram: np.ndarray
    reference: np.ndarray
    predicted: np.ndarray


def compare_windows(pairs: Sequence[Pair], level: int | None, workers: int, *, quiet: bool = False) -> Comparison:
    """Count and outline every window.

    Args:
        pairs: predictions and what they are compared with.
        level: the least encoded probability that is called mine; None to outline nothing.
        workers: processes.
        quiet: no progress bar.
    """
    windows = in_processes(partial(_compare, level=level), pairs, workers, "windows", quiet=quiet)
    reference = [window.reference for window in windows]
    predicted = [window.predicted for window in windows]
    return Comparison(
        histograms=np.array([window.histogram for window in windows], "int64").reshape(-1, 2, LEVELS),
        reference=_joined(reference),
        reference_window=_window_of_each(reference),
        predicted=_joined(predicted),
        predicted_window=_window_of_each(predicted),
    )


def read_pair(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The reference as a mask and the prediction of a window: (512, 512) uint8 each, encoded as in their files.

    Raises:
        PipelineError: the prediction is not one of step 3's.
    """
    probability = read_probability(pair.probability)
    with rasterio.open(pair.probability) as file:
        transform = file.transform
    if ((probability >= LEVELS) & (probability != NO_DATA)).any():
        raise PipelineError(f"{pair.probability} holds values from {LEVELS} to {NO_DATA - 1}: no probabilities of ours")
    if pair.mask is not None:
        return read_mask(pair.mask), probability
    return draw_mask(pair.polygons_3857, transform, probability != NO_DATA), probability


def _compare(pair: Pair, level: int | None) -> _Window:
    mask, probability = read_pair(pair)
    counts = histogram(mask, probability)
    if level is None:
        nothing = np.array([], dtype=object)
        return _Window(counts, nothing, nothing)
    known = (mask != IGNORE) & (probability != NO_DATA)
    reference = outline(known & (mask == MINE), pair)
    predicted = outline(known & (probability >= level), pair)
    return _Window(counts, reference, predicted)


def _joined(outlines: Sequence[np.ndarray]) -> np.ndarray:
    """The outlines of all windows in a row."""
    return np.concatenate([np.array([], dtype=object), *outlines])


def _window_of_each(outlines: Sequence[np.ndarray]) -> np.ndarray:
    """The position of the window that each of them is from, int64."""
    count = np.array([len(of_window) for of_window in outlines], dtype="int64")
    return np.repeat(np.arange(len(outlines)), count)


def in_processes(
    work: Callable[[_Job], _Result], jobs: Sequence[_Job], workers: int, what: str, *, quiet: bool = False
) -> list[_Result]:
    """Do jobs in worker processes; few of them are done before a process would have started.

    Args:
        work: a function that can be pickled.
        jobs: what it takes, one by one.
        workers: processes.
        what: they are called, beside the progress bar.
        quiet: no progress bar.

    Returns:
        What ``work`` gives, in the order of the jobs.
    """
    bar = partial(progress, total=len(jobs), desc=what, unit="window", quiet=quiet)
    workers = min(workers, len(jobs) // _CHUNK)
    if workers < 2:
        return list(bar(map(work, jobs)))
    with worker_pool(workers) as pool:
        return list(bar(pool.map(work, jobs, chunksize=_CHUNK)))
