"""The configs: plain MMSegmentation, and good for a training step on chips as step 1 writes them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from segmentation.chips.chip import write_chip
from segmentation.chips.mask import BACKGROUND, IGNORE, MINE, write_mask
from segmentation.geo.grid import Grid
from segmentation.predict.predictor import Predictor
from segmentation.predict.probability import CERTAIN
from segmentation.predict.runs import CONFIGS, ModelRun, find_run
from segmentation.train.amp import CpuAmpOptimWrapper, use_mixed_precision

SCRATCH = CONFIGS / "segformer_scratch_mining-512x512.py"


@pytest.fixture
def dataset(tmp_path, rng):
    """Two chips a split: noise, brighter where a mine is, and a corner without data."""
    for split in ("train", "val"):
        for name in ("1", "2"):
            mask = np.full((512, 512), BACKGROUND, "uint8")
            mask[100:300, 150:400] = MINE
            mask[:60, :60] = IGNORE
            dn = rng.integers(30, 60, (3, 512, 512)) + 40 * (mask == MINE)
            transform = Grid(14).window_transform(0, 0)
            folders = [tmp_path / kind / split for kind in ("img_dir", "ann_dir")]
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            write_chip(folders[0] / f"{name}.tif", np.where(mask == IGNORE, 0, dn).astype("uint8"), transform, {})
            write_mask(folders[1] / f"{name}.tif", mask, transform)
    return tmp_path


def settings(config: Path, dataset: Path, work_dir: Path, iterations: int) -> Config:
    """A config for a few steps, as a user would shorten it."""
    config = Config.fromfile(config)
    for part in ("train", "val"):
        config[f"{part}_dataloader"].update(num_workers=0, persistent_workers=False)
        config[f"{part}_dataloader"].dataset.data_root = str(dataset)
    config.train_dataloader.batch_size = 2
    # A quarter of the pixels takes a quarter of the time.
    [crop] = [step for step in config.train_dataloader.dataset.pipeline if step.type == "RandomCrop"]
    crop.crop_size = config.model.data_preprocessor.size = (256, 256)
    config.train_cfg.update(max_iters=iterations, val_interval=iterations)
    config.default_hooks.checkpoint.interval = iterations
    config.work_dir = str(work_dir)
    return config


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("segformer_*.py")), ids=lambda path: path.stem)
def test_every_segformer_builds_with_two_classes_and_nothing_of_ours(path):
    assert "segmentation." not in path.read_text().replace("segmentation.train", "")
    config = Config.fromfile(path)
    assert not config.get("custom_imports")
    register_all_modules()
    model = MODELS.build(config.model)
    assert model.decode_head.num_classes == 2
    assert find_run(path.stem, 1, checkpoint=path).config == path


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "mixed precision"])
def test_the_recipe_from_scratch_trains_validates_and_predicts(dataset, tmp_path, mixed):
    config = settings(SCRATCH, dataset, tmp_path / "work_dir", iterations=2)
    if mixed:
        use_mixed_precision(config)
    runner = Runner.from_cfg(config)
    runner.train()
    assert isinstance(runner.optim_wrapper, CpuAmpOptimWrapper) == (mixed and not torch.cuda.is_available())
    assert {parameter.dtype for parameter in runner.model.parameters()} == {torch.float32}
    trained = ModelRun(SCRATCH, tmp_path / "work_dir" / "iter_2.pth", 2)
    chips = sorted((dataset / "img_dir" / "val").glob("*.tif"))
    predicted = dict(Predictor(trained, "cpu").predict(chips, batch_size=2, workers=0))
    assert sorted(predicted) == [0, 1]
    assert all(p.shape == (512, 512) and 0 <= p.min() < p.max() <= CERTAIN for p in predicted.values())


def test_mask2former_is_configured_for_our_chips_and_says_what_it_needs():
    config = Config.fromfile(CONFIGS / "mask2former_swin-l_8xb2-160k_mining-512x512.py")
    assert config.model.decode_head.num_classes == len(config.model.decode_head.loss_cls.class_weight) - 1 == 2
    assert config.model.backbone.embed_dims == 192
    for part in ("train", "val", "test"):
        dataset = config[f"{part}_dataloader"].dataset
        assert (dataset.type, dataset.img_suffix) == ("BaseSegDataset", ".tif")
        assert dataset.data_prefix.img_path == f"img_dir/{part}"
    config.model.backbone.init_cfg = None
    register_all_modules()
    try:
        import mmdet  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(ImportError, match="install onedl-mmdetection"):
            MODELS.build(config.model)
