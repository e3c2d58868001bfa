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
from segmentation.evaluate.draw.gallery import EACH, View, best_median_worst, draw_pages, draw_sheet, views
from segmentation.evaluate.draw.plot import plot_curves
from segmentation.evaluate.inputs import Inputs, plan_pairs, read_reference, written_windows
from segmentation.evaluate.judgement import Judgement, judge
from segmentation.evaluate.pixels import level_of
from segmentation.evaluate.report import Facts, say, write_judgement
from segmentation.geo.countries import read_countries
from segmentation.geo.metadata import read_provenance
from segmentation.predict.runs import find_run
from segmentation.windows.record import read_grid, read_windows

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
    windows, grid = read_windows(folder.windows, options.year), read_grid(folder.windows)
    inputs = Inputs(folder, run, read_reference(options.reference) if options.reference else None)
    countries = read_countries(options.countries)
    chosen = written_windows(windows, options.split)
    if chosen.empty:
        raise PipelineError(f"no window of {options.year} is in the {options.split} split")

    with folder.locked():
        pairs = plan_pairs(chosen, inputs)
        level = level_of(options.threshold)
        compared = compare_windows(pairs, level, options.workers, quiet=options.quiet)
        if inputs.reference and not len(compared.reference):
            raise PipelineError(
                f"{options.reference} has no polygon where the {options.split} windows of {options.year} look"
            )
        tuning = compared if options.split == _CHOSEN_ON else _count_tuning_windows(windows, inputs, options)
        judgement = judge(
            chosen,
            compared,
            grid=grid,
            level=level,
            chosen_on=tuning.histograms.sum(axis=0),
            countries=countries,
            replicates=options.bootstrap,
            seed=options.seed,
            min_area_m2=options.min_area,
        )
        facts = _facts(options, inputs, chosen, len(tuning.histograms))
        target = folder.evaluation(run.name, _folder_name(options.split, inputs))
        written = write_judgement(target, judgement, facts)
        chips = [folder.chip(options.split, name) for name in chosen["id"]]
        shown = views(judgement.windows, pairs, chips, grid, level)
        written += _draw(options, shown, judgement, facts, target)

    say(judgement, facts)
    print(f"\nwritten to {target}: {', '.join(path.name for path in written)}")
    return cli.DONE


def _count_tuning_windows(windows: gpd.GeoDataFrame, inputs: Inputs, options: argparse.Namespace) -> Comparison:
    """The windows on which the threshold is chosen, counted but not outlined."""
    pairs = plan_pairs(written_windows(windows, _CHOSEN_ON), inputs)
    return compare_windows(pairs, None, options.workers, quiet=options.quiet)


def _facts(options: argparse.Namespace, inputs: Inputs, chosen: gpd.GeoDataFrame, tuned_on: int) -> Facts:
    """What was evaluated, and how."""
    if options.split == _CHOSEN_ON:
        chosen_on = "these very windows"
    else:
        chosen_on = f"{tuned_on:,} {_CHOSEN_ON} windows" if tuned_on else f"no {_CHOSEN_ON} windows"
    return Facts(
        run=inputs.run.name,
        year=options.year,
        split=options.split,
        windows=len(chosen),
        groups=int(chosen["group"].nunique()),
        reference=inputs.reference_name,
        threshold=options.threshold,
        min_area_m2=options.min_area,
        chosen_on=chosen_on,
        bootstrap=options.bootstrap,
        seed=options.seed,
        synthetic=_synthetic(options, inputs),
        of_reference=inputs.reference.facts if inputs.reference else {},
    )


def _synthetic(options: argparse.Namespace, inputs: Inputs) -> str | None:
    """What says that the imagery, or the reference, is synthetic; None where neither is."""
    for path in (inputs.folder.windows, options.reference):
        said = read_provenance(path).get(SYNTHETIC) if path else None
        if said:
            return said
    return INVENTED if options.demo else None


def _draw(
    options: argparse.Namespace, shown: list[View], judgement: Judgement, facts: Facts, target: Path
) -> list[Path]:
    """The curves, and the gallery and pages where they are asked for; what was drawn."""
    compared = f"{facts.run}, {facts.split} windows of {facts.year}, against {facts.reference}"
    title = marked(compared, facts.synthetic)
    curves, gallery, pages = target / "curves.png", target / "gallery.png", target / "pages"
    plot_curves(judgement, title, facts.chosen_on, curves)
    drawn = [curves]
    title += f", threshold {options.threshold:g}"
    if options.gallery:
        places = best_median_worst(judgement.windows["iou"].to_numpy(), options.gallery)
        chosen = {kind: [shown[place] for place in of_kind] for kind, of_kind in places.items()}
        draw_sheet(chosen, title, gallery)
        drawn.append(gallery)
    if options.pages:
        draw_pages(shown, title, pages, options.workers, quiet=options.quiet)
        drawn.append(pages)
    return drawn


def _folder_name(split: str, inputs: Inputs) -> str:
    """The split, and what it was compared with."""
    return f"{split}_{inputs.reference.name.stem}" if inputs.reference else split


if __name__ == "__main__":
    cli.run(main, arguments())
