"""Step 2 for those without an MMSegmentation checkout: ``python -m segmentation.train CONFIG``.

Runs the config through MMEngine's Runner, as MMSegmentation's own ``tools/train.py`` does. Ctrl-C and SIGTERM write a
checkpoint; the same command goes on from the newest one, on the same data.
"""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

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
    import torch

    from segmentation.train.amp import use_mixed_precision
    from segmentation.train.checkpoints import write_whole
    from segmentation.train.ranks import decide_once, is_first, join_ranks, say
    from segmentation.train.shared_memory import fit_workers
    from segmentation.train.start import find_start

    # Torch knows of no limits that control groups set.
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    work_dir = _work_dir(options)
    config = _config(options, work_dir)

    with ExitStack() as held:
        if is_first():
            held.enter_context(_locked(work_dir))
        join_ranks(config)
        start = decide_once(lambda: find_start(config, work_dir, restart=options.restart))
        if start.finished:
            say(f"trained already: {start.checkpoint} (--restart to begin anew)")
            return cli.DONE
        config.resume = start.checkpoint is not None
        if config.resume:
            say(f"going on from {start.checkpoint}")
            config.load_from = str(start.checkpoint)
        fit_workers(config)
        write_whole(config)
        if options.amp:
            use_mixed_precision(config)
        return _train(config, work_dir)


def _work_dir(options: argparse.Namespace) -> Path:
    """Where the run's checkpoints and logs are."""
    return (options.work_dir or WORK_DIRS / options.config.resolve().stem).resolve()


def _config(options: argparse.Namespace, work_dir: Path) -> Config:
    """The config as it is to be trained, with what the command line changes; where it is started does not matter."""
    from segmentation.train.data import anchor_data_roots
    from segmentation.train.settings import anchor_weights, check_config, read_config

    path = options.config.resolve()
    config = read_config(path, options.cfg_options)
    check_config(config, path)
    anchor_data_roots(config)
    anchor_weights(config)
    config.work_dir = str(work_dir)
    config.launcher = options.launcher
    _point_to_data(config, options)
    return config


def _point_to_data(config: Config, options: argparse.Namespace) -> None:
    """Have the config read the year of a workspace, where the command line names either."""
    from segmentation.train.data import choose_folder, point_to

    workspace = None
    if options.demo or options.data_root is not None:
        data_root = options.data_root.resolve() if options.data_root else None
        workspace = cli.workspace(argparse.Namespace(data_root=data_root, demo=options.demo))
    if workspace is not None or options.label_year is not None:
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


def _train(config: Config, work_dir: Path) -> int:
    """Train until the end, or until a signal comes."""
    from mmengine.runner import Runner

    from segmentation.train.faults import explain
    from segmentation.train.ranks import is_first, say
    from segmentation.train.stopping import StopHook, Stopped, StopSignals

    signals = StopSignals(say=is_first())
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
        say(_where_it_stopped(stopped), file=sys.stderr)
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
    say(f"checkpoints in {work_dir}")
    if work_dir.parent != WORK_DIRS:
        say(f"step 3 takes --checkpoint {work_dir}/iter_N.pth")
    return cli.DONE


def _where_it_stopped(stopped: Stopped) -> str:
    if stopped.checkpoint is None:
        return f"{stopped}: the same command goes on from the last whole epoch"
    return f"{stopped}: the same command goes on from {stopped.checkpoint}"


if __name__ == "__main__":
    choices = arguments()
    cli.run(main, choices)
