"""Rasters of the user's own on the command line."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from segmentation.core.files import read_json
from segmentation.core.workspace import Workspace
from segmentation.imagery.files.source import RasterImagery
from segmentation.imagery.rasters.bands import COLOURS
from segmentation.imagery.rasters.scales import LARGEST_SCALE, Reflectance
from segmentation.imagery.source import OfferedSource


def _add_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    return [
        group.add_argument(
            "--bands",
            type=_bands,
            metavar="R,G,B[,NIR]",
            help="red, green, blue and maybe near infrared, by number (from 1) or description, of a STAC collection by "
            "asset (default: by the files' descriptions and colours, by the usual names of assets)",
        ),
        group.add_argument(
            "--reflectance-scale",
            type=_reflectance,
            metavar="SCALE[,OFFSET]",
            help="reflectance = value x SCALE + OFFSET, such as 0.0001 (default: as the files say)",
        ),
        group.add_argument(
            "--nodata",
            type=_number,
            metavar="VALUE",
            help="the value that means no data, nan for none but what is not a number (default: as the files say)",
        ),
    ]


def _make(options: argparse.Namespace, workspace: Workspace, stack: ExitStack) -> RasterImagery:
    """The user's own rasters."""
    folder = workspace.year(options.year)
    return RasterImagery(
        [Path(path) for path in options.imagery],
        bands=options.bands,
        reflectance=options.reflectance_scale,
        level=options.level,
        no_data=options.nodata,
        kept=read_json(folder.settings) if folder.holds_chips() else {},
        quiet=options.quiet,
    )


def _bands(text: str) -> tuple[str, ...]:
    bands = tuple(band.strip() for band in text.split(","))
    if len(bands) not in {len(COLOURS) - 1, len(COLOURS)} or not all(bands):
        raise argparse.ArgumentTypeError(f"{text!r} names no 3 or 4 bands")
    return bands


def _reflectance(text: str) -> Reflectance:
    try:
        given = Reflectance(*(float(part) for part in text.split(",")))
    except (ValueError, TypeError):
        raise argparse.ArgumentTypeError(f"{text!r} is no scale, or scale and offset") from None
    if not (0 < given.scale <= LARGEST_SCALE and -LARGEST_SCALE <= given.offset <= LARGEST_SCALE):
        raise argparse.ArgumentTypeError(
            f"{text}: reflectance = value x SCALE + OFFSET; SCALE is 0.0001 where values are reflectance x 10,000, "
            f"1 where they are reflectance, and never more than {LARGEST_SCALE:g}"
        )
    return given


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


OFFERED = OfferedSource("rasters of your own", _add_options, _make)
