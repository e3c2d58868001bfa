"""Step 3's inference: the probabilities of every chip of a year, a file each, resumable."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from tqdm import tqdm

from segmentation.chips import read_valid
from segmentation.errors import PipelineError
from segmentation.model import ModelRun, Predictor
from segmentation.probabilities import encode, write_probability
from segmentation.vectorize import Prediction
from segmentation.windows import WRITTEN
from segmentation.workspace import YearFolder, fingerprint, read_json, write_json


def predict_year(
    windows: gpd.GeoDataFrame,
    folder: YearFolder,
    run: ModelRun,
    device: str | None = None,
    batch_size: int = 8,
    workers: int = 2,
    quiet: bool = False,
) -> list[Prediction]:
    """Predict every chip that has no probabilities from this very model yet.

    Args:
        windows: of the year, from ``windows.read_windows``.
        folder: the year's, locked by the caller.
        run: the trained model.
        device: see ``Predictor``.
        batch_size: chips that go through the model together.
        workers: processes that read chips.
        quiet: no progress bar.

    Returns:
        The probability file of every window that has a chip.

    Raises:
        PipelineError: a chip that ``windows.gpkg`` calls written is not there.
    """
    seen = windows[windows["status"] == WRITTEN]
    chips = [folder.chip(split, name) for split, name in zip(seen["split"], seen["id"], strict=True)]
    targets = [folder.probability(run.name, name) for name in seen["id"]]
    _same_model(folder, run)
    missing = [position for position, target in enumerate(targets) if not target.exists()]
    gone = [chips[position] for position in missing if not chips[position].exists()]
    if gone:
        raise PipelineError(f"{len(gone)} chips are gone, for example {gone[0]}; run step 1 for {folder.year} again")
    if missing:
        predictor = Predictor(run, device)
        predicted = predictor.predict([chips[position] for position in missing], batch_size, workers)
        for place, probability in tqdm(predicted, total=len(missing), desc="inference", unit="chip", disable=quiet):
            _keep(chips[missing[place]], targets[missing[place]], probability)
    places = seen[["col", "row", "side_px"]].to_numpy("int64").tolist()
    return [Prediction(target, *place) for target, place in zip(targets, places, strict=True)]


def _keep(chip: Path, target: Path, probability: np.ndarray) -> None:
    with rasterio.open(chip) as file:
        transform = file.transform
    write_probability(target, encode(probability, read_valid(chip)), transform)


def _same_model(folder: YearFolder, run: ModelRun) -> None:
    """Throw away probabilities that came from other weights or other chips under the same name."""
    record = folder.probability(run.name, "model").with_suffix(".json")
    made_from = run.fingerprint() | {"chips": fingerprint(folder.settings)}
    if read_json(record) == made_from:
        return
    if record.parent.exists():
        shutil.rmtree(record.parent)
    write_json(record, made_from)
