"""Step 3's work on a year: plan what is missing, predict it, write it, and outline every window.

The four go on at once. The model's process does nothing but feed the model; worker processes write its results and
outline them, window by window, as they come.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from rasterio.errors import RasterioError

from segmentation.chips.chip import read_valid
from segmentation.core.errors import DamagedFile, PipelineError
from segmentation.core.process.workers import Crew
from segmentation.core.progress import progress
from segmentation.core.workspace import YearFolder
from segmentation.geo.geotiffs import damaged
from segmentation.predict.batches import unreadable
from segmentation.predict.devices import Inference, predict_chips
from segmentation.predict.kept import Kept, inputs_of, made_from, precision_to_use, read_kept, refuse_mixture
from segmentation.predict.outlines.overlaps import Overlaps, find_overlaps
from segmentation.predict.outlines.pieces import MEAN, Pieces, Rule, collect, outline_block, outline_window
from segmentation.predict.probability import Prediction, damage_of_probability, encode, write_probability
from segmentation.predict.runs import ModelRun
from segmentation.windows.statuses import WRITTEN

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What there is to predict of a year.

    Attributes:
        run: the trained model.
        how: to run it, in a precision that is decided, and in how many processes to read, write and outline.
        predictions: of every chip, in the order of the windows.
        chips: their paths.
        missing: positions of the chips that are to be predicted.
        kept: the probabilities that are there.
        made_from: what all of them together are made from, see ``segmentation.predict.kept``.
        restart: whether the kept ones are to be removed.
    """

    run: ModelRun
    how: Inference
    predictions: list[Prediction]
    chips: list[Path]
    missing: list[int]
    kept: Kept
    made_from: dict[str, str]
    restart: bool = False

    @property
    def at_hand(self) -> list[int]:
        """Positions of the chips whose kept probabilities serve."""
        missing = set(self.missing)
        return [position for position in range(len(self.predictions)) if position not in missing]


def plan_year(
    windows: gpd.GeoDataFrame,
    folder: YearFolder,
    run: ModelRun,
    how: Inference,
    *,
    restart: bool = False,
    quiet: bool = False,
) -> Plan:
    """Find out which chips have no probabilities from this very model yet. Nothing is changed.

    Args:
        windows: of the year, from ``windows.record.read_windows``.
        folder: the year's, locked by the caller.
        run: the trained model; where nothing is missing, its files need not be there.
        how: to run it.
        restart: predict every chip, whatever there is.
        quiet: no progress bar.

    Raises:
        PipelineError: the kept probabilities were made in another way, a chip that ``windows.gpkg`` calls written is
            not there or damaged, or the model's files are not there.
    """
    seen = windows[windows["status"] == WRITTEN]
    chips = [folder.chip(split, name) for split, name in zip(seen["split"], seen["id"], strict=True)]
    predictions = _predictions(seen, folder, run)
    kept, inputs = read_kept(folder, run.name), inputs_of(folder, run)
    if restart:
        missing = list(range(len(predictions)))
    else:
        refuse_mixture(kept, run, inputs, how.precision)
        missing = _missing(predictions, how.workers, quiet=quiet)
    if not missing:
        return Plan(run, how, predictions, chips, missing, kept, dict(kept.made_from))
    run.need_files()
    _check_chips([chips[position] for position in missing], folder.year, how.workers)
    precision = precision_to_use(kept, how, restart=restart)
    record = made_from(run, inputs, precision)
    return Plan(run, replace(how, precision=precision), predictions, chips, missing, kept, record, restart)


def _predictions(windows: gpd.GeoDataFrame, folder: YearFolder, run: ModelRun) -> list[Prediction]:
    """Where the probabilities of windows are, or will be."""
    predictions = []
    places = windows[["col", "row", "side_px"]].to_numpy("int64").tolist()
    for name, (col, row, side_px) in zip(windows["id"], places, strict=True):
        predictions.append(Prediction(folder.probability(run.name, name), col, row, side_px))
    return predictions


def _missing(predictions: Sequence[Prediction], workers: int, *, quiet: bool) -> list[int]:
    """Positions of the predictions that are not there, or that cannot be read: these are told."""
    there = [prediction.probability for prediction in predictions if prediction.probability.exists()]
    with progress(total=len(there), desc="kept", unit="file", quiet=quiet or not there) as bar:
        spoilt = damaged(there, workers, damage_of=damage_of_probability, done=bar.update)
    if spoilt:
        _log.warning("%d kept probability files cannot be read and are made anew: %s", len(spoilt), spoilt[0].path)
    whole = set(there) - {file.path for file in spoilt}
    return [position for position, prediction in enumerate(predictions) if prediction.probability not in whole]


def _check_chips(chips: Sequence[Path], year: int, threads: int) -> None:
    """Make sure that chips are there and whole.

    Raises:
        PipelineError: some are not.
    """
    gone = [chip for chip in chips if not chip.exists()]
    if gone:
        raise PipelineError(f"{len(gone)} chips are gone, for example {gone[0]}; run step 1 for {year} again")
    spoilt = damaged(chips, threads)
    if spoilt:
        raise PipelineError(
            f"{len(spoilt)} chips are damaged, for example {spoilt[0].path} ({spoilt[0].reason}); "
            f"run step 1 for {year} again, which makes them anew"
        )


def predict_missing(plan: Plan) -> Iterator[tuple[int, np.ndarray]]:
    """Predict every chip that has no probabilities yet.

    Kept files are removed, if that was asked for, and the record of what makes the new ones is written as soon as the
    model has given something: one that does not run costs nothing that is kept.

    Args:
        plan: from ``plan_year``.

    Returns:
        A chip's position and its levels, (512, 512) uint8, as the model gives them. On a GPU, processes that read
        chips are forked before this returns: call it before any thread is started.

    Raises:
        PipelineError: the model does not run.
    """
    if not plan.missing:
        return iter(())
    predicted = predict_chips([plan.chips[position] for position in plan.missing], plan.run, plan.how)
    first = next(predicted)
    removed = plan.kept.replace(plan.made_from, remove=plan.restart)
    if removed:
        _log.warning("removed %d probability files of before in %s", removed, plan.kept.folder)
    return ((plan.missing[place], levels) for place, levels in chain([first], predicted))


def write_predicted(plan: Plan, predicted: Iterable[tuple[int, np.ndarray]], crew: Crew) -> Iterator[int]:
    """Have the workers write what the model gives, a file a window.

    Args:
        plan: from ``plan_year``.
        predicted: from ``predict_missing``.
        crew: the workers.

    Returns:
        The position of every window whose file is there now, soon after it is.

    Raises:
        PipelineError: a chip cannot be read any more.
    """
    writing: dict[int, Future] = {}
    for position, levels in predicted:
        path, chip = plan.predictions[position].probability, plan.chips[position]
        writing[position] = crew.submit(write_levels, path, chip, levels)
        done = [earlier for earlier, task in writing.items() if task.done()]
        for earlier in done:
            writing.pop(earlier).result()
            yield earlier
    for position, task in writing.items():
        task.result()
        yield position


def write_levels(path: Path, chip: Path, levels: np.ndarray) -> None:
    """Write a window's probabilities, with no data where its chip has none.

    Args:
        path: the GeoTIFF to write.
        chip: path of the window's chip.
        levels: (512, 512) uint8 as the model gave them.

    Raises:
        PipelineError: the chip cannot be read.
    """
    try:
        with rasterio.open(chip) as file:
            transform = file.transform
        valid = read_valid(chip)
    except (RasterioError, DamagedFile):
        # Other libraries, by which a model may read, give what is left of a damaged file without a word.
        raise PipelineError(unreadable(chip)) from None
    write_probability(path, encode(levels, valid), transform)


def outline_year(plan: Plan, written: Iterable[int], rule: Rule, crew: Crew, *, quiet: bool = False) -> Pieces:
    """Have the workers outline the mines of all windows.

    Args:
        plan: from ``plan_year``.
        written: positions of the missing windows, as their probabilities get there: from ``write_predicted``.
        rule: how probabilities become outlines.
        crew: the workers.
        quiet: no progress bars.

    Returns:
        The outlines, window by window in the order of the windows, then block by block where windows overlap and are
        averaged.

    Raises:
        PipelineError: probabilities cannot be read, or what ``written`` raises.
    """
    predictions = plan.predictions
    overlaps = find_overlaps(predictions) if rule.overlap == MEAN else Overlaps(np.arange(len(predictions)), [])
    alone = overlaps.alone.tolist()
    outlined_alone = set(alone)
    outlining: dict[int, Future] = {}
    with progress(total=len(predictions), desc="chips", unit="chip", quiet=quiet) as bar:
        # New ones first: the model is not to wait for the outlines of others.
        for position in chain(written, plan.at_hand):
            if position in outlined_alone:
                outlining[position] = crew.submit(outline_window, predictions[position], rule, done=bar.update)
            else:
                bar.update()
        pieces = [outlining[position].result() for position in alone]
    with progress(total=len(overlaps.blocks), desc="overlaps", unit="block", quiet=quiet or not overlaps.blocks) as bar:
        tasks = [crew.submit(outline_block, block, rule, done=bar.update) for block in overlaps.blocks]
        pieces += [task.result() for task in tasks]
    return collect(pieces)
