"""Step 3: from the chips of one year and a trained model to a GeoPackage of mining polygons."""

import argparse

from segmentation import cli
from segmentation.attributes import area_m2, attribute_polygons
from segmentation.countries import read_countries
from segmentation.devices import Inference
from segmentation.formats import FORMATS, GPKG, write_polygons
from segmentation.geopackage import Layer, read_metadata
from segmentation.model import ModelRun, find_run
from segmentation.outlines import PIXEL, SMOOTH
from segmentation.prediction import predict_year
from segmentation.predictor import AUTO, PRECISIONS
from segmentation.typed import a_path
from segmentation.vectorize import MEAN, UNION, Rule, join
from segmentation.windows import WRITTEN, read_grid, read_windows


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = cli.model_options(cli.common_options(cli.Parser(description=__doc__)))
    polygons = parser.add_argument_group("polygons")
    polygons.add_argument(
        "--threshold", type=cli.share, default=0.5, metavar="P", help="least probability of mine (default: %(default)s)"
    )
    polygons.add_argument(
        "--outline",
        choices=[PIXEL, SMOOTH],
        default=PIXEL,
        help="along pixels' edges, or where the probability crosses the threshold between them (default: %(default)s)",
    )
    polygons.add_argument(
        "--overlap",
        choices=[UNION, MEAN],
        default=UNION,
        help="where windows overlap: what any of them calls a mine, as the study, or the mean of their probabilities "
        "(default: %(default)s)",
    )
    polygons.add_argument(
        "--min-area", type=cli.square_metres, default=0.0, metavar="M2", help="drop smaller polygons (default: none)"
    )
    polygons.add_argument(
        "--keep-holes", action="store_true", help="leave out what a mine encloses (default: count it in, as the study)"
    )
    polygons.add_argument("--countries", type=a_path, metavar="FILE", help="borders (default: Natural Earth 1:10m)")
    polygons.add_argument(
        "--format",
        type=cli.several(FORMATS),
        default=(GPKG,),
        metavar="LIST",
        help=f"of {','.join(FORMATS)}, separated by commas (default: {GPKG})",
    )
    inference = parser.add_argument_group("inference")
    inference.add_argument(
        "--devices",
        type=cli.devices,
        default=(),
        metavar="LIST",
        help="cpu, or the numbers of GPUs that share the work, such as 0,1 (default: one GPU where there is one)",
    )
    inference.add_argument(
        "--batch-size",
        type=cli.batch_size,
        metavar="N",
        help=f"chips at a time on a device, {cli.batches.bounds}, or auto for as many as fit (default: auto)",
    )
    inference.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=AUTO,
        help="auto is bf16 on GPUs that compute in it, else fp32 (default: %(default)s)",
    )
    inference.add_argument(
        "--compile", action="store_true", help="compile the model: about a minute once, for long runs (default: no)"
    )
    return parser.parse_args()


def main(options: argparse.Namespace) -> int:
    """Chips to probabilities, probabilities to outlines, outlines to the polygons of a year."""
    workspace = cli.workspace(options)
    run = find_run(options.model, options.iter, options.config, options.checkpoint)
    folder = workspace.year(options.year)
    windows, grid = read_windows(folder.windows, options.year), read_grid(folder.windows)
    countries = read_countries(options.countries)
    rule = Rule(options.threshold, options.outline, options.overlap)
    how = Inference(options.devices, options.batch_size, options.precision, options.compile, options.workers)

    with folder.locked():
        pieces = predict_year(windows, folder, run, how, rule, options.quiet)
        polygons = join(pieces, grid, options.keep_holes)
        polygons = polygons[area_m2(polygons.geometry) >= options.min_area]
        table = attribute_polygons(polygons, options.year, countries)
        metadata = read_metadata(folder.windows) | _made_with(run, rule, options)
        layer = Layer("mining_polygons", table, "Polygon", style="mining_polygons")
        written = write_polygons(folder.predicted(run.name), layer, metadata, options.format)

    chips = (windows["status"] == WRITTEN).sum()
    print(f"{options.year}: {chips:,} windows predicted with {run.name} at a threshold of {options.threshold}")
    print(
        f"{len(table):,} mining polygons, {table['area'].sum() / 1e6:,.2f} km2, {table['iso_a3'].nunique()} countries"
    )
    for path in written:
        print(f"{'open in QGIS: ' if path.suffix == '.gpkg' else '              '}{path}")
    return cli.DONE


def _made_with(run: ModelRun, rule: Rule, options: argparse.Namespace) -> dict[str, str]:
    """What the polygons depend on, for their metadata."""
    return {
        "model": run.config.stem,
        "iteration": str(run.iteration),
        "threshold": str(rule.threshold),
        "outline": rule.outline,
        "overlapping windows": rule.overlap,
        "minimum area m2": str(options.min_area),
        "holes": "kept" if options.keep_holes else "closed",
    }


if __name__ == "__main__":
    cli.run(main, arguments())
