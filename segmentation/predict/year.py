"""Step 3's work: the probabilities of every chip of a year, a file each, and their outlines while the model goes on.

The model's process does nothing but feed it. Worker processes write its results and outline them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
from segmentation.core.progress import Bar, progress
from segmentation.core.workspace import YearFolder
from segmentation.geo.geotiffs import damaged
from segmentation.predict.batches import unreadable
from segmentation.predict.devices import Inference, predict_chips
from segmentation.predict.kept import Kept, inputs_of, made_from, precision_to_use, read_kept, refuse_mixture
from segmentation.predict.outlines.join import MEAN, Pieces, Rule, collect, outline_block, outline_window
from segmentation.predict.outlines.overlaps import part
from segmentation.predict.probability import Prediction, encode, is_readable, write_probability
from segmentation.predict.runs import ModelRun
from segmentation.windows.statuses import WRITTEN

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What there is to predict of a year.

    Attributes:
        run: the trained model.
        how: to run it, in a precision that is settled, and in how many processes to read, write and outline.
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


def plan_year(
    windows: gpd.GeoDataFrame,
    folder: YearFolder,
    run: ModelRun,
    how: Inference,
    *,
    restart: bool = False,
    quiet: bool = False,
) -> Work:
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
            not there, or the model's files are not.
    """
    seen = windows[windows["status"] == WRITTEN]
    chips = [folder.chip(split, name) for split, name in zip(seen["split"], seen["id"], strict=True)]
    places = seen[["col", "row", "side_px"]].to_numpy("int64").tolist()
    predictions = [
        Prediction(folder.probability(run.name, name), *place) for name, place in zip(seen["id"], places, strict=True)
    ]
    kept, now = read_kept(folder, run.name), inputs_of(folder, run)
    if restart:
        missing = list(range(len(predictions)))
    else:
        refuse_mixture(kept, run, now, how.precision)
        missing = _missing(predictions, how.workers, quiet)
    if not missing:
        return Work(run, how, predictions, chips, missing, kept, dict(kept.made_from))
    run.need_files()
    gone = [chips[position] for position in missing if not chips[position].exists()]
    if gone:
        raise PipelineError(f"{len(gone)} chips are gone, for example {gone[0]}; run step 1 for {folder.year} again")
    damaged_chips = damaged([chips[position] for position in missing], how.workers)
    if damaged_chips:
        example = damaged_chips[0]
        raise PipelineError(
            f"{len(damaged_chips)} chips are damaged, for example {example.path} ({example.reason}); "
            f"run step 1 for {folder.year} again, which makes them anew"
        )
    precision = precision_to_use(kept, how, restart=restart)
    record = made_from(run, now, precision)
    return Work(run, replace(how, precision=precision), predictions, chips, missing, kept, record, restart)


def _missing(predictions: list[Prediction], workers: int, quiet: bool) -> list[int]:
    """Positions of the predictions that are not there, or that cannot be read: these are told."""
    there = [position for position, prediction in enumerate(predictions) if prediction.probability.exists()]
    with (
        ThreadPoolExecutor(workers) as pool,
        progress(total=len(there), desc="kept", unit="file", quiet=quiet or not there) as bar,
    ):
        readable = []
        for whole in pool.map(is_readable, [predictions[position] for position in there]):
            readable.append(whole)
            bar.update()
    unreadable_ones = [position for position, whole in zip(there, readable, strict=True) if not whole]
    if unreadable_ones:
        example = predictions[unreadable_ones[0]].probability
        _log.warning("%d kept probability files cannot be read and are made anew: %s", len(unreadable_ones), example)
    return sorted(set(range(len(predictions))) - set(there) | set(unreadable_ones))


def predict_year(work: Work, rule: Rule, quiet: bool = False) -> Pieces:
    """Predict every chip that has no probabilities yet, and outline the mines of all.

    Args:
        work: from ``plan_year``.
        rule: how probabilities become outlines.
        quiet: no progress bars.

    Returns:
        The outlines, window by window in the order of the windows, then block by block where windows overlap.

    Raises:
        PipelineError: the model does not run.
    """
    predictions, chips, missing = work.predictions, work.chips, work.missing
    at_hand = sorted(set(range(len(predictions))) - set(missing))
    # Its readers are forked before the crew's threads start.
    predicted = _begin(work) if missing else ()
    alone, blocks = part(predictions) if rule.overlap == MEAN else (np.arange(len(predictions)), [])
    outlined = set(alone.tolist())
    with Crew(work.how.workers) as crew:

        def hand_over(position: int, levels: np.ndarray | None, bar: Bar) -> Future:
            now = rule if position in outlined else None
            return crew.submit(write_and_outline, predictions[position], chips[position], levels, now, done=bar.update)

        with progress(total=len(predictions), desc="chips", unit="chip", quiet=quiet) as bar:
            # New ones first: the model is not to wait for the outlines of others.
            tasks = {missing[place]: hand_over(missing[place], levels, bar) for place, levels in predicted}
            tasks |= {position: hand_over(position, None, bar) for position in at_hand}
            pieces = [tasks[position].result() for position in range(len(predictions))]
        with progress(total=len(blocks), desc="overlaps", unit="block", quiet=quiet or not blocks) as bar:
            joint = [crew.submit(outline_block, block, rule, done=bar.update) for block in blocks]
            pieces += [block.result() for block in joint]
    return collect([piece for piece in pieces if piece is not None])


def _begin(work: Work) -> Iterator[tuple[int, np.ndarray]]:
    """The levels of what is missing, as ``predict_chips`` gives them.

    The kept files are removed, if that was asked for, and the record is written as soon as the model has given
    something: one that does not run costs nothing that is kept.
    """
    predicted = predict_chips([work.chips[position] for position in work.missing], work.run, work.how)
    first = next(predicted)
    removed = work.kept.replace(work.made_from, remove=work.restart)
    if removed:
        _log.warning("removed %d probability files of before in %s", removed, work.kept.folder)
    return chain([first], predicted)


def write_and_outline(
    prediction: Prediction, chip: Path, levels: np.ndarray | None, rule: Rule | None
) -> Pieces | None:
    """What a worker does with a window: write what is new, and outline it unless that has to wait for others.

    Args:
        prediction: the window's.
        chip: its path.
        levels: (512, 512) uint8 as the model gave them; None where they are kept already.
        rule: how probabilities become outlines; None where other windows overlap and are to be averaged first.

    Raises:
        PipelineError: the chip or the probabilities cannot be read.
    """
    if levels is not None:
        try:
            with rasterio.open(chip) as file:
                transform = file.transform
            valid = read_valid(chip)
        except (RasterioError, DamagedFile):
            # Other libraries, by which a model may read, give what is left of a damaged file without a word.
            raise PipelineError(unreadable(chip)) from None
        write_probability(prediction.probability, encode(levels, valid), transform)
    return None if rule is None else outline_window(prediction, rule)
