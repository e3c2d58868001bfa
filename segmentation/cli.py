"""What the command lines share: their common options, logging, and errors as one line with an exit status."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import NoReturn

from tqdm.contrib.logging import logging_redirect_tqdm

from segmentation.environment import check_projections
from segmentation.errors import PipelineError
from segmentation.workspace import DATA_ROOT, DEMO_ROOT, Workspace

DONE, INCOMPLETE, REFUSED, INTERRUPTED = 0, 1, 2, 130


class Parser(argparse.ArgumentParser):
    """A parser that answers a typing error with one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Leave with the status of a refused command."""
        self.exit(REFUSED, f"error: {message} (--help lists what there is)\n")


def common_options(
    parser: argparse.ArgumentParser, year_type: Callable[[str], int | list[int]] | None = None
) -> argparse.ArgumentParser:
    """Add the options that every step of a year has: the year, the workspace, processes, how much is said.

    Args:
        parser: to add them to.
        year_type: an argparse type instead of ``year``.
    """
    parser.add_argument(
        "-year",
        "--year",
        "-y",
        type=year_type or year,
        required=True,
        metavar="YEAR",
        help="the year (Planet shows 2016 to 2024)",
    )
    parser.add_argument("--workers", type=positive, default=os.cpu_count(), help="processes (default: %(default)s)")
    return workspace_options(parser)


def workspace_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that name the workspace, and how much is said."""
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="FOLDER",
        help="the data workspace (default: segmentation/data in the repository, with --demo segmentation/data/demo)",
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="use the built-in synthetic landscape: no key, no network, its own workspace",
    )
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("--verbose", action="store_true", help="say more, such as retries (default: no)")
    loudness.add_argument("--quiet", action="store_true", help="no progress bars, warnings alone (default: no)")
    return parser


def model_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that name a trained model."""
    parser.add_argument(
        "-model", "--model", metavar="NAME", help="a config in configs/, by its name or a part that fits one alone"
    )
    parser.add_argument(
        "-iter", "--iter", type=positive, required=True, metavar="N", help="training iterations of the checkpoint"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="a config anywhere, instead of -model")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="a checkpoint anywhere (default: work_dirs/<config name>/iter_<N>.pth)",
    )
    return parser


def year(text: str) -> int:
    """An argparse type: a calendar year."""
    if not re.fullmatch(r"[12]\d{3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no year")
    return int(text)


def years(text: str) -> list[int]:
    """An argparse type: one year or several, such as ``2016``, ``2016-2024`` or ``2016,2018-2020``."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin, end = year(first), year(last if dash else first)
        if end < begin:
            raise argparse.ArgumentTypeError(f"{part!r} ends before it begins")
        found += range(begin, end + 1)
    return found


def level(text: str) -> int:
    """An argparse type: a level of the pixel grid, from 78 m to 0.3 m."""
    value = int(text)
    if not 11 <= value <= 19:
        raise argparse.ArgumentTypeError(f"{text} is not between 11 and 19")
    return value


def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def share(text: str) -> float:
    """An argparse type: a number strictly between 0 and 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def measure(text: str) -> float:
    """An argparse type: a number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not at least 0")
    return value


def requests_a_second(text: str) -> float:
    """An argparse type: a rate of requests, from 0.01 to 1000; anything above is a typing error rather than a rate."""
    return _rate(text, 0.01, 1000)


def megabits_a_second(text: str) -> float:
    """An argparse type: a bandwidth, from 0.1 to 100,000 (100 Gbit a second)."""
    return _rate(text, 0.1, 100_000)


def _rate(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
    return value


def several(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """An argparse type: one or more of some words, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        unknown = [word for word in text.split(",") if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return tuple(dict.fromkeys(text.split(",")))

    return parse


def devices(text: str) -> tuple[str, ...]:
    """An argparse type: ``cpu``, ``cuda``, ``cuda:N`` or N, one or more separated by commas."""
    names = tuple(f"cuda:{name}" if name.isdigit() else name for name in text.split(","))
    wrong = [name for name in names if not re.fullmatch(r"cpu|cuda(:\d+)?", name)]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is no device; cpu, cuda or the number of a GPU are")
    return names


def batch_size(text: str) -> int | None:
    """An argparse type: a whole number of at least 1, or ``auto`` (None)."""
    return None if text == "auto" else positive(text)


def percentage(text: str) -> float:
    """An argparse type: a number from 0 to 100."""
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is no percentage")
    return value


def workspace(options: argparse.Namespace) -> Workspace:
    """The workspace that the options name; the demo has its own, so that it never mixes with real data."""
    return Workspace(options.data_root or (DEMO_ROOT if options.demo else DATA_ROOT))


def run(main: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> None:
    """Run a command and leave with its exit status; an error meant for the user is one line on stderr."""
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("segmentation").setLevel(level)
    try:
        check_projections()
        with logging_redirect_tqdm():
            status = main(options)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        status = REFUSED
    except OSError as error:  # a full disk, a file that may not be read
        logging.getLogger("segmentation").info("where it happened", exc_info=True)
        print(f"error: {error} (--verbose shows where)", file=sys.stderr)
        status = REFUSED
    except BrokenExecutor:
        print(
            "error: a worker process was killed, most likely because memory ran short: run the same command again "
            "with fewer processes (--workers) or with more memory",
            file=sys.stderr,
        )
        status = REFUSED
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)
