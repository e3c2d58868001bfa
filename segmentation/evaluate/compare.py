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

_Job, _Result = TypeVar("_Job"), TypeVar("_Result")
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


def compare_windows(pairs: Sequence[Pair], level: int | None, workers: int, quiet: bool = False) -> Comparison:
    """Count and outline every window.

    Args:
        pairs: predictions and what they are compared with.
        level: the least encoded probability that is called mine; None to outline nothing.
        workers: processes.
        quiet: no progress bar.
    """
    parts = in_processes(partial(_compare, level=level), pairs, workers, "windows", quiet)
    counted, reference, predicted = zip(*parts, strict=True) if parts else ((), (), ())
    return Comparison(
        np.stack(counted) if parts else np.zeros((0, 2, LEVELS), "int64"), *_joined(reference), *_joined(predicted)
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


def _compare(pair: Pair, level: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mask, probability = read_pair(pair)
    counts = histogram(mask, probability)
    if level is None:
        return counts, *[np.array([], dtype=object)] * 2
    known = (mask != IGNORE) & (probability != NO_DATA)
    mine, predicted = known & (mask == MINE), known & (probability >= level)
    return counts, outline(mine, pair), outline(predicted, pair)


def _joined(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    count = np.array([len(part) for part in parts], dtype="int64")
    return np.concatenate([np.array([], dtype=object), *parts]), np.repeat(np.arange(len(parts)), count)


def in_processes(
    work: Callable[[_Job], _Result], jobs: Sequence[_Job], workers: int, what: str, quiet: bool = False
) -> list[_Result]:
    """Do jobs in worker processes, in their order; few of them are done before a process would have started."""
    bar = partial(progress, total=len(jobs), desc=what, unit="window", quiet=quiet)
    workers = min(workers, len(jobs) // _CHUNK)
    if workers < 2:
        return list(bar(map(work, jobs)))
    with worker_pool(workers) as pool:
        return list(bar(pool.map(work, jobs, chunksize=_CHUNK)))
