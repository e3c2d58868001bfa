"""The imagery that a user names with ``--imagery``, each source with the options that are its own."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from segmentation.core import cli
from segmentation.core.workspace import Workspace
from segmentation.imagery.files import options as files
from segmentation.imagery.planet import options as planet
from segmentation.imagery.sentinel2 import options as sentinel2
from segmentation.imagery.source import ImagerySource
from segmentation.imagery.stac import options as stac
from segmentation.imagery.stac.options import STAC

PLANET, SENTINEL2, FILES = "planet", "sentinel2", "files"
SOURCES = {PLANET: planet.OFFERED, SENTINEL2: sentinel2.OFFERED, FILES: files.OFFERED, STAC: stac.OFFERED}

# Options for the user's own files that a STAC collection understands, too.
_ALSO_FOR_STAC = {"bands", "reflectance_scale"}


def add_options(parser: argparse.ArgumentParser) -> dict[str, list[argparse.Action]]:
    """Add ``--imagery``, what all sources understand, and each one's own options; the latter by source."""
    parser.add_argument(
        "--imagery",
        nargs="+",
        default=[PLANET],
        metavar="SOURCE",
        help=f"where the imagery comes from: {PLANET}, {SENTINEL2}, {STAC}:URL#COLLECTION, or rasters of your own, "
        f"files and folders (default: {PLANET})",
    )
    parser.add_argument(
        "--level",
        type=cli.level,
        metavar="Z",
        help="level of the pixel grid, 256 * 2^Z pixels around the world (default: 15 for Planet, 4.78 m; "
        "14 for Sentinel-2, 9.55 m; else the one nearest to the finest file's pixels)",
    )
    parser.add_argument(
        "--max-rps",
        type=cli.requests_a_second,
        default=5.0,
        metavar="N",
        help="requests a second at most (default: %(default)s)",
    )
    parser.add_argument(
        "--tries", type=cli.positive, default=8, metavar="N", help="tries of a failing request (default: %(default)s)"
    )
    offered = {}
    for kind, source in SOURCES.items():
        offered[kind] = source.add_options(parser.add_argument_group(source.title))
    offered[STAC] += [action for action in offered[FILES] if action.dest in _ALSO_FOR_STAC]
    return offered


def check_options(
    parser: argparse.ArgumentParser, options: argparse.Namespace, offered: dict[str, list[argparse.Action]]
) -> None:
    """Refuse the options of another source than the one that is named: they would do nothing."""
    kind = kind_of(options.imagery)
    if options.demo and kind != PLANET:
        parser.error("--demo brings its own imagery: leave out --imagery")
    for other, actions in offered.items():
        for action in actions:
            if action not in offered[kind] and getattr(options, action.dest) != action.default:
                parser.error(f"{action.option_strings[0]} is for --imagery {other}, not for {kind}")


def kind_of(imagery: list[str]) -> str:
    """The source that ``--imagery`` names: a key of ``SOURCES``."""
    if any(name.startswith(f"{STAC}:") for name in imagery):
        return STAC
    # Files and folders are named by their paths, one of which may be "files" or "stac".
    named_alone = len(imagery) == 1 and imagery[0] in {PLANET, SENTINEL2}
    return imagery[0] if named_alone else FILES


@contextmanager
def open_imagery(options: argparse.Namespace, workspace: Workspace) -> Iterator[ImagerySource]:
    """The imagery that the command line names, while the block lasts."""
    with ExitStack() as stack:
        yield SOURCES[kind_of(options.imagery)].make(options, workspace, stack)
