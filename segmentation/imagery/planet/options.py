"""Planet's basemaps on the command line, and the demo's stand-in for them."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack

from segmentation.core.errors import PipelineError
from segmentation.core.files import read_json
from segmentation.core.provenance import SYNTHETIC
from segmentation.core.workspace import Workspace
from segmentation.demo.planet.standin import DEMO_KEY, standin
from segmentation.demo.polygons import write_demo_polygons
from segmentation.geo.grid import Grid
from segmentation.imagery.planet.client import API_URL, PlanetClient
from segmentation.imagery.planet.key import find_api_key
from segmentation.imagery.planet.mosaics import candidate_mosaics, default_mosaic
from segmentation.imagery.planet.source import WHOLE_QUADS, WINDOWS_ONLY, PlanetImagery
from segmentation.imagery.source import OfferedSource


def _add_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
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


def _make(options: argparse.Namespace, workspace: Workspace, stack: ExitStack) -> PlanetImagery:
    """Planet's mosaic of the year, or the same from the demo's stand-in.

    Raises:
        PipelineError: the level is not Planet's, the year has no mosaic, or the demo would be mixed with real imagery.
    """
    if options.level not in {None, Grid().level}:
        raise PipelineError(f"Planet's basemaps are at level {Grid().level}: leave out --level")
    mosaic = options.mosaic or default_mosaic(options.year)
    if options.demo:
        _refuse_unmarked(workspace)
        write_demo_polygons(workspace.polygons)
        api_url = stack.enter_context(standin(workspace.root / "planet"))
    else:
        api_url = options.api_url

    def client() -> PlanetClient:
        # The key is looked for when it is first needed: a complete cache needs none.
        key = DEMO_KEY if options.demo else find_api_key()
        return PlanetClient(key, api_url, max_rps=options.max_rps, tries=options.tries, connections=options.workers)

    return PlanetImagery(
        client,
        mosaic,
        workspace.year(options.year).quads,
        candidates=candidate_mosaics(options.year) if options.cloud_free else (),
        fetch=options.fetch,
        discard=options.discard_quads,
        threads=options.workers,
        quiet=options.quiet,
        synthetic=options.demo,
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


OFFERED = OfferedSource("Planet's basemaps", _add_options, _make)
