"""How good is a model? ``python -m segmentation.evaluate -year=2019 -model=MODEL -iter=N`` on windows it never saw.

Compares the probabilities that step 3 kept with the masks of the label year, or with any polygons, within the pixels
that were observed: by pixels, by objects, by window size and country, with 95 % intervals, at every threshold.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd

from segmentation.core import cli
from segmentation.core.arguments import a_path
from segmentation.core.errors import PipelineError
from segmentation.core.provenance import INVENTED, SYNTHETIC, marked
from segmentation.core.workspace import SPLITS
from segmentation.evaluate.bootstrap import REPLICATES
from segmentation.evaluate.compare import Comparison, compare_windows
from segmentation.evaluate.draw.gallery import EACH, best_median_worst, draw_pages, draw_sheet, views
from segmentation.evaluate.draw.plot import plot_curves
from segmentation.evaluate.inputs import Pair, Source, plan_pairs, read_reference, written_windows
from segmentation.evaluate.judgement import Judgement, grid_of, judge
from segmentation.evaluate.pixels import level_of
from segmentation.evaluate.report import Facts, say, write_judgement
from segmentation.geo.countries import read_countries
from segmentation.geo.metadata import read_provenance
from segmentation.geo.vectors.files import find_vector
from segmentation.predict.runs import find_run
from segmentation.windows.record import read_windows

# Where the threshold is chosen: windows that neither trained the model nor are the test.
_CHOSEN_ON = "val"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.Parser(prog="python -m segmentation.evaluate", description=__doc__)
    cli.model_options(cli.common_options(parser))
    parser.add_argument("--split", choices=SPLITS, default="test", help="which windows (default: %(default)s)")
    parser.add_argument(
        "--reference",
        type=a_path,
        metavar="FILE",
        help="polygons to compare with, FILE or FILE:LAYER (default: the masks)",
    )
    parser.add_argument(
        "--threshold", type=cli.share, default=0.5, metavar="P", help="least probability of mine (default: %(default)s)"
    )
    parser.add_argument(
        "--min-area",
        type=cli.square_metres,
        default=0.0,
        metavar="M2",
        help="smaller predicted objects do not count (default: 0)",
    )
    parser.add_argument(
        "--gallery",
        type=cli.positive,
        nargs="?",
        const=EACH,
        metavar="N",
        help=f"draw the N best, median and worst windows (default: no; without N {EACH})",
    )
    parser.add_argument("--pages", action="store_true", help="draw a page a window (default: no)")
    parser.add_argument(
        "--bootstrap",
        type=cli.positive,
        default=REPLICATES,
        metavar="N",
        help="replicates for the intervals (default: %(default)s)",
    )
    parser.add_argument("--seed", type=cli.seed, default=0, help="of the bootstrap (default: %(default)s)")
    parser.add_argument(
        "--countries", type=a_path, metavar="FILE", help="country borders (default: Natural Earth 1:10m)"
    )
    return parser


def arguments() -> argparse.Namespace:
    """What was typed."""
    return parser().parse_args()


def main(options: argparse.Namespace) -> int:
    """Compare, judge, write, draw, say."""
    folder = cli.workspace(options).year(options.year)
    run = find_run(options.model, options.iter, options.config, options.checkpoint, folder.kept_runs())
    windows = read_windows(folder.windows, options.year)
    source = Source(folder, run, read_reference(options.reference) if options.reference else None)
    countries = read_countries(options.countries)
    chosen = written_windows(windows, options.split)
    if chosen.empty:
        raise PipelineError(f"no window of {options.year} is in the {options.split} split")

    with folder.locked():
        pairs = plan_pairs(chosen, source)
        level = level_of(options.threshold)
        compared = compare_windows(pairs, level, options.workers, options.quiet)
        if source.reference and not len(compared.reference):
            raise PipelineError(
                f"{options.reference} has no polygon where the {options.split} windows of {options.year} look"
            )
        tuned = compared if options.split == _CHOSEN_ON else _tuned(windows, source, options)
        judgement = judge(
            chosen,
            compared,
            tuned.histograms.sum(axis=0),
            level,
            countries,
            options.bootstrap,
            options.seed,
            options.min_area,
        )
        facts = _facts(options, source, chosen, len(tuned.histograms))
        target = folder.evaluation(run.name, _what(options))
        written = write_judgement(target, judgement, facts)
        written += _draw(options, source, chosen, pairs, judgement, facts, target)

    say(judgement, facts)
    print(f"\nwritten to {target}: {', '.join(path.name for path in written)}")
    return cli.DONE


def _tuned(windows: gpd.GeoDataFrame, source: Source, options: argparse.Namespace) -> Comparison:
    """The windows on which the threshold is chosen, counted."""
    pairs = plan_pairs(written_windows(windows, _CHOSEN_ON), source)
    return compare_windows(pairs, None, options.workers, options.quiet)


def _facts(options: argparse.Namespace, source: Source, chosen: gpd.GeoDataFrame, tuned_on: int) -> Facts:
    """What was evaluated, and how."""
    chosen_on = f"{tuned_on:,} {_CHOSEN_ON} windows" if tuned_on else f"no {_CHOSEN_ON} windows"
    return {
        "run": source.run.name,
        "year": options.year,
        "split": options.split,
        "windows": len(chosen),
        "groups": int(chosen["group"].nunique()),
        "reference": source.reference_name,
        "threshold": options.threshold,
        "min_area_m2": options.min_area,
        "chosen_on": "these very windows" if options.split == _CHOSEN_ON else chosen_on,
        "bootstrap": options.bootstrap,
        "seed": options.seed,
        **_marks(options, source),
    } | (source.reference.facts if source.reference else {})


def _marks(options: argparse.Namespace, source: Source) -> Facts:
    """That the imagery, or the reference, is synthetic, where it is."""
    marks = [read_provenance(path).get(SYNTHETIC) for path in (source.folder.windows, options.reference) if path]
    said = next((mark for mark in marks if mark), INVENTED if options.demo else None)
    return {SYNTHETIC: said} if said else {}


def _draw(
    options: argparse.Namespace,
    source: Source,
    chosen: gpd.GeoDataFrame,
    pairs: list[Pair],
    judgement: Judgement,
    facts: Facts,
    target: Path,
) -> list[Path]:
    """The curves, and the gallery and pages where they are asked for."""
    of = f"{facts['run']}, {facts['split']} windows of {facts['year']}, against {facts['reference']}"
    title = marked(of, facts.get(SYNTHETIC))
    written = [target / "curves.png"]
    plot_curves(judgement, title, facts["chosen_on"], written[0])
    title += f", threshold {options.threshold:g}"
    chips = [source.folder.chip(options.split, name) for name in chosen["id"]]
    shown = views(judgement.windows, pairs, chips, grid_of(chosen), judgement.level)
    if options.gallery:
        places = best_median_worst(judgement.windows["iou"].to_numpy(), options.gallery)
        written.append(target / "gallery.png")
        draw_sheet({kind: [shown[k] for k in rows] for kind, rows in places.items()}, title, written[-1])
    if options.pages:
        draw_pages(shown, title, target / "pages", options.workers, options.quiet)
        written.append(target / "pages")
    return written


def _what(options: argparse.Namespace) -> str:
    """Name of the folder: the split, and what it was compared with."""
    reference = find_vector(options.reference) if options.reference else None
    return f"{options.split}_{reference.stem}" if reference else options.split


if __name__ == "__main__":
    cli.run(main, arguments())
