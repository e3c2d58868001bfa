"""Inference: chips a second of the study's models, against MMSegmentation's own inference chip by chip.

Weights are random, as their values do not matter for speed; the last layer is shifted so that about as many pixels are
mines as in the demo. On a GPU the same in fp32 and bf16. ``python -m benchmarks.inference [b0] [b5]``
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
from scipy import ndimage

from segmentation.chips import write_chip
from segmentation.devices import Inference
from segmentation.grid import Grid
from segmentation.model import CONFIGS, ModelRun
from segmentation.prediction import predict_year
from segmentation.predictor import BF16, FP32, Predictor
from segmentation.vectorize import Rule
from segmentation.workspace import Workspace, write_json

RUNS = 3
YEAR = 2019
MINE_SHARE = 0.06
# Chips by device and model: enough for a steady pace, few enough for a coffee.
CHIPS = {("cpu", "b0"): 16, ("cpu", "b5"): 4, ("cuda", "b0"): 1024, ("cuda", "b5"): 512}
ONE_BY_ONE = {("cpu", "b0"): 4, ("cpu", "b5"): 2, ("cuda", "b0"): 64, ("cuda", "b5"): 64}


def write_chips(workspace: Workspace, count: int) -> gpd.GeoDataFrame:
    """A year of smooth pictures, side by side, with what step 3 needs to know of them."""
    rng, folder = np.random.default_rng(1), workspace.year(YEAR)
    write_json(folder.settings, {})
    table = {"id": [f"{n:05d}" for n in range(count)], "split": "test", "status": "written"}
    frame = gpd.GeoDataFrame(table | {"col": 4_000_000 + 600 * np.arange(count), "row": 4_000_000, "side_px": 512})
    for name, col in zip(frame["id"], frame["col"], strict=True):
        smooth = ndimage.gaussian_filter(rng.standard_normal((4, 512, 512)), (0, 6, 6))
        dn = np.clip(60 + 400 * smooth, 1, 255).astype("uint8")
        write_chip(folder.chip("test", name), dn, Grid().window_transform(int(col), 4_000_000), {})
    return frame


def untrained(name: str, folder: Path, chips: list[Path]) -> ModelRun:
    """A config of the study without its ImageNet weights, and a checkpoint."""
    import torch
    from mmengine.config import Config
    from mmseg.apis import inference_model, init_model

    config = Config.fromfile(next(CONFIGS.glob(f"segformer_mit-{name}_*.py")))
    config.model.backbone.init_cfg = None
    config.dump(folder / f"{name}.py")
    torch.manual_seed(0)
    model = init_model(config, device="cpu").eval()
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.08)
    logits = inference_model(model, str(chips[0])).seg_logits.data
    sureness = logits[1] - logits[0]
    with torch.no_grad():
        model.decode_head.conv_seg.bias[1] -= float(sureness.quantile(1 - MINE_SHARE))
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / f"{name}.pth")
    return ModelRun(folder / f"{name}.py", folder / f"{name}.pth", 1)


def rate(count: int, work: Callable[[], object], runs: int = RUNS) -> float:
    """Chips a second: the median of some runs."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds)


def plain(run: ModelRun, chips: list[Path], device: str) -> tuple[float, np.ndarray]:
    """MMSegmentation's own way: chips a second, and probabilities (n, 512, 512)."""
    from mmseg.apis import inference_model, init_model

    with contextlib.redirect_stdout(io.StringIO()):
        model = init_model(str(run.config), str(run.checkpoint), device=device)
    inference_model(model, str(chips[0]))

    def all_chips() -> list:
        return [inference_model(model, str(chip)).seg_logits.data.softmax(0)[1].cpu().numpy() for chip in chips]

    return rate(len(chips), all_chips), np.stack(all_chips())


def model_alone(predictor: Predictor, chips: list[Path], batch: int) -> float:
    """Chips a second of the model by itself, on a batch that is in memory already."""
    from mmengine.dataset import pseudo_collate

    data = pseudo_collate([predictor._pipeline({"img_path": str(chip)}) for chip in chips[:batch]])
    predictor.probability(data["inputs"], data["data_samples"]).cpu()
    times = max(1, len(chips) // batch)
    return rate(
        batch * times, lambda: [predictor.probability(data["inputs"], data["data_samples"]).cpu() for _ in range(times)]
    )


def measure(name: str, device: str, folder: Path) -> None:
    count, few = CHIPS[device, name], ONE_BY_ONE[device, name]
    workspace = Workspace(folder / name)
    windows = write_chips(workspace, count)
    year = workspace.year(YEAR)
    chips = [year.chip("test", chip) for chip in windows["id"]]
    run = untrained(name, folder, chips)
    slow, expected = plain(run, chips[:few], device)
    print(f"| {name.upper()} | one by one, fp32 | {slow:.2f} | | | | |", flush=True)
    batch = 64 if device == "cuda" else 4
    for precision in (FP32, BF16):
        predictor = Predictor(run, device, precision)
        found = np.stack([levels for _, levels in predictor.predict(chips[:few], batch)])
        agree = ((found >= 125) == (np.rint(250 * expected) >= 125)).mean()
        alone = model_alone(predictor, chips, batch)
        ours = rate(count, lambda predictor=predictor: list(predictor.predict(chips, batch, os.cpu_count())))

        def whole(precision: str = precision) -> None:
            for path in (year.path / "probabilities").rglob("*.tif"):
                path.unlink()
            how = Inference((device,), batch, precision, workers=os.cpu_count())
            predict_year(windows, year, run, how, Rule(), quiet=True)

        # Loading the model and starting processes count: a year pays for them once.
        through = rate(count, whole, runs=1)
        print(
            f"| {name.upper()} | ours, {precision} | {ours:.2f} | {ours / slow:.1f} | {alone:.2f} | {through:.2f} | "
            f"{agree:.4%} |",
            flush=True,
        )


def main() -> None:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    print(f"{card}, {os.cpu_count()} cores, torch {torch.__version__}, median of {RUNS}\n")
    print("| model | way | chips a second | to one by one | model alone | chip to outlines | masks agree |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or ("b0", "b5"):
            measure(name, device, Path(folder))


if __name__ == "__main__":
    main()
