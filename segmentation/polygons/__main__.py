"""The mining polygons of the literature: ``python -m segmentation.polygons combine MAUS TANG_WERNER``."""

from __future__ import annotations

import argparse
from pathlib import Path

from segmentation.core import cli
from segmentation.core.arguments import a_folder, a_new_file, a_path
from segmentation.core.errors import PipelineError
from segmentation.core.workspace import DATA_ROOT, Workspace
from segmentation.geo.countries import read_countries
from segmentation.geo.geopackage import Layer, write_geopackage
from segmentation.geo.vectors.files import VectorName, find_vector
from segmentation.polygons import combine


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.Parser(prog="python -m segmentation.polygons", description="The mining polygons of the literature.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("combine", help="unite the two published data sets", description=combine.__doc__)
    file = "any OGR format and CRS, or FILE:LAYER"
    command.add_argument("maus", type=a_path, metavar="MAUS", help=f"polygons of Maus et al. (2022), {file}")
    command.add_argument("tang_werner", type=a_path, metavar="TANG_WERNER", help=f"of Tang and Werner (2023), {file}")
    command.add_argument(
        "-o",
        "--output",
        type=a_new_file,
        metavar="FILE",
        help="GeoPackage to write (default: mining_polygons_combined.gpkg in the workspace, where step 1 looks)",
    )
    command.add_argument(
        "--data-root",
        type=a_folder,
        default=DATA_ROOT,
        metavar="FOLDER",
        help="the data workspace (default: segmentation/data in the repository)",
    )
    command.add_argument(
        "--countries",
        type=a_path,
        metavar="FILE",
        help="country borders, FILE or FILE:LAYER (default: Natural Earth 1:10m)",
    )
    command.add_argument("--force", action="store_true", help="replace the output if it is there (default: no)")
    command.set_defaults(verbose=False)
    return parser


def arguments() -> argparse.Namespace:
    """What was typed."""
    return parser().parse_args()


def main(options: argparse.Namespace) -> int:
    """Unite the two files, write the result, print what became of every polygon."""
    output = options.output or Workspace(options.data_root).polygons
    _check_paths(options.maus, options.tang_werner, output, force=options.force)
    countries = read_countries(options.countries)
    maus = combine.read_published(options.maus, combine.MAUS)
    tang_werner = combine.read_published(options.tang_werner, combine.TANG_WERNER)
    table = combine.combine(maus, tang_werner, countries)
    sources = (maus, tang_werner)
    write_geopackage(output, [Layer(combine.LAYER, table)], combine.metadata(sources, table))
    print(combine.summarise(sources, table))
    print(f"written to {output}")
    return cli.DONE


def _check_paths(maus: Path, tang_werner: Path, output: Path, *, force: bool) -> None:
    """Refuse what cannot end well, before minutes are spent on it."""
    one, other = _published(maus), _published(tang_werner)
    if one.path.samefile(other.path) and one.inside == other.inside:
        raise PipelineError(f"{maus} is given twice: MAUS and TANG_WERNER are two files")
    if output.suffix.lower() != ".gpkg":
        raise PipelineError(f"{output} is no GeoPackage: give the output a name that ends in .gpkg")
    if output.exists():
        if output.samefile(one.path) or output.samefile(other.path):
            raise PipelineError(f"{output} is one of the inputs: give the output another name")
        if not (force and output.is_file()):
            raise PipelineError(f"{output} is there already: --force replaces it, -o names another file")


def _published(path: Path) -> VectorName:
    found = find_vector(path)
    if found is None:
        raise PipelineError(f"no polygons at {path}: README, 'Get the polygons', says where the published ones are")
    return found


if __name__ == "__main__":
    cli.run(main, arguments())
