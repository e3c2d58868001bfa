"""What the command lines share: their common options, logging, and errors as one line with an exit status."""

from __future__ import annotations

import argparse
import logging
import re
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from typing import Any, NoReturn

from tqdm.contrib.logging import logging_redirect_tqdm

from segmentation.core.arguments import Number, WholeNumber, Years, a_folder, a_path, shown
from segmentation.core.errors import PipelineError, full_disk
from segmentation.core.process.cores import usable_cores
from segmentation.core.process.environment import check_projections
from segmentation.core.process.signals import Terminated, sigterm_as_interrupt
from segmentation.core.process.streams import flush, output_is_gone, prepare_streams, say
from segmentation.core.workspace import DATA_ROOT, DEMO_ROOT, Workspace

DONE, INCOMPLETE, REFUSED = 0, 1, 2
# As shells report the end by SIGINT, SIGPIPE (nobody reads the output on) and SIGTERM.
INTERRUPTED, UNREAD, TERMINATED = 130, 141, 143

_KILLED = (
    "a worker process was killed, most likely because memory ran short: run the same command again with fewer "
    "processes (--workers, or taskset) or with more memory"
)
_NO_MEMORY = "memory ran short: run the same command again with fewer processes (--workers) or with more memory"


# Types of numbers; help and errors state their bounds.
year = WholeNumber(1900, 2100, "a year")
years = Years(year)
level = WholeNumber(11, 19, "a level")  # pixels of 78 m to 0.3 m
workers = WholeNumber(1, 1024)
positive = WholeNumber(1, 1_000_000)
iterations = WholeNumber(1, 1_000_000_000)
batches = WholeNumber(1, 65_536)
seed = WholeNumber(0, 2**32 - 1)
share = Number(0, 1, inside=True)
requests_a_second = Number(0.01, 1000)  # more is a typing error rather than a rate
megabits_a_second = Number(0.1, 100_000)
percentage = Number(0, 100, "a percentage")
square_metres = Number(0, 1e12)
_gpu = WholeNumber(0, 1023, "the number of a GPU")


class _Help(argparse.HelpFormatter):
    """States the bounds of every number, before its default."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        bounds = getattr(action.type, "bounds", None)
        if bounds is None:
            return text
        what, default, value = text.partition(" (default")
        return f"{what}, {bounds}{default}{value}"


class Parser(argparse.ArgumentParser):
    """A parser that answers a typing error with one line instead of the whole usage, and states bounds."""

    def __init__(self, *arguments: Any, **options: Any):
        options.setdefault("formatter_class", _Help)
        super().__init__(*arguments, **options)

    def exit(self, status: int = DONE, message: str | None = None) -> NoReturn:
        """Leave; a text for nobody, as of ``--help | head``, is no error."""
        if message:
            say(message.rstrip("\n"))
        leave(status)

    def error(self, message: str) -> NoReturn:
        """Leave with the status of a refused command."""
        if message.endswith("expected one argument"):
            message += "; a value that begins with - is written as OPTION=VALUE"
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
    parser.add_argument(
        "--workers",
        type=workers,
        default=usable_cores(),
        metavar="N",
        help="processes (default: %(default)s, the cores that may be used)",
    )
    return workspace_options(parser)


def workspace_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that name the workspace, and how much is said."""
    parser.add_argument(
        "--data-root",
        type=a_folder,
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
    iteration = parser.add_argument(
        "-iter",
        "--iter",
        type=iterations,
        required=True,
        metavar="N",
        help="training iterations of the checkpoint (required, unless --checkpoint FILE says it itself)",
    )
    parser.add_argument("--config", type=a_path, metavar="FILE", help="a config anywhere, instead of -model")
    parser.add_argument(
        "--checkpoint",
        action=_in_place_of(iteration),
        type=a_path,
        metavar="FILE",
        help="a checkpoint anywhere, which knows its config (default: work_dirs/<config name>/iter_<N>.pth)",
    )
    return parser


def _in_place_of(other: argparse.Action) -> type[argparse.Action]:
    """An argparse action that stores its value; where it is given, another argument is no longer required."""

    class InPlaceOf(argparse.Action):
        def __call__(self, _: object, namespace: argparse.Namespace, value: object, __: str | None = None) -> None:
            setattr(namespace, self.dest, value)
            other.required = False

    return InPlaceOf


def several(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """An argparse type: one or more of some words, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        unknown = [word for word in text.split(",") if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return tuple(dict.fromkeys(text.split(",")))

    return parse


def suffix(text: str) -> str:
    """An argparse type: an ending of a file's name, letters, digits and hyphens."""
    if not re.fullmatch(r"[A-Za-z0-9-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no suffix; letters, digits and hyphens make one")
    return text


def devices(text: str) -> tuple[str, ...]:
    """An argparse type: ``cpu``, ``cuda``, ``cuda:N`` or N, one or more separated by commas."""
    return tuple(_device(name) for name in text.split(","))


def _device(name: str) -> str:
    kind, colon, number = name.partition(":")
    if name in {"cpu", "cuda"}:
        return name
    if kind == "cuda" and colon:
        return f"cuda:{_gpu(number)}"
    if not name.isascii() or not name.isdecimal():
        raise argparse.ArgumentTypeError(f"{shown(name)} is no device; cpu, cuda or the number of a GPU are")
    return f"cuda:{_gpu(name)}"


def batch_size(text: str) -> int | None:
    """An argparse type: ``auto`` (None), or a whole number within ``batches``."""
    return None if text == "auto" else batches(text)


def workspace(options: argparse.Namespace) -> Workspace:
    """The workspace that the options name; the demo has its own, so that it never mixes with real data."""
    return Workspace(options.data_root or (DEMO_ROOT if options.demo else DATA_ROOT))


def run(main: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> NoReturn:
    """Run a command and leave with its exit status; an error meant for the user is one line on stderr.

    SIGTERM, as batch systems and service managers send it, ends a command as Ctrl-C does.
    """
    prepare_streams()
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("segmentation").setLevel(level)
    try:
        check_projections()
        with logging_redirect_tqdm(), sigterm_as_interrupt():
            status = main(options)
    except PipelineError as error:
        say(f"error: {error}")
        status = REFUSED
    except BrokenExecutor:
        say(f"error: {_KILLED}")
        status = REFUSED
    except MemoryError:
        say(f"error: {_NO_MEMORY}")
        status = REFUSED
    except OSError as error:  # a file that may not be read
        status = _after(error)
    except KeyboardInterrupt as interrupt:
        # Whoever does not want to wait for what still has to end presses Ctrl-C again.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        say("interrupted: run the same command again to go on")
        status = TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED
    leave(status)


def _after(error: OSError) -> int:
    """Say what the system refused, unless it is that nobody reads on; the exit status."""
    if isinstance(error, BrokenPipeError) and output_is_gone():
        return UNREAD
    logging.getLogger("segmentation").info("where it happened", exc_info=error)
    reason = full_disk(error) or f"{error} (--verbose shows where)"
    say(f"error: {reason}")
    return REFUSED


def leave(status: int) -> NoReturn:
    """Leave with an exit status, once all output is written; else with the status of that."""
    try:
        flush(sys.stdout)
    except BrokenPipeError:
        status = UNREAD
    except OSError as error:
        say(f"error: standard output cannot be written: {error.strerror}")
        status = REFUSED
    with suppress(OSError):
        flush(sys.stderr)
    sys.exit(status)
