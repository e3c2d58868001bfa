"""Scenes of a STAC collection on the command line.

The packages that read them are imported when the source is made, not for the help of the command.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from segmentation.core import cli
from segmentation.core.errors import PipelineError
from segmentation.core.workspace import Workspace
from segmentation.imagery.source import ImagerySource, OfferedSource
from segmentation.imagery.stac.looks import STUDY_SEASON, SceneSelection, season

# How --imagery names a collection: stac:URL#COLLECTION.
STAC = "stac"


def _add_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
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


def _make(options: argparse.Namespace, workspace: Workspace, stack: ExitStack) -> ImagerySource:
    """Composites of a STAC collection's scenes."""
    url, _, collection = options.imagery[0].removeprefix(f"{STAC}:").partition("#")
    if len(options.imagery) > 1 or not url or not collection:
        raise PipelineError(
            f"--imagery {' '.join(options.imagery)}: name one collection, {STAC}:URL#COLLECTION, such as "
            f"{STAC}:https://earth-search.aws.element84.com/v1#sentinel-2-l2a"
        )
    try:
        from segmentation.imagery.stac.catalogue import Catalogue
        from segmentation.imagery.stac.source import StacImagery
    except ModuleNotFoundError as error:
        raise PipelineError(
            f"--imagery {STAC} needs {error.name}, which is missing: pip install -r requirements-stac.txt"
        ) from None
    return StacImagery(
        Catalogue(url, collection, max_rps=options.max_rps, tries=options.tries),
        options.year,
        SceneSelection(options.season, options.looks, options.max_cloud),
        workspace.year(options.year).quads,
        level=options.level,
        bands=options.bands,
        reflectance=options.reflectance_scale,
        sas_url=options.sas_url,
        threads=options.workers,
        tries=options.tries,
        quiet=options.quiet,
    )


OFFERED = OfferedSource("scenes of a STAC collection", _add_options, _make)
