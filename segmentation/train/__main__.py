"""Step 2 for those without an MMSegmentation checkout: ``python -m segmentation.train CONFIG``.

Runs the config through MMEngine's Runner, as MMSegmentation's own ``tools/train.py`` does. Ctrl-C and SIGTERM write a
checkpoint; the same command goes on from the newest one, on the same data.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from filelock import FileLock, Timeout

from segmentation.core import cli
from segmentation.core.arguments import a_folder, a_path
from segmentation.core.errors import PipelineError
from segmentation.core.process.cores import usable_cores
from segmentation.core.workspace import REPOSITORY

if TYPE_CHECKING:
    from mmengine.config import Config

    from segmentation.train.stopping import Stopped

WORK_DIRS = REPOSITORY / "work_dirs"
# A shell's exit status for a process that a signal has ended is this and the signal's number.
_OF_SIGNALS = 128


@dataclass(frozen=True)
class Start:
    """Where a training begins.

    Attributes:
        checkpoint: to go on from; None at the very beginning.
        finished: whether it is the last one.
    """

    checkpoint: Path | None
    finished: bool = False


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.Parser(prog="python -m segmentation.train", description=__doc__)
    parser.add_argument("config", type=a_path, help="an MMSegmentation config, such as those in configs/")
    parser.add_argument("--work-dir", type=a_folder, help="checkpoints and logs (default: work_dirs/<config name>)")
    parser.add_argument(
        "--restart",
        action="store_true",
        help="set aside what the work dir holds and begin anew (default: go on from the last checkpoint)",
    )
    data = parser.add_argument_group("data (default: what the config says)")
    data.add_argument("--data-root", type=a_folder, metavar="FOLDER", help="the workspace that step 1 has written")
    data.add_argument("--label-year", type=cli.year, metavar="YEAR", help="the year whose chips have masks")
    data.add_argument("--demo", action="store_true", help="the workspace of the built-in demo")
    parser.add_argument(
        "--amp", action="store_true", help="mixed precision, for GPUs and for CPUs that know bfloat16 (default: no)"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch"], default="none", help="pytorch under torchrun")
    parser.add_argument(
        "--cfg-options", nargs="+", metavar="KEY=VALUE", default=[], help="settings that replace the config's"
    )
    parser.add_argument("--verbose", action="store_true", help="show where an error has happened (default: no)")
    return parser


def arguments() -> argparse.Namespace:
    """What was typed."""
    return parser().parse_args()


def main(options: argparse.Namespace) -> int:
    """Train, from the last checkpoint where there is one."""
    config_path = options.config.resolve()
    work_dir = (options.work_dir or WORK_DIRS / config_path.stem).resolve()
    data_root = options.data_root.resolve() if options.data_root else None
    # Configs name the dataset relative to the repository.
    os.chdir(REPOSITORY)

    import torch

    from segmentation.train import settings
    from segmentation.train.amp import use_mixed_precision
    from segmentation.train.checkpoints import write_whole
    from segmentation.train.ranks import decide_once, join_ranks
    from segmentation.train.shared_memory import fit_workers

    # Torch knows of no limits that control groups set.
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    config = settings.read_config(config_path, options.cfg_options)
    settings.check_config(config, config_path)
    config.work_dir = str(work_dir)
    config.launcher = options.launcher
    _point_to_data(config, options, data_root)

    with ExitStack() as held:
        if _is_first():
            held.enter_context(_locked(work_dir))
        join_ranks(config)
        start = decide_once(lambda: _decide(config, work_dir, restart=options.restart))
        if start.finished:
            _say(f"trained already: {start.checkpoint} (--restart to begin anew)")
            return cli.DONE
        config.resume = start.checkpoint is not None
        if config.resume:
            _say(f"going on from {start.checkpoint}")
            config.load_from = str(start.checkpoint)
        fit_workers(config)
        write_whole(config)
        if options.amp:
            use_mixed_precision(config)
        return _train(config, work_dir)


def _point_to_data(config: Config, options: argparse.Namespace, data_root: Path | None) -> None:
    """Have the config read the year of a workspace, where the command line names either."""
    from segmentation.train.data import choose_folder, point_to

    named = data_root is not None or options.demo
    if named or options.label_year is not None:
        workspace = cli.workspace(argparse.Namespace(data_root=data_root, demo=options.demo)) if named else None
        point_to(config, choose_folder(config, workspace, options.label_year))


def _locked(work_dir: Path) -> FileLock:
    """Hold a run's folder for one training.

    Raises:
        PipelineError: another training works in it, or it cannot be written.
    """
    lock = FileLock(work_dir / ".lock")
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise PipelineError(
            f"another training works in {work_dir}; wait for it, stop it, or name another folder with --work-dir"
        ) from None
    except OSError as error:
        raise PipelineError(f"cannot write to {work_dir}: {error.strerror}; choose another --work-dir") from None
    return lock


def _decide(config: Config, work_dir: Path, *, restart: bool) -> Start:
    """Look at the data and at what the run's folder holds: where does training begin?

    Raises:
        PipelineError: the data are not complete, or others than those of the run that the folder holds.
    """
    from mmseg.utils import register_all_modules

    from segmentation.train import checkpoints, data

    register_all_modules()
    described = data.describe_data(config)
    checkpoints.remove_partial_files(work_dir)
    if restart:
        former = checkpoints.set_aside(work_dir)
        if former is not None:
            _say(f"set aside: {former.files} files of the former run, now in {former.folder}")
    good = checkpoints.good_checkpoints(work_dir)
    newest = next(good, None)
    if checkpoints.has_checkpoints(work_dir):
        data.refuse_other_data(work_dir, described, newest)
    data.keep_record(work_dir, described)
    last = config.train_cfg.get("max_iters", config.train_cfg.get("max_epochs"))
    if newest is not None and newest.step >= last:
        return Start(newest.path, finished=True)
    resumed = checkpoints.newest_resumable(newest, good)
    return Start(resumed.path if resumed else None)


def _train(config: Config, work_dir: Path) -> int:
    """Train until the end, or until a signal comes."""
    from mmengine.runner import Runner

    from segmentation.train.faults import explain
    from segmentation.train.stopping import StopHook, Stopped, StopSignals

    signals = StopSignals(say=_is_first())
    stop = StopHook(signals)
    try:
        runner = Runner.from_cfg(config)
        runner.register_hook(stop)
        try:
            runner.train()
        except RuntimeError as error:
            stop.leave_without_workers(runner, error)
            raise
    except Stopped as stopped:
        _say(_where_it_stopped(stopped), file=sys.stderr)
        return _OF_SIGNALS + stopped.number
    except PipelineError:
        raise
    except Exception as error:
        told = explain(error, began=stop.began)
        if told is None:
            raise
        logging.getLogger("segmentation").info("where it happened", exc_info=True)
        raise told from None
    finally:
        signals.release()
    _say(f"checkpoints in {work_dir}")
    if work_dir.parent != WORK_DIRS:
        _say(f"step 3 takes --checkpoint {work_dir}/iter_N.pth")
    return cli.DONE


def _where_it_stopped(stopped: Stopped) -> str:
    if stopped.checkpoint is None:
        return f"{stopped}: the same command goes on from the last whole epoch"
    return f"{stopped}: the same command goes on from {stopped.checkpoint}"


def _is_first() -> bool:
    """Whether this is the first of the processes that a launcher has started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _say(text: str, file: TextIO | None = None) -> None:
    """Print once, however many processes train."""
    if _is_first():
        print(text, file=file or sys.stdout, flush=True)


if __name__ == "__main__":
    choices = arguments()
    cli.run(main, choices)
