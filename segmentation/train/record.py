"""What a run was trained on: described, kept as ``data.json`` beside its checkpoints, compared when it goes on."""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmengine.config import Config

from segmentation.core.errors import PipelineError
from segmentation.core.files import fingerprint, read_json, write_json
from segmentation.core.progress import Bar, progress
from segmentation.core.workspace import REPOSITORY
from segmentation.train.checkpoints import Checkpoint
from segmentation.train.data import LabelledChips, check_labelled_chips, find_labelled_chips

_LOG = logging.getLogger(__name__)

RECORD = "data.json"
_READERS = 8


def describe_data(config: Config, *, quiet: bool = False) -> dict:
    """What a config trains on, as it is kept in ``data.json``.

    Args:
        config: with MMSegmentation's modules registered.
        quiet: no progress bar.

    Returns:
        ``datasets``: for each split its datasets with ``data_root``, ``label_year`` and number of ``chips``, those
        of train and val with a ``fingerprint`` too; ``fingerprint``: SHA-256 over theirs. Fingerprints are of names
        and contents, so that a workspace may be moved or copied.

    Raises:
        PipelineError: the data are not there or not complete.
    """
    found = {split: find_labelled_chips(config, split) for split in ("train", "val")}
    for split, datasets in found.items():
        if datasets:
            check_labelled_chips(datasets, split)
    described = _with_fingerprints(found, quiet=quiet)
    fingerprints = []
    for split, accounts in described.items():
        fingerprints += [[split, account["fingerprint"]] for account in accounts]
    described["test"] = _test_accounts(config)
    return {"datasets": described, "fingerprint": hashlib.sha256(json.dumps(fingerprints).encode()).hexdigest()}


def _with_fingerprints(found: Mapping[str, Sequence[LabelledChips]], *, quiet: bool) -> dict[str, list[dict]]:
    """The datasets of every split, each with the fingerprint of its files."""
    described: dict[str, list[dict]] = {}
    files = sum(2 * len(dataset.chips) for datasets in found.values() for dataset in datasets)
    with progress(total=files, desc="fingerprint of the data", unit="file", quiet=quiet) as bar:
        for split, datasets in found.items():
            described[split] = [_account(dataset) | {"fingerprint": _fingerprint(dataset, bar)} for dataset in datasets]
    return described


def _account(dataset: LabelledChips) -> dict:
    return {"data_root": str(dataset.data_root), "label_year": dataset.label_year, "chips": len(dataset.chips)}


def _test_accounts(config: Config) -> list[dict]:
    """The test split does not touch the weights: it may be anything, or not be there."""
    try:
        return [_account(dataset) for dataset in find_labelled_chips(config, "test")]
    except PipelineError:
        return []


def _fingerprint(dataset: LabelledChips, bar: Bar) -> str:
    """SHA-256 over the names and contents of chips and masks, and over what step 1 says that they are made from."""

    def digest(path: Path) -> str:
        content = fingerprint(path)
        bar.update()
        return content

    files = sorted({*dataset.chips, *dataset.masks})
    with ThreadPoolExecutor(_READERS) as readers:
        contents = list(readers.map(digest, files))
    names = [os.path.relpath(path, dataset.data_root) for path in files]
    facts = [read_json(dataset.data_root / "settings.json"), list(zip(names, contents, strict=True))]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def refuse_other_data(work_dir: Path, data: dict, newest: Checkpoint | None) -> None:
    """Make sure that the checkpoints in a folder come from these very data.

    A run from before ``data.json`` was kept is taken over, with a word, if its checkpoint names the same folders.

    Args:
        work_dir: of the run; it holds checkpoints.
        data: from ``describe_data``.
        newest: the newest of the checkpoints that can be read.

    Raises:
        PipelineError: they come from others, or nobody knows from which.
    """
    before = read_json(work_dir / RECORD)
    if before:
        if before.get("fingerprint") != data["fingerprint"]:
            raise PipelineError(f"{work_dir} holds a run on other data ({_difference(before, data)}); {_ways_out()}")
        return
    told = _roots_in(newest.config) if newest else set()
    datasets = data["datasets"]["train"] + data["datasets"]["val"]
    now = {dataset["data_root"] for dataset in datasets}
    here = ", ".join(sorted(now))
    if told != now:
        was = ", ".join(sorted(told)) or "nobody knows which"
        raise PipelineError(
            f"{work_dir} holds a run from before its data were recorded (of {was}; now it would be {here}); "
            f"{_ways_out()}"
        )
    _LOG.warning("%s was trained before its data were recorded: taken to be those in %s", work_dir, here)


def _ways_out() -> str:
    return (
        "name another folder with --work-dir FOLDER (step 3 then takes --checkpoint FOLDER/iter_N.pth), "
        "or set its checkpoints aside and begin anew with --restart"
    )


def write_record(work_dir: Path, data: dict) -> None:
    """Write ``data.json``."""
    write_json(work_dir / RECORD, data)


def _difference(before: dict, now: dict) -> str:
    """In what two records differ, in a few words."""
    words = []
    for split in ("train", "val"):
        was, new = (_in_words(record, split) for record in (before, now))
        words.append(f"{split}: {was}, now {new}" if was != new else f"{split}: {was}")
    if not any(", now " in word for word in words):
        return "; ".join(words) + ", of another content"
    return "; ".join(words)


def _in_words(record: dict, split: str) -> str:
    """The datasets of a split as a record has them."""
    datasets = record.get("datasets", {}).get(split, [])
    return " and ".join(f"{dataset['chips']} chips of {dataset['data_root']}" for dataset in datasets) or "none"


def _roots_in(text: str) -> set[str]:
    """The data roots of training and validation in a config's text, absolute; it is parsed, not run."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError):
        return set()
    assigned: dict[str, ast.expr] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            assigned[statement.targets[0].id] = statement.value
    roots: list[str] = []
    for name in ("train_dataloader", "val_dataloader"):
        if name in assigned:
            roots += _data_roots(assigned[name])
    return {str(REPOSITORY / root) for root in roots}


def _data_roots(loader: ast.expr) -> list[str]:
    """The texts that are given as ``data_root`` within a dataloader's settings."""
    keywords = [node for node in ast.walk(loader) if isinstance(node, ast.keyword)]
    given = [keyword.value for keyword in keywords if keyword.arg == "data_root"]
    # A config may also say None.
    return [value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)]
