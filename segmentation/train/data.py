"""What a run is trained on: found in its config, pointed elsewhere, kept as ``data.json`` beside its checkpoints."""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmseg.registry import DATASETS

from segmentation.core.errors import PipelineError, reason_of
from segmentation.core.files import fingerprint, read_json, write_json
from segmentation.core.progress import Bar, progress
from segmentation.core.workspace import SPLITS, Workspace
from segmentation.imagery.planet.mosaics import LABEL_YEAR
from segmentation.train.checkpoints import Checkpoint

_LOG = logging.getLogger(__name__)

RECORD = "data.json"
_YEAR = re.compile(r"[12]\d{3}")
_READERS = 8


@dataclass(frozen=True)
class Pairs:
    """The chips of one dataset of a config, each with its mask.

    Attributes:
        data_root: the folder of the dataset, absolute; ``segmentation/YEAR/`` where step 1 has made it.
        chips: their images.
        masks: their label masks, in the same order.
    """

    data_root: Path
    chips: list[Path]
    masks: list[Path]

    @property
    def label_year(self) -> int | None:
        """The year of a dataset of step 1; None for any other."""
        return int(self.data_root.name) if _YEAR.fullmatch(self.data_root.name) else None


def leaf_datasets(node: object) -> Iterator[ConfigDict]:
    """The datasets of a dataloader that read files, however they are nested.

    Args:
        node: a dataset's config, or a list of them; ``ConcatDataset``, ``RepeatDataset`` and their like hold others
            in ``datasets`` or ``dataset``.
    """
    if isinstance(node, list | tuple):
        for item in node:
            yield from leaf_datasets(item)
    elif isinstance(node, dict):
        inner = [node[name] for name in ("datasets", "dataset") if isinstance(node.get(name), dict | list | tuple)]
        if inner:
            yield from leaf_datasets(inner)
        else:
            yield node


def config_roots(config: Config) -> list[str]:
    """The folders that a config's training and validation read, as they stand in it."""
    roots = []
    for part in ("train", "val"):
        loader = config.get(f"{part}_dataloader")
        leaves = leaf_datasets(loader.dataset) if loader else ()
        roots += [leaf.get("data_root") or "" for leaf in leaves]
    return roots


def choose_folder(config: Config, workspace: Workspace | None, label_year: int | None) -> Path:
    """The dataset of a workspace's year; what is not named is as in the config.

    Args:
        config: of the training.
        workspace: None for the one in which the config's own dataset lies, or the default one.
        label_year: None for the config's own, or the default one.
    """
    roots = config_roots(config)
    own = Path(roots[0]).absolute() if roots else Path()
    of_step_1 = own.parent.name == "segmentation" and _YEAR.fullmatch(own.name) is not None
    if label_year is None:
        label_year = int(own.name) if of_step_1 else LABEL_YEAR
    if workspace is None:
        workspace = Workspace(own.parent.parent) if of_step_1 else Workspace()
    return workspace.year(label_year).path


def point_to(config: Config, folder: Path) -> None:
    """Have training, validation and test read one folder, ``segmentation/YEAR/`` of a workspace."""
    for part in SPLITS:
        loader = config.get(f"{part}_dataloader")
        for leaf in leaf_datasets(loader.dataset) if loader else ():
            leaf["data_root"] = str(folder)


def find_pairs(config: Config, split: str) -> list[Pairs]:
    """The chips and masks that a split's datasets would read; empty for a config without this split.

    Args:
        config: with MMSegmentation's modules registered.
        split: train, val or test.

    Raises:
        PipelineError: a folder is not there, or the config's dataset cannot be made.
    """
    loader = config.get(f"{split}_dataloader")
    return [_pairs(leaf) for leaf in leaf_datasets(loader.dataset)] if loader else []


def _pairs(leaf: ConfigDict) -> Pairs:
    root = Path(leaf.get("data_root") or "").absolute()
    if not root.is_dir():
        raise PipelineError(f"no dataset at {root}: {_how_to_make(root)}")
    prefix = leaf.get("data_prefix") or {}
    if not (root / (prefix.get("img_path") or "")).is_dir():
        return Pairs(root, [], [])  # step 1 makes no folder for a split without chips
    try:
        listed = DATASETS.build({**leaf, "lazy_init": True}).load_data_list()
    except Exception as error:  # a config may name any dataset, which may fail in any way
        _LOG.info("where it happened", exc_info=True)
        raise PipelineError(f"cannot read the dataset in {root}: {reason_of(error)}") from None
    chips = [Path(sample["img_path"]) for sample in listed]
    masks = [Path(sample["seg_map_path"]) for sample in listed if sample.get("seg_map_path")]
    return Pairs(root, chips, masks)


def _how_to_make(root: Path) -> str:
    """The command of step 1 that makes a dataset."""
    if not _YEAR.fullmatch(root.name):
        return "run step 1 for the label year first, or name its workspace with --data-root"
    year, workspace = root.name, root.parent.parent
    where = f"-year={year} --label-year={year} --data-root {workspace}"
    return f"run segmentation_dataset_generation.py {where} first, or name another --data-root or --label-year"


def check_pairs(pairs: list[Pairs], split: str) -> None:
    """Make sure that there is something to learn from, or to validate on.

    Raises:
        PipelineError: there is no chip at all, or one has no mask.
    """
    if not any(one.chips for one in pairs):
        folders = ", ".join(str(one.data_root) for one in pairs)
        purpose = "learn from" if split == "train" else "validate on"
        raise PipelineError(
            f"nothing to {purpose}: the {split} split of {folders} has no chip; run step 1 with more polygons, "
            "or with another --seed"
        )
    for one in pairs:
        without = [mask for mask in one.masks if not mask.is_file()]
        missing = len(without) + len(one.chips) - len(one.masks)
        if missing:
            example = without[0] if without else one.chips[0]
            raise PipelineError(
                f"{missing} of {len(one.chips)} chips in {one.data_root} have no mask, for example {example}: "
                f"{_how_to_make(one.data_root)}"
            )


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
    found = {split: find_pairs(config, split) for split in ("train", "val")}
    for split, pairs in found.items():
        if pairs:
            check_pairs(pairs, split)
    number = sum(2 * len(one.chips) for pairs in found.values() for one in pairs)
    datasets = {}
    with progress(total=number, desc="fingerprint of the data", unit="file", quiet=quiet) as bar:
        for split, pairs in found.items():
            datasets[split] = [_account(one) | {"fingerprint": _fingerprint(one, bar)} for one in pairs]
    every = [[split, one["fingerprint"]] for split, accounts in datasets.items() for one in accounts]
    datasets["test"] = _test_account(config)
    return {"datasets": datasets, "fingerprint": hashlib.sha256(json.dumps(every).encode()).hexdigest()}


def _account(pairs: Pairs) -> dict:
    return {"data_root": str(pairs.data_root), "label_year": pairs.label_year, "chips": len(pairs.chips)}


def _test_account(config: Config) -> list[dict]:
    """The test split does not touch the weights: it may be anything, or not be there."""
    try:
        return [_account(one) for one in find_pairs(config, "test")]
    except PipelineError:
        return []


def _fingerprint(pairs: Pairs, bar: Bar) -> str:
    """SHA-256 over the names and contents of chips and masks, and over what step 1 says that they are made from."""

    def digest(path: Path) -> str:
        content = fingerprint(path)
        bar.update()
        return content

    files = sorted({*pairs.chips, *pairs.masks})
    with ThreadPoolExecutor(_READERS) as readers:
        contents = list(readers.map(digest, files))
    names = [os.path.relpath(path, pairs.data_root) for path in files]
    facts = [read_json(pairs.data_root / "settings.json"), list(zip(names, contents, strict=True))]
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
    now = {one["data_root"] for split in ("train", "val") for one in data["datasets"][split]}
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


def keep_record(work_dir: Path, data: dict) -> None:
    """Write ``data.json``."""
    write_json(work_dir / RECORD, data)


def _difference(before: dict, now: dict) -> str:
    """In what two records differ, in a few words."""
    words = []
    for split in ("train", "val"):
        was, new = (_in_words(record.get("datasets", {}).get(split, [])) for record in (before, now))
        words.append(f"{split}: {was}, now {new}" if was != new else f"{split}: {was}")
    if not any(", now " in word for word in words):
        return "; ".join(words) + ", of another content"
    return "; ".join(words)


def _in_words(accounts: list[dict]) -> str:
    return " and ".join(f"{one['chips']} chips of {one['data_root']}" for one in accounts) or "none"


def _roots_in(text: str) -> set[str]:
    """The data roots of training and validation in a config's text, absolute; it is parsed, not run."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError):
        return set()
    assigned = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            assigned[statement.targets[0].id] = statement.value
    roots = set()
    loaders = [assigned[name] for name in ("train_dataloader", "val_dataloader") if name in assigned]
    for loader in loaders:
        for node in ast.walk(loader):
            if isinstance(node, ast.keyword) and node.arg == "data_root" and isinstance(node.value, ast.Constant):
                roots.add(str(Path(node.value.value).absolute()))
    return roots
