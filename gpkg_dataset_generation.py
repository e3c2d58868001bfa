"""Step 3: from the chips of one year and a trained model to a GeoPackage of mining polygons."""

import argparse

from segmentation.core import cli
from segmentation.core.arguments import a_path
from segmentation.core.process.workers import Crew
from segmentation.geo.areas import area_m2
from segmentation.geo.countries import read_countries
from segmentation.geo.formats import FORMATS, GPKG, choose_formats, write_polygons
from segmentation.geo.geopackage import Layer, read_metadata
from segmentation.predict.devices import Inference
from segmentation.predict.kept import CHECKPOINT, PRECISION
from segmentation.predict.outlines.attributes import attribute_polygons
from segmentation.predict.outlines.join import join
from segmentation.predict.outlines.pieces import MEAN, UNION, Rule
from segmentation.predict.outlines.trace import PIXEL, SMOOTH
from segmentation.predict.precision import AUTO, PRECISIONS
from segmentation.predict.runs import find_run
from segmentation.predict.year import Plan, outline_year, plan_year, predict_missing, write_predicted
from segmentation.windows.record import read_grid, read_windows
from segmentation.windows.statuses import WRITTEN


def parser() -> argparse.ArgumentParser:
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
    polygons.add_argument(
        "--suffix",
        type=cli.suffix,
        metavar="TEXT",
        help="added to the file's name, to keep polygons made with other settings side by side (default: none)",
    )
    polygons.add_argument(
        "--force", action="store_true", help="replace polygons that were made with other settings (default: refuse)"
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
        help="auto is that of the probabilities that are kept, else bf16 on GPUs that compute in it, else fp32 "
        "(default: %(default)s)",
    )
    inference.add_argument(
        "--restart",
        action="store_true",
        help="remove the year's probabilities of this model and predict all chips anew (default: go on)",
    )
    inference.add_argument(
        "--compile", action="store_true", help="compile the model: about a minute once, for long runs (default: no)"
    )
    return parser


def arguments() -> argparse.Namespace:
    """What was typed."""
    return parser().parse_args()


def main(options: argparse.Namespace) -> int:
    """Chips to probabilities, probabilities to outlines, outlines to the polygons of a year."""
    folder = cli.workspace(options).year(options.year)
    run = find_run(options.model, options.iter, options.config, options.checkpoint, folder.kept_runs())
    windows, grid = read_windows(folder.windows, options.year), read_grid(folder.windows)
    countries = read_countries(options.countries)
    rule = Rule(options.threshold, options.outline, options.overlap)
    how = Inference(
        devices=options.devices,
        batch_size=options.batch_size,
        precision=options.precision,
        compiled=options.compile,
        workers=options.workers,
    )

    with folder.locked():
        plan = plan_year(windows, folder, run, how, restart=options.restart, quiet=options.quiet)
        metadata = read_metadata(folder.windows) | _made_with(plan, rule, options)
        target = folder.predicted(run.name, options.suffix)
        formats = choose_formats(target, metadata, options.format, force=options.force)

        predicted = predict_missing(plan)
        with Crew(how.workers) as crew:
            written = write_predicted(plan, predicted, crew)
            pieces = outline_year(plan, written, rule, crew, quiet=options.quiet)
        polygons = join(pieces, grid, keep_holes=options.keep_holes)
        polygons = polygons[area_m2(polygons.geometry) >= options.min_area]
        table = attribute_polygons(polygons, options.year, countries)
        layer = Layer("mining_polygons", table, "Polygon", style="mining_polygons")
        files = write_polygons(target, layer, metadata, formats)

    chips = (windows["status"] == WRITTEN).sum()
    print(f"{options.year}: {chips:,} windows predicted with {run.name} at a threshold of {options.threshold}")
    print(
        f"{len(table):,} mining polygons, {table['area'].sum() / 1e6:,.2f} km2, {table['iso_a3'].nunique()} countries"
    )
    for path in files:
        print(f"{'open in QGIS: ' if path.suffix == '.gpkg' else '              '}{path}")
    return cli.DONE


def _made_with(plan: Plan, rule: Rule, options: argparse.Namespace) -> dict[str, str]:
    """What the polygons depend on, for their metadata."""
    return {
        "model": plan.run.config.stem,
        "iteration": plan.run.label,
        "checkpoint sha256": plan.made_from.get(CHECKPOINT, ""),
        "precision": plan.made_from.get(PRECISION, ""),
        "threshold": str(rule.threshold),
        "outline": rule.outline,
        "overlapping windows": rule.overlap,
        "minimum area m2": str(options.min_area),
        "holes": "kept" if options.keep_holes else "closed",
        "countries": options.countries.name if options.countries else "Natural Earth 1:10m",
    }


if __name__ == "__main__":
    cli.run(main, arguments())
