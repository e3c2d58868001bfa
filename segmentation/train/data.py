"""The datasets of a training: found in its config, pointed to another workspace, looked through for gaps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmseg.registry import DATASETS

from segmentation.core.errors import PipelineError, in_one_line
from segmentation.core.workspace import REPOSITORY, SPLITS, Workspace
from segmentation.polygons.literature import LABEL_YEAR

_YEAR = re.compile(r"[12]\d{3}")


@dataclass(frozen=True)
class LabelledChips:
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


def datasets_of(config: Config, split: str) -> list[ConfigDict]:
    """The datasets that read a split's files, as they stand in a config; none for a config without this split.

    Args:
        config: of a training.
        split: train, val or test.
    """
    loader = config.get(f"{split}_dataloader")
    return list(leaf_datasets(loader.dataset)) if loader else []


def config_roots(config: Config) -> list[str]:
    """The folders that a config's training and validation read, as they stand in it."""
    datasets = datasets_of(config, "train") + datasets_of(config, "val")
    return [dataset.get("data_root") or "" for dataset in datasets]


def anchor_data_roots(config: Config, root: Path = REPOSITORY) -> None:
    """Make the folders absolute that a config's datasets read, so that it does not matter where training is started.

    Args:
        config: of a training; changed in place.
        root: the folder that relative ones start from. In the configs here it is the repository, where MMSegmentation's
            own script is started.
    """
    for split in SPLITS:
        for dataset in datasets_of(config, split):
            # A dataset of another kind may know neither.
            if "data_root" in dataset or "data_prefix" in dataset:
                dataset["data_root"] = str(root / (dataset.get("data_root") or ""))


def choose_folder(config: Config, workspace: Workspace | None, label_year: int | None) -> Path:
    """The dataset of a workspace's year; what is not named is as in the config.

    Args:
        config: of the training.
        workspace: None for the one in which the config's own dataset lies, or the default one.
        label_year: None for the config's own, or the default one.
    """
    roots = config_roots(config)
    own = REPOSITORY / roots[0] if roots else Path()
    of_step_1 = own.parent.name == "segmentation" and _YEAR.fullmatch(own.name) is not None
    if label_year is None:
        label_year = int(own.name) if of_step_1 else LABEL_YEAR
    if workspace is None:
        workspace = Workspace(own.parent.parent) if of_step_1 else Workspace()
    return workspace.year(label_year).path


def point_to(config: Config, folder: Path) -> None:
    """Have training, validation and test read one folder, ``segmentation/YEAR/`` of a workspace."""
    for split in SPLITS:
        for dataset in datasets_of(config, split):
            dataset["data_root"] = str(folder)


def find_labelled_chips(config: Config, split: str) -> list[LabelledChips]:
    """The chips and masks that a split's datasets would read; empty for a config without this split.

    Args:
        config: with MMSegmentation's modules registered.
        split: train, val or test.

    Raises:
        PipelineError: a folder is not there, or the config's dataset cannot be made.
    """
    return [_labelled_chips(dataset) for dataset in datasets_of(config, split)]


def _labelled_chips(dataset: ConfigDict) -> LabelledChips:
    root = REPOSITORY / (dataset.get("data_root") or "")
    if not root.is_dir():
        raise PipelineError(f"no dataset at {root}: {_how_to_make(root)}")
    prefix = dataset.get("data_prefix") or {}
    if not (root / (prefix.get("img_path") or "")).is_dir():
        return LabelledChips(root, [], [])  # step 1 makes no folder for a split without chips
    # A config may name any dataset, which may fail in any way.
    with in_one_line(f"cannot read the dataset in {root}"):
        listed = DATASETS.build({**dataset, "lazy_init": True}).load_data_list()
    chips = [Path(sample["img_path"]) for sample in listed]
    masks = [Path(sample["seg_map_path"]) for sample in listed if sample.get("seg_map_path")]
    return LabelledChips(root, chips, masks)


def _how_to_make(root: Path) -> str:
    """The command of step 1 that makes a dataset."""
    if not _YEAR.fullmatch(root.name):
        return "run step 1 for the label year first, or name its workspace with --data-root"
    year, workspace = root.name, root.parent.parent
    where = f"-year={year} --label-year={year} --data-root {workspace}"
    return f"run segmentation_dataset_generation.py {where} first, or name another --data-root or --label-year"


def check_labelled_chips(datasets: list[LabelledChips], split: str) -> None:
    """Make sure that there is something to learn from, or to validate on.

    Args:
        datasets: of the split, at least one.
        split: train or val.

    Raises:
        PipelineError: there is no chip at all, or one has no mask.
    """
    if not any(dataset.chips for dataset in datasets):
        folders = ", ".join(str(dataset.data_root) for dataset in datasets)
        purpose = "learn from" if split == "train" else "validate on"
        raise PipelineError(
            f"nothing to {purpose}: the {split} split of {folders} has no chip; run step 1 with more polygons, "
            "or with another --seed"
        )
    for dataset in datasets:
        without = [mask for mask in dataset.masks if not mask.is_file()]
        missing = len(without) + len(dataset.chips) - len(dataset.masks)
        if missing:
            example = without[0] if without else dataset.chips[0]
            raise PipelineError(
                f"{missing} of {len(dataset.chips)} chips in {dataset.data_root} have no mask, for example {example}: "
                f"{_how_to_make(dataset.data_root)}"
            )
