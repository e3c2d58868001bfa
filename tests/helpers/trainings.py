"""A training as small as can be: a few chips, a SegFormer of four blocks, a few iterations."""

from pathlib import Path

import numpy as np
from helpers.models import DEMO, SMALL

from segmentation.chips.chip import write_chip
from segmentation.chips.mask import BACKGROUND, MINE, write_mask
from segmentation.geo.grid import CHIP_PX, Grid

# Of what the model sees: crops in training, small pictures of chips in validation.
SIDE_PX = 64


def write_dataset(root: Path, seed: int = 1, *, train: int = 4, val: int = 2, year: int = 2019) -> Path:
    """Chips and masks as step 1 leaves them in a workspace; returns the folder of the year."""
    rng = np.random.default_rng(seed)
    folder = root / "segmentation" / str(year)
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            write_pair(folder, split, f"{split}{number}", rng)
    return folder


def write_pair(folder: Path, split: str, name: str, rng: np.random.Generator) -> None:
    """One chip of a plain colour with brighter mines, and its mask."""
    mask = np.full((CHIP_PX, CHIP_PX), BACKGROUND, "uint8")
    mask[100:400:2, 200:450] = MINE
    colour = rng.integers(30, 100, (3, 1, 1))
    dn = np.where(mask == MINE, colour + 100, colour)
    transform = Grid(14).window_transform(0, 0)
    for kind in ("img_dir", "ann_dir"):
        (folder / kind / split).mkdir(parents=True, exist_ok=True)
    write_chip(folder / "img_dir" / split / f"{name}.tif", dn.astype("uint8"), transform, {})
    write_mask(folder / "ann_dir" / split / f"{name}.tif", mask, transform)


def write_config(path: Path, data_root: Path | str, iterations: int = 2, **changes: object) -> Path:
    """The demo's config on other data, for a few iterations; changed settings have ``__`` for dots."""
    changes = {
        **SMALL,
        "model__data_preprocessor__size": (SIDE_PX, SIDE_PX),
        "train_cfg__max_iters": iterations,
        "train_cfg__val_interval": iterations,
        "default_hooks__checkpoint__interval": iterations,
        "default_hooks__logger__interval": 1,
        "train_dataloader__batch_size": 2,
        **changes,
    }
    for part in ("train", "val"):
        changes.setdefault(f"{part}_dataloader__num_workers", 0)
        changes.setdefault(f"{part}_dataloader__persistent_workers", changes[f"{part}_dataloader__num_workers"] > 0)
        changes.setdefault(f"{part}_dataloader__dataset__data_root", str(data_root))
    from mmengine.config import Config

    config = Config.fromfile(DEMO)
    config.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    config.train_dataloader.dataset.pipeline[2].crop_size = (SIDE_PX, SIDE_PX)
    config.val_dataloader.dataset.pipeline[1].scale = (SIDE_PX, SIDE_PX)
    # MMEngine formats the whole config with every checkpoint: spare it what is not used.
    unused = ("train_pipeline", "test_pipeline", "test_dataloader", "test_cfg", "test_evaluator", "data_preprocessor")
    for name in unused:
        config.pop(name)
    # Not Config.dump, which takes its time to format.
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in config.to_dict().items()))
    return path
