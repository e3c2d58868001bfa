"""Step 3's work: the probabilities of every chip of a year, a file each, and their outlines while the model goes on.

The model's process does nothing but feed it. Worker processes write its results and outline them.
"""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio

from segmentation.chips import read_valid
from segmentation.devices import Inference, predict_chips
from segmentation.errors import PipelineError
from segmentation.model import ModelRun
from segmentation.overlaps import part
from segmentation.probabilities import Prediction, encode, write_probability
from segmentation.progress import Bar, progress
from segmentation.vectorize import MEAN, Pieces, Rule, collect, outline_block, outline_window
from segmentation.windows import WRITTEN
from segmentation.workers import Crew
from segmentation.workspace import YearFolder, fingerprint, read_json, write_json


def predict_year(
    windows: gpd.GeoDataFrame, folder: YearFolder, run: ModelRun, how: Inference, rule: Rule, quiet: bool = False
) -> Pieces:
    """Predict every chip that has no probabilities from this very model yet, and outline the mines of all.

    Args:
        windows: of the year, from ``windows.read_windows``.
        folder: the year's, locked by the caller.
        run: the trained model.
        how: to run it, and in how many processes to read, write and outline.
        rule: how probabilities become outlines.
        quiet: no progress bars.

    Returns:
        The outlines, window by window in the order of ``windows``, then block by block where windows overlap.

    Raises:
        PipelineError: a chip that ``windows.gpkg`` calls written is not there, or the model does not run.
    """
    seen = windows[windows["status"] == WRITTEN]
    chips = [folder.chip(split, name) for split, name in zip(seen["split"], seen["id"], strict=True)]
    places = seen[["col", "row", "side_px"]].to_numpy("int64").tolist()
    predictions = [
        Prediction(folder.probability(run.name, name), *place) for name, place in zip(seen["id"], places, strict=True)
    ]
    _same_model(folder, run, how.precision)
    missing = [position for position, prediction in enumerate(predictions) if not prediction.probability.exists()]
    at_hand = sorted(set(range(len(predictions))) - set(missing))
    gone = [chips[position] for position in missing if not chips[position].exists()]
    if gone:
        raise PipelineError(f"{len(gone)} chips are gone, for example {gone[0]}; run step 1 for {folder.year} again")
    # Its readers are forked before the crew's threads start.
    predicted = predict_chips([chips[position] for position in missing], run, how) if missing else ()
    alone, blocks = part(predictions) if rule.overlap == MEAN else (np.arange(len(predictions)), [])
    outlined = set(alone.tolist())
    with Crew(how.workers) as crew:

        def settle(position: int, levels: np.ndarray | None, bar: Bar) -> Future:
            now = rule if position in outlined else None
            return crew.submit(_settle, predictions[position], chips[position], levels, now, done=bar.update)

        with progress(total=len(predictions), desc="chips", unit="chip", quiet=quiet) as bar:
            # New ones first: the model is not to wait for the outlines of others.
            settled = {missing[place]: settle(missing[place], levels, bar) for place, levels in predicted}
            settled |= {position: settle(position, None, bar) for position in at_hand}
            pieces = [settled[position].result() for position in range(len(predictions))]
        with progress(total=len(blocks), desc="overlaps", unit="block", quiet=quiet or not blocks) as bar:
            joint = [crew.submit(outline_block, block, rule, done=bar.update) for block in blocks]
            pieces += [block.result() for block in joint]
    return collect([piece for piece in pieces if piece is not None])


def _settle(prediction: Prediction, chip: Path, levels: np.ndarray | None, rule: Rule | None) -> Pieces | None:
    """What a worker does with a window: write what is new, and outline it unless that has to wait for others."""
    if levels is not None:
        with rasterio.open(chip) as file:
            transform = file.transform
        write_probability(prediction.probability, encode(levels, read_valid(chip)), transform)
    return None if rule is None else outline_window(prediction, rule)


def _same_model(folder: YearFolder, run: ModelRun, precision: str) -> None:
    """Throw away probabilities that came from other weights, other chips or another precision under the same name."""
    record = folder.probability(run.name, "model").with_suffix(".json")
    made_from = run.fingerprint() | {"chips": fingerprint(folder.settings), "precision": precision}
    if read_json(record) == made_from:
        return
    if record.parent.exists():
        shutil.rmtree(record.parent)
    write_json(record, made_from)
