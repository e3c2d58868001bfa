"""What made the probabilities that are kept: a record beside them, by which nothing is mixed and nothing lost.

The record (``model.json``) holds SHA-256 fingerprints of the checkpoint, of the config and of what the year's chips
were made from, and the precision of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segmentation.core.errors import PipelineError
from segmentation.core.files import fingerprint, read_json, write_json
from segmentation.core.workspace import YearFolder
from segmentation.predict.devices import Inference
from segmentation.predict.loading import recipe_fingerprint
from segmentation.predict.precision import AUTO, choose_precision, default_device
from segmentation.predict.runs import ModelRun

CHECKPOINT, CONFIG, RECIPE, CHIPS, PRECISION = "checkpoint", "config", "recipe", "chips", "precision"


@dataclass(frozen=True)
class Kept:
    """The probabilities of one model run that are there, and what made them.

    Attributes:
        record: path of the record; the files lie beside it.
        files: the probability files, damaged ones too.
        made_from: what the record says; empty where there is none.
    """

    record: Path
    files: tuple[Path, ...]
    made_from: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.record.parent

    def replace(self, made_from: Mapping[str, str], *, remove: bool) -> int:
        """Write another record, after the files were removed if that is asked for: how many were."""
        gone = self.files if remove else ()
        for path in gone:
            path.unlink(missing_ok=True)
        if made_from != self.made_from:
            write_json(self.record, dict(made_from))
        return len(gone)


def record_path(folder: YearFolder, run: str) -> Path:
    """Where the record of a model run's (``MODEL_ITER``) probabilities is."""
    return folder.probability(run, "model").with_suffix(".json")


def read_kept(folder: YearFolder, run: str) -> Kept:
    """What is kept of a model run (``MODEL_ITER``) in a year.

    Raises:
        PipelineError: the record is damaged.
    """
    record = record_path(folder, run)
    return Kept(record, tuple(sorted(record.parent.glob("*.tif"))), read_json(record))


def inputs_of(folder: YearFolder, run: ModelRun) -> dict[str, str]:
    """Fingerprints of what probabilities are made from, of those files that are there."""
    files = {CHECKPOINT: run.checkpoint, CONFIG: run.config, CHIPS: folder.settings}
    return {name: fingerprint(path) for name, path in files.items() if path.is_file()}


def precision_to_use(kept: Kept, how: Inference, *, restart: bool) -> str:
    """The precision in which to predict what is missing: ``auto`` goes on as the kept ones were made.

    Args:
        kept: from ``read_kept``.
        how: to run the model.
        restart: the kept ones are not to stay.

    Raises:
        PipelineError: a device does not compute in it.
    """
    devices = how.devices or (default_device(),)
    before = kept.made_from.get(PRECISION, AUTO)
    if restart or how.precision != AUTO or not kept.files or before == AUTO:
        return choose_precision(how.precision, devices)
    try:
        return choose_precision(before, devices)
    except PipelineError:
        raise PipelineError(
            f"the {len(kept.files):,} probabilities in {kept.folder} were made in {before}, in which "
            f"{' and '.join(devices)} cannot go on; take --devices that can, or --restart to remove and make them anew"
        ) from None


def refuse_mixture(kept: Kept, run: ModelRun, now: Mapping[str, str], asked: str) -> None:
    """Make sure that kept probabilities were made as new ones would be.

    Args:
        kept: from ``read_kept``.
        run: the trained model.
        now: from ``inputs_of``.
        asked: the precision asked for, or ``auto``.

    Raises:
        PipelineError: they were made from something else, or nobody knows from what.
    """
    if not kept.files:
        return
    ways_out = (
        f"--restart removes these {len(kept.files):,} files and makes them anew; "
        "or keep them, and predict with a config of another name"
    )
    if not kept.made_from:
        raise PipelineError(f"nothing says what made the probabilities in {kept.folder}; {ways_out}")
    changed = _changes(kept.made_from, run, now, asked)
    if changed:
        raise PipelineError(f"the probabilities in {kept.folder} were made with {' and '.join(changed)}; {ways_out}")


def _changes(before: Mapping[str, str], run: ModelRun, now: Mapping[str, str], asked: str) -> Sequence[str]:
    """What is not as before, in words."""

    def differs(name: str) -> bool:
        # What is not there any more is taken to be as it was.
        return name in now and now[name] != before.get(name)

    changed = []
    if differs(CHECKPOINT):
        changed.append(f"another checkpoint than {run.checkpoint}")
    if differs(CONFIG) and before.get(RECIPE) != recipe_fingerprint(run):
        changed.append(f"another model or test pipeline than {run.config} says")
    if differs(CHIPS):
        changed.append("other chips than the year's")
    precision = before.get(PRECISION, AUTO)
    if AUTO not in (asked, precision) and asked != precision:
        changed.append(f"--precision {precision}, not {asked} (without the option it goes on as before)")
    return changed


def made_from(run: ModelRun, now: Mapping[str, str], precision: str) -> dict[str, str]:
    """The record of what is predicted from now on.

    Args:
        run: the trained model.
        now: from ``inputs_of``.
        precision: from ``precision_to_use``.
    """
    return dict(now) | {RECIPE: recipe_fingerprint(run), PRECISION: precision}
