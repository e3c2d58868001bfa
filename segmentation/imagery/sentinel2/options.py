"""Sentinel-2's cloudless mosaics on the command line."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from segmentation.core.workspace import Workspace
from segmentation.imagery.sentinel2.source import LEVEL, MIRROR_URL, QUARTERS, Sentinel2Imagery
from segmentation.imagery.source import OfferedSource


def _add_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    return [
        group.add_argument(
            "--quarter", choices=QUARTERS, default="Q3", help="of the year, three months each (default: %(default)s)"
        ),
        group.add_argument(
            "--sentinel2-url",
            default=MIRROR_URL,
            metavar="URL",
            help="a server with YEAR/QUARTER/TILE/BAND.tif (default: %(default)s)",
        ),
    ]


def _make(options: argparse.Namespace, workspace: Workspace, stack: ExitStack) -> Sentinel2Imagery:
    """The cloudless mosaic of a quarter."""
    return Sentinel2Imagery(
        options.year,
        options.quarter,
        workspace.year(options.year).quads,
        options.sentinel2_url,
        level=LEVEL if options.level is None else options.level,
        max_rps=options.max_rps,
        tries=options.tries,
        threads=options.workers,
        quiet=options.quiet,
    )


OFFERED = OfferedSource("Sentinel-2's cloudless mosaics", _add_options, _make)
