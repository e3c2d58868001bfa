"""Inference: chips a second of the study's models, against MMSegmentation's own inference chip by chip.

Weights are random, as their values do not matter for speed; the last layer is shifted so that about as many pixels are
mines as in the demo. On a GPU the same in fp32 and bf16.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
from scipy import ndimage

from segmentation.chips.chip import write_chip
from segmentation.core import cli
from segmentation.core.files import write_json
from segmentation.core.process.cores import usable_cores
from segmentation.core.process.workers import Crew
from segmentation.core.workspace import Workspace
from segmentation.geo.grid import Grid
from segmentation.predict.devices import Inference
from segmentation.predict.outlines.pieces import Rule
from segmentation.predict.precision import BF16, FP32
from segmentation.predict.predictor import Predictor
from segmentation.predict.runs import CONFIGS, ModelRun
from segmentation.predict.year import outline_year, plan_year, predict_missing, write_predicted

YEAR = 2019
MINE_SHARE = 0.06
# Chips by device and model: enough for a steady pace, few enough for a coffee.
CHIPS = {("cpu", "b0"): 24, ("cpu", "b5"): 4, ("cuda", "b0"): 1024, ("cuda", "b5"): 512}
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


def rates(ways: Mapping[str, tuple[int, Callable[[], object]]], runs: int) -> dict[str, float]:
    """Chips a second of several ways, which take turns, so that a slow minute of the machine meets all: medians."""
    seconds = {name: [] for name in ways}
    warm_up = runs > 1  # as in timing.median_s, a single run goes without
    for turn in range(runs + warm_up):
        for name, (_, work) in ways.items():
            start = time.perf_counter()
            work()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: count / statistics.median(seconds[name]) for name, (count, _) in ways.items()}


def plain(run: ModelRun, chips: list[Path], device: str) -> Callable[[], np.ndarray]:
    """MMSegmentation's own way, which gives probabilities (n, 512, 512)."""
    from mmseg.apis import inference_model, init_model

    with contextlib.redirect_stdout(io.StringIO()):
        model = init_model(str(run.config), str(run.checkpoint), device=device)

    def all_chips() -> np.ndarray:
        logits = (inference_model(model, str(chip)).seg_logits.data for chip in chips)
        return np.stack([one.softmax(0)[1].cpu().numpy() for one in logits])

    return all_chips


def model_alone(predictor: Predictor, chips: list[Path], batch: int) -> Callable[[], object]:
    """The model by itself, on a batch that is in memory already, as often as the chips fill it."""
    from mmengine.dataset import pseudo_collate

    segmentor = predictor.segmentor
    data = pseudo_collate([segmentor.pipeline({"img_path": str(chip)}) for chip in chips[:batch]])
    times = max(1, len(chips) // batch)
    return lambda: [segmentor.probability(data["inputs"], data["data_samples"]).cpu() for _ in range(times)]


def measure(name: str, device: str, folder: Path, options: argparse.Namespace) -> None:
    count, few = options.chips or CHIPS[device, name], options.one_by_one or ONE_BY_ONE[device, name]
    workspace = Workspace(folder / name)
    windows = write_chips(workspace, count)
    year = workspace.year(YEAR)
    chips = [year.chip("test", chip) for chip in windows["id"]]
    run = untrained(name, folder, chips)
    batch = 64 if device == "cuda" else 1
    one_by_one = plain(run, chips[:few], device)
    predictors = {precision: Predictor(run, device, precision) for precision in options.precisions}
    ways = {"plain": (few, one_by_one)}
    for precision, predictor in predictors.items():
        ways |= {
            f"ours {precision}": (count, lambda ours=predictor: list(ours.predict(chips, batch, usable_cores()))),
            f"alone {precision}": (count, model_alone(predictor, chips, batch)),
        }
    pace, expected = rates(ways, options.runs), one_by_one()
    print(f"| {name.upper()} | one by one, fp32 | {pace['plain']:.2f} | | | | |", flush=True)
    for precision, predictor in predictors.items():
        found = np.stack([levels for _, levels in predictor.predict(chips[:few], batch)])
        agree = ((found >= 125) == (np.rint(250 * expected) >= 125)).mean()
        # Loading the model and starting processes count: a year pays for them once.
        start = time.perf_counter()
        how = Inference((device,), batch, precision, workers=usable_cores())
        plan = plan_year(windows, year, run, how, restart=True, quiet=True)
        predicted = predict_missing(plan)
        with Crew(how.workers) as crew:
            outline_year(plan, write_predicted(plan, predicted, crew), Rule(), crew, quiet=True)
        through = count / (time.perf_counter() - start)
        ours = pace[f"ours {precision}"]
        print(
            f"| {name.upper()} | ours, {precision} | {ours:.2f} | {ours / pace['plain']:.1f} | "
            f"{pace[f'alone {precision}']:.2f} | {through:.2f} | {agree:.4%} |",
            flush=True,
        )


def arguments_of() -> argparse.ArgumentParser:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["b0", "b5"], help="default: b0 b5")
    parser.add_argument("--chips", type=cli.positive, help="default: by device and model")
    parser.add_argument(
        "--one-by-one", type=cli.positive, help="chips for MMSegmentation's own way (default: likewise)"
    )
    parser.add_argument("--precisions", nargs="+", default=[FP32, BF16], help="default: fp32 bf16")
    parser.add_argument(
        "--runs", type=cli.positive, default=3, help="runs that a median is taken of (default: %(default)s)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    options = arguments_of().parse_args(arguments)
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    print(f"{card}, {usable_cores()} cores, torch {torch.__version__}, median of {options.runs}\n")
    print("| model | way | chips a second | to one by one | model alone | chip to outlines | masks agree |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            measure(name, device, Path(folder), options)


if __name__ == "__main__":
    main()
