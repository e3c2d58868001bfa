"""Step 1: from mining polygons and satellite imagery to an MMSegmentation dataset of one year."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

import geopandas as gpd

from segmentation.chips.dataset import cut_windows, uncut
from segmentation.chips.summary import failures, summarise
from segmentation.core import cli
from segmentation.core.arguments import a_file, a_path
from segmentation.core.provenance import SYNTHETIC, marked
from segmentation.core.workspace import Workspace, keep_settings
from segmentation.geo.grid import Grid
from segmentation.imagery.cost import YearPlan, cost_table
from segmentation.imagery.mixture import refuse_mixture
from segmentation.imagery.options import add_options, check_options, open_imagery
from segmentation.imagery.reflectance import PUBLISHED, STRETCH
from segmentation.imagery.source import ImagerySource
from segmentation.polygons.literature import LABEL_YEAR, LiteraturePolygons, read_polygons
from segmentation.windows import cautions
from segmentation.windows.plan import as_windows, full_resolution, keep_former_splits, plan_windows, splits_fingerprint
from segmentation.windows.record import write_windows
from segmentation.windows.splits import SEED, read_test_ids

# Fast Ethernet, what many a network gives one machine.
BANDWIDTH_MBIT = 100.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.common_options(cli.Parser(description=__doc__), cli.years)
    parser.add_argument(
        "--polygons",
        type=a_path,
        metavar="FILE",
        help="mining polygons, any OGR format and CRS, or FILE:LAYER (default: the workspace's "
        "mining_polygons_combined.gpkg)",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="only say what would be fetched; needs no key, and takes several years together: -year=2016-2024",
    )
    parser.add_argument(
        "--bandwidth",
        type=cli.megabits_a_second,
        default=BANDWIDTH_MBIT,
        metavar="MBIT",
        help="megabits a second that --plan reckons with (default: %(default)g)",
    )
    parser.add_argument(
        "--label-year",
        type=cli.year,
        default=LABEL_YEAR,
        metavar="YEAR",
        help="the year whose chips get masks (default: %(default)s)",
    )
    parser.add_argument(
        "--test-ids", type=a_file, metavar="FILE", help="ids of the polygons to test on, one a line (default: drawn)"
    )
    parser.add_argument(
        "--native",
        action="store_true",
        help="cut large windows into several chips of full resolution (default: resample each to one chip)",
    )
    parser.add_argument(
        "--encoding",
        choices=[STRETCH, PUBLISHED],
        default=STRETCH,
        help="of chips: a fixed stretch of reflectance, or as the published checkpoint knows it (default: %(default)s)",
    )
    parser.add_argument("--seed", type=cli.seed, default=SEED, help="of the random splits (default: %(default)s)")
    add_options(parser)
    return parser


def arguments() -> argparse.Namespace:
    """What was typed, where it makes sense together."""
    command = parser()
    options = command.parse_args()
    check_options(command, options, add_options(cli.Parser()))
    options.years = sorted(set(options.year))
    options.year = options.years[0]
    if len(options.years) > 1 and not options.plan:
        command.error("-year names one year; several take --plan, which fetches nothing, or a loop in the shell")
    if options.bandwidth != BANDWIDTH_MBIT and not options.plan:
        command.error("--bandwidth is for --plan")
    return options


def main(options: argparse.Namespace) -> int:
    """Polygons to windows, windows to imagery, imagery to chips and masks."""
    if options.plan:
        return say_costs(options)
    workspace = cli.workspace(options)
    folder = workspace.year(options.year)
    with open_imagery(options, workspace) as source:
        polygons, plan = plan_around_polygons(options, workspace, source.grid)
        labels = polygons.all if options.year == options.label_year else None
        # What the year's chips are made from, beside the imagery.
        recipe = {
            "polygons": polygons.fingerprint,
            "masks": labels is not None,
            "splits": splits_fingerprint(plan),
            "encoding": options.encoding,
        }
        refuse_mixture(workspace, options.year, source.settings() | recipe)
        source.connect(as_windows(plan[uncut(plan, folder, masks=labels is not None)]))
        with folder.locked():
            # Once connected, a source knows its mosaic.
            keep_settings(folder.settings, recipe | source.settings(), "the dataset", empty=not folder.holds_chips())
            dataset = cut_windows(
                plan, source, folder, labels, options.workers, encoding=options.encoding, quiet=options.quiet
            )
            footprint = source.footprint(as_windows(plan))
            settings = source.settings() | cut_as(options)
            write_windows(folder.windows, dataset.windows, footprint, source.grid, settings, ground=dataset.ground)

    title = f"{options.year}: {source.settings()['mosaic']}"
    print(marked(title, source.settings().get(SYNTHETIC)))
    print(summarise(polygons, dataset, footprint, chosen_test=options.test_ids is not None))
    print_traffic(source, what=f"{footprint.unit}s")
    print(f"chips in {folder.path / 'img_dir'}, windows in {folder.windows}")
    warn(cautions.of_plan(plan, source.grid))
    warn(cautions.of_polygons(polygons.all))
    warn(cautions.of_labels(dataset.windows))
    lost = failures(dataset.windows)
    if lost:
        print(f"error: {lost} windows lost to failed downloads; run the same command again", file=sys.stderr)
        return cli.INCOMPLETE
    return cli.DONE


def plan_around_polygons(
    options: argparse.Namespace, workspace: Workspace, grid: Grid
) -> tuple[LiteraturePolygons, gpd.GeoDataFrame]:
    """The polygons, and the plan of the windows around them."""
    polygons = read_polygons(options.polygons or workspace.polygons)
    test_ids = read_test_ids(options.test_ids, polygons.in_belt["id"].to_numpy())
    plan = plan_windows(polygons.in_belt, grid, test_ids, options.seed)
    if options.native:
        plan = full_resolution(plan, grid)
    return polygons, keep_former_splits(plan, workspace.recorded("splits"), test_ids, options.seed)


def print_traffic(source: ImagerySource, what: str) -> None:
    """Say what went over the wire, unless the source has none."""
    if source.traffic is None:
        return
    received_mb = source.traffic.received_bytes / 1e6
    print(f"{source.traffic.requests:,} requests sent, {received_mb:,.1f} MB of {what} received")


def cut_as(options: argparse.Namespace) -> dict[str, str]:
    """How windows become chips, for the record."""
    return {
        "encoding": options.encoding,
        "large windows": "full resolution" if options.native else "resampled",
    }


def say_costs(options: argparse.Namespace) -> int:
    """Say what the years would take, and fetch nothing."""
    workspace = cli.workspace(options)
    planned = None
    years = []
    for year in options.years:
        options.year = year
        with open_imagery(options, workspace) as source:
            # The plan is the same for all years, whose imagery is of the same kind.
            planned = planned or plan_around_polygons(options, workspace, source.grid)
            polygons, plan = planned
            left = uncut(plan, workspace.year(year), masks=year == options.label_year)
            forecast = source.forecast(as_windows(plan), left)
            years.append(YearPlan(year, plan["side_px"].to_numpy(), source.grid.pixel_m, left, forecast))
    print(cost_table(polygons, years, max_rps=options.max_rps, bandwidth_mbit=options.bandwidth))
    warn(cautions.of_plan(plan, source.grid))
    warn(cautions.of_polygons(polygons.all))
    if options.label_year in options.years:
        warn(cautions.of_labels_to_be(plan, polygons.all))
    return cli.DONE


def warn(told: Iterable[str]) -> None:
    """Say what is most likely not what was meant, a line each."""
    for line in told:
        print(f"warning: {line}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main, arguments())
