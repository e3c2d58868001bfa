"""Step 2 for those without an MMSegmentation checkout: ``python -m segmentation.train CONFIG``.

Runs the config through MMEngine's Runner, as MMSegmentation's own ``tools/train.py`` does, and goes on where an
interrupted training stopped.
"""

from __future__ import annotations

import argparse
import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

from segmentation import cli
from segmentation.cores import usable_cores
from segmentation.errors import PipelineError
from segmentation.typed import a_folder, a_path
from segmentation.workspace import REPOSITORY

if TYPE_CHECKING:
    from mmengine.config import Config


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(prog="python -m segmentation.train", description=__doc__)
    parser.add_argument("config", type=a_path, help="an MMSegmentation config, such as those in configs/")
    parser.add_argument("--work-dir", type=a_folder, help="checkpoints and logs (default: work_dirs/<config name>)")
    parser.add_argument("--restart", action="store_true", help="begin anew (default: go on from the last checkpoint)")
    parser.add_argument(
        "--amp", action="store_true", help="mixed precision, for GPUs and for CPUs that know bfloat16 (default: no)"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch"], default="none", help="pytorch under torchrun")
    parser.add_argument(
        "--cfg-options", nargs="+", metavar="KEY=VALUE", default=[], help="settings that replace the config's"
    )
    parser.set_defaults(verbose=False)
    return parser.parse_args()


def main(options: argparse.Namespace) -> int:
    """Train, from the last checkpoint where there is one."""
    if not options.config.is_file():
        raise PipelineError(f"no config at {options.config}")
    config_path = options.config.resolve()
    work_dir = (options.work_dir or REPOSITORY / "work_dirs" / config_path.stem).resolve()
    # Configs name the dataset relative to the repository.
    os.chdir(REPOSITORY)

    import torch
    from mmengine.config import Config
    from mmengine.runner import Runner

    from segmentation.precision import use_mixed_precision

    # Torch knows of no limits that control groups set.
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    config = Config.fromfile(config_path)
    config.merge_from_dict(dict(_setting(text) for text in options.cfg_options))
    config.work_dir = str(work_dir)
    config.launcher = options.launcher
    _need_chips(config)
    last = config.train_cfg.get("max_iters")
    finished = work_dir / f"iter_{last}.pth"
    if finished.exists() and not options.restart:
        print(f"trained already: {finished} (--restart to begin anew)")
        return cli.DONE
    config.resume = not options.restart
    if options.amp:
        use_mixed_precision(config)
    try:
        Runner.from_cfg(config).train()
    except URLError as error:
        raise PipelineError(
            f"cannot fetch the pretrained weights ({error.reason}): fetch them elsewhere and name the file with "
            "--cfg-options model.backbone.init_cfg.checkpoint=FILE"
        ) from None
    print(f"checkpoints in {work_dir}")
    return cli.DONE


def _setting(text: str) -> tuple[str, object]:
    """One KEY=VALUE; the value as Python writes it, else as text."""
    key, separator, value = text.partition("=")
    if not separator:
        raise PipelineError(f"--cfg-options takes KEY=VALUE, not {text!r}")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _need_chips(config: Config) -> None:
    """Make sure that there is something to train and to validate on."""
    for part in ("train", "val"):
        dataset = config[f"{part}_dataloader"].dataset
        for prefix in dataset.data_prefix.values():
            folder = Path(dataset.data_root) / prefix
            if not any(folder.glob(f"*{dataset.img_suffix}")):
                raise PipelineError(f"nothing to train on in {folder}: run step 1 for the label year first")


if __name__ == "__main__":
    choices = arguments()
    cli.run(main, choices)
