"""Step 3: from the chips of one year and a trained model to a GeoPackage of mining polygons."""

import argparse
from pathlib import Path

from segmentation import cli
from segmentation.attributes import area_m2, attribute_polygons
from segmentation.countries import read_countries
from segmentation.geopackage import Layer, read_metadata, write_geopackage
from segmentation.grid import Grid
from segmentation.model import find_run
from segmentation.prediction import predict_year
from segmentation.vectorize import join, outline_windows
from segmentation.windows import read_windows


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = cli.model_options(cli.common_options(cli.Parser(description=__doc__)))
    parser.add_argument(
        "--threshold", type=cli.share, default=0.5, metavar="P", help="least probability of mine (default: %(default)s)"
    )
    parser.add_argument(
        "--min-area", type=float, default=0.0, metavar="M2", help="drop smaller polygons (default: none)"
    )
    parser.add_argument(
        "--keep-holes", action="store_true", help="leave out what a mine encloses (default: count it in, as the study)"
    )
    parser.add_argument("--countries", type=Path, metavar="FILE", help="country borders (default: Natural Earth 1:10m)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda or cuda:N (default: a GPU where there is one)")
    parser.add_argument(
        "--batch-size", type=cli.positive, default=8, metavar="N", help="chips at a time (default: %(default)s)"
    )
    return parser.parse_args()


def main(options: argparse.Namespace) -> int:
    """Chips to probabilities, probabilities to outlines, outlines to the polygons of a year."""
    workspace, grid = cli.workspace(options), Grid()
    run = find_run(options.model, options.iter, options.config, options.checkpoint)
    folder = workspace.year(options.year)
    windows = read_windows(folder.windows, options.year)
    countries = read_countries(options.countries)

    with folder.locked():
        predictions = predict_year(
            windows, folder, run, options.device, options.batch_size, options.workers, options.quiet
        )
        pieces = outline_windows(predictions, options.threshold, options.workers, options.quiet)
        polygons = join(pieces, grid, options.keep_holes)
        polygons = polygons[area_m2(polygons.geometry) >= options.min_area]
        table = attribute_polygons(polygons, options.year, countries)
        made_with = {
            "model": run.config.stem,
            "iteration": str(run.iteration),
            "threshold": str(options.threshold),
            "minimum area m2": str(options.min_area),
            "holes": "kept" if options.keep_holes else "closed",
        }
        metadata = read_metadata(folder.windows) | made_with
        target = folder.predicted(run.name)
        write_geopackage(target, [Layer("mining_polygons", table, "Polygon", style="mining_polygons")], metadata)

    print(
        f"{options.year}: {len(predictions):,} windows predicted with {run.name} at a threshold of {options.threshold}"
    )
    print(
        f"{len(table):,} mining polygons, {table['area'].sum() / 1e6:,.2f} km2, {table['iso_a3'].nunique()} countries"
    )
    print(f"open in QGIS: {target}")
    return cli.DONE


if __name__ == "__main__":
    cli.run(main, arguments())
