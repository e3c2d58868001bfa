"""The imagery that a user names with ``--imagery``, each source with the options that are its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from segmentation.core import cli
from segmentation.core.errors import PipelineError
from segmentation.core.files import read_json
from segmentation.core.provenance import SYNTHETIC
from segmentation.core.workspace import Workspace
from segmentation.demo.planet.standin import DEMO_KEY, standin
from segmentation.demo.polygons import write_demo_polygons
from segmentation.geo.grid import Grid
from segmentation.imagery.files.source import RasterImagery
from segmentation.imagery.planet.client import API_URL, PlanetClient
from segmentation.imagery.planet.key import find_api_key
from segmentation.imagery.planet.mosaics import candidate_mosaics, default_mosaic
from segmentation.imagery.planet.source import WHOLE_QUADS, WINDOWS_ONLY, PlanetImagery
from segmentation.imagery.rasters.description import COLOURS, LARGEST_SCALE, Reflectance
from segmentation.imagery.reflectance import STRETCH
from segmentation.imagery.sentinel2.source import LEVEL, MIRROR_URL, QUARTERS, Sentinel2Imagery
from segmentation.imagery.source import ImagerySource
from segmentation.imagery.stac.seasons import STUDY_SEASON, season

PLANET, SENTINEL2, FILES, STAC = "planet", "sentinel2", "files", "stac"

# What all years of a workspace have to share: a model, and a panel, must see the same kind of imagery every year.
# By name, with what it means where a year's settings do not say it.
_SHARED = {"imagery": None, "level": None, "bands": None, "encoding": STRETCH, SYNTHETIC: None}

# Options for the user's own files that a STAC collection understands, too.
_ALSO_FOR_STAC = {"bands", "reflectance_scale"}


@dataclass(frozen=True)
class Source:
    """How a source of imagery is offered.

    Attributes:
        title: of its options in the help.
        options: adds its own options to a group of a parser and returns them.
        make: makes it from the command line; what has to end with the run goes onto the stack.
    """

    title: str
    options: Callable[[argparse._ArgumentGroup], list[argparse.Action]]
    make: Callable[[argparse.Namespace, Workspace, ExitStack], ImagerySource]


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
    offered = {kind: source.options(parser.add_argument_group(source.title)) for kind, source in SOURCES.items()}
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
    return imagery[0] if len(imagery) == 1 and imagery[0] in SOURCES and imagery[0] not in {FILES, STAC} else FILES


@contextmanager
def open_imagery(options: argparse.Namespace, workspace: Workspace) -> Iterator[ImagerySource]:
    """The imagery that the command line names, while the block lasts."""
    with ExitStack() as stack:
        yield SOURCES[kind_of(options.imagery)].make(options, workspace, stack)


def refuse_mixture(workspace: Workspace, year: int, settings: dict[str, str | int]) -> None:
    """Make sure that the other years of a workspace were made from imagery of the same kind.

    Raises:
        PipelineError: they were not.
    """
    for other in workspace.years():
        folder = workspace.year(other)
        before = read_json(folder.settings)
        if other == year or not before:
            continue
        if not (folder.holds_chips() or folder.is_being_worked_on()):
            continue  # left by a run that made nothing
        was, now = ({name: made.get(name, silent) for name, silent in _SHARED.items()} for made in (before, settings))
        changed = [name for name in _SHARED if was[name] != now[name]]
        if changed:
            was, now = (", ".join(f"{name} {made[name] or 'not said'}" for name in changed) for made in (was, now))
            raise PipelineError(
                f"{other} in this workspace was made from other imagery ({was}) than {year} would be ({now}): "
                "years are compared with each other; choose another --data-root"
            )


def _planet_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    return [
        group.add_argument("--mosaic", metavar="NAME", help="Planet mosaic (default: the one that shows the year)"),
        group.add_argument(
            "--cloud-free",
            action="store_true",
            help="take each quad from the least cloudy of the year's mosaics, as the study (default: one mosaic)",
        ),
        group.add_argument(
            "--fetch",
            choices=[WHOLE_QUADS, WINDOWS_ONLY],
            default=WHOLE_QUADS,
            help="whole quads, or by range requests only the blocks that windows need (default: %(default)s)",
        ),
        group.add_argument(
            "--discard-quads", action="store_true", help="remove each quad once its windows are cut (default: keep it)"
        ),
        group.add_argument(
            "--api-url",
            default=os.environ.get("PL_API_URL", API_URL),
            metavar="URL",
            help="Planet's Basemaps API, or one like it (default: PL_API_URL, else %(default)s)",
        ),
    ]


def _planet(options: argparse.Namespace, workspace: Workspace, stack: ExitStack) -> PlanetImagery:
    """Planet's mosaic of the year, or the same from the demo's stand-in."""
    if options.level not in {None, Grid().level}:
        raise PipelineError(f"Planet's basemaps are at level {Grid().level}: leave out --level")
    mosaic = options.mosaic or default_mosaic(options.year)
    if options.demo:
        _refuse_unmarked(workspace)
        write_demo_polygons(workspace.polygons)
        api_url, key = stack.enter_context(standin(workspace.root / "planet")), lambda: DEMO_KEY
    else:
        api_url, key = options.api_url, find_api_key

    def client() -> PlanetClient:
        return PlanetClient(key(), api_url, options.max_rps, options.tries, options.workers)

    candidates = candidate_mosaics(options.year) if options.cloud_free else ()
    quads = workspace.year(options.year).quads
    fetch, discard = options.fetch, options.discard_quads
    return PlanetImagery(
        client, mosaic, quads, candidates, fetch, discard, options.workers, options.quiet, synthetic=options.demo
    )


def _refuse_unmarked(workspace: Workspace) -> None:
    """Keep the demo out of a workspace with years that do not say that they are synthetic.

    Raises:
        PipelineError: there are such years.
    """
    for year in workspace.years():
        made = read_json(workspace.year(year).settings)
        if made and SYNTHETIC not in made:
            raise PipelineError(
                f"{year} in {workspace.root} does not say that it is synthetic: it is of real imagery (then choose "
                "another --data-root), or of a demo from before it said so (then remove the folders segmentation and "
                "tiff_tiles there and run again)"
            )


def _sentinel2_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
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


def _sentinel2(options: argparse.Namespace, workspace: Workspace, stack: ExitStack) -> Sentinel2Imagery:
    """The cloudless mosaic of a quarter."""
    return Sentinel2Imagery(
        options.year,
        options.quarter,
        workspace.year(options.year).quads,
        options.sentinel2_url,
        LEVEL if options.level is None else options.level,
        options.max_rps,
        options.tries,
        options.workers,
        options.quiet,
    )


def _file_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
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


def _files(options: argparse.Namespace, workspace: Workspace, stack: ExitStack) -> RasterImagery:
    """The user's own rasters."""
    paths = [Path(path) for path in options.imagery]
    folder = workspace.year(options.year)
    kept = read_json(folder.settings) if folder.holds_chips() else {}
    return RasterImagery(
        paths,
        options.bands,
        options.reflectance_scale,
        options.level,
        options.quiet,
        no_data=options.nodata,
        kept=kept,
    )


def _stac_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    return [
        group.add_argument(
            "--season",
            type=season,
            default=STUDY_SEASON,
            metavar="MM-DD/MM-DD",
            help="days of the year whose scenes are combined; one that crosses New Year ends in the year "
            "(default: %(default)s, as the study)",
        ),
        group.add_argument(
            "--looks",
            type=cli.positive,
            default=5,
            metavar="N",
            help="every pixel is the median of its N least cloudy clear looks, or of as many as there are "
            "(default: %(default)s)",
        ),
        group.add_argument(
            "--max-cloud",
            type=cli.percentage,
            default=80.0,
            metavar="PERCENT",
            help="scenes with more cloud are left out (default: %(default)g)",
        ),
        group.add_argument(
            "--sas-url",
            metavar="URL",
            help="gives anonymous access tokens (SAS) for the files (default: the Planetary Computer's for its own)",
        ),
    ]


def _stac(options: argparse.Namespace, workspace: Workspace, stack: ExitStack) -> ImagerySource:
    """Composites of a STAC collection's scenes."""
    url, _, collection = options.imagery[0].removeprefix(f"{STAC}:").partition("#")
    if len(options.imagery) > 1 or not url or not collection:
        raise PipelineError(
            f"--imagery {' '.join(options.imagery)}: name one collection, {STAC}:URL#COLLECTION, such as "
            f"{STAC}:https://earth-search.aws.element84.com/v1#sentinel-2-l2a"
        )
    try:
        from segmentation.imagery.stac.catalogue import Catalogue
        from segmentation.imagery.stac.looks import Choice
        from segmentation.imagery.stac.source import StacImagery
    except ModuleNotFoundError as error:
        raise PipelineError(
            f"--imagery {STAC} needs {error.name}, which is missing: pip install -r requirements-stac.txt"
        ) from None
    return StacImagery(
        Catalogue(url, collection, options.max_rps, options.tries),
        options.year,
        Choice(options.season, options.looks, options.max_cloud),
        workspace.year(options.year).quads,
        level=options.level,
        bands=options.bands,
        told=options.reflectance_scale,
        sas_url=options.sas_url,
        threads=options.workers,
        tries=options.tries,
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


SOURCES = {
    PLANET: Source("Planet's basemaps", _planet_options, _planet),
    SENTINEL2: Source("Sentinel-2's cloudless mosaics", _sentinel2_options, _sentinel2),
    FILES: Source("rasters of your own", _file_options, _files),
    STAC: Source("scenes of a STAC collection", _stac_options, _stac),
}
