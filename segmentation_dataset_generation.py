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
from segmentation.imagery.planet.mosaics import LABEL_YEAR
from segmentation.imagery.reflectance import PUBLISHED, STRETCH
from segmentation.polygons.literature import LiteraturePolygons, read_polygons
from segmentation.windows import cautions
from segmentation.windows.record import (
    as_windows,
    full_resolution,
    keep_former_splits,
    plan_windows,
    splits_fingerprint,
    write_windows,
)
from segmentation.windows.splits import SEED, read_test_ids

# Fast Ethernet, what many a network gives one machine.
BANDWIDTH_MBIT = 100.0


def arguments() -> argparse.Namespace:
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
    offered = add_options(parser)
    options = parser.parse_args()
    check_options(parser, options, offered)
    options.years = sorted(set(options.year))
    options.year = options.years[0]
    if len(options.years) > 1 and not options.plan:
        parser.error("-year names one year; several take --plan, which fetches nothing, or a loop in the shell")
    if options.bandwidth != BANDWIDTH_MBIT and not options.plan:
        parser.error("--bandwidth is for --plan")
    return options


def main(options: argparse.Namespace) -> int:
    """Polygons to windows, windows to imagery, imagery to chips and masks."""
    if options.plan:
        return say_plan(options)
    workspace = cli.workspace(options)
    folder = workspace.year(options.year)
    with open_imagery(options, workspace) as source:
        grid = source.grid
        polygons, plan = planned(options, workspace, grid)
        labels = polygons.all if options.year == options.label_year else None
        made_from = {
            "polygons": polygons.fingerprint,
            "masks": labels is not None,
            "splits": splits_fingerprint(plan),
            "encoding": options.encoding,
        }
        cut_as = {
            "encoding": options.encoding,
            "large windows": "full resolution" if options.native else "resampled",
        }

        refuse_mixture(workspace, options.year, source.settings() | made_from)
        source.connect(as_windows(plan[uncut(plan, folder, labels is not None)]))
        with folder.locked():
            made_from |= source.settings()
            keep_settings(folder.settings, made_from, "the dataset", empty=not folder.holds_chips())
            dataset = cut_windows(plan, source, folder, labels, options.workers, options.encoding, options.quiet)
            footprint = source.footprint(as_windows(plan))
            write_windows(
                folder.windows, dataset.windows, footprint, grid, source.settings() | cut_as, ground=dataset.ground
            )

    print(marked(f"{options.year}: {source.settings()['mosaic']}", source.settings().get(SYNTHETIC)))
    print(summarise(polygons, dataset, footprint, chosen_test=options.test_ids is not None))
    if source.traffic is not None:
        sent, received_mb = source.traffic.requests, source.traffic.received_bytes / 1e6
        print(f"{sent:,} requests sent, {received_mb:,.1f} MB of {footprint.unit}s received")
    print(f"chips in {folder.path / 'img_dir'}, windows in {folder.windows}")
    warn(cautions.of_plan(plan, grid) + cautions.of_polygons(polygons.all) + cautions.of_labels(dataset.windows))
    if failures(dataset.windows):
        print(
            f"error: {failures(dataset.windows)} windows lost to failed downloads; run the same command again",
            file=sys.stderr,
        )
        return cli.INCOMPLETE
    return cli.DONE


def say_plan(options: argparse.Namespace) -> int:
    """Say what the years would take, and fetch nothing."""
    workspace = cli.workspace(options)
    years, polygons = [], None
    for year in options.years:
        options.year = year
        with open_imagery(options, workspace) as source:
            if polygons is None:
                # The same for all years, whose imagery is of the same kind.
                polygons, plan = planned(options, workspace, source.grid)
                told = cautions.of_plan(plan, source.grid) + cautions.of_polygons(polygons.all)
            left = uncut(plan, workspace.year(year), masks=year == options.label_year)
            forecast = source.forecast(as_windows(plan), left)
            years.append(YearPlan(year, plan["side_px"].to_numpy(), source.grid.pixel_m, left, forecast))
    if options.label_year in options.years:
        told += cautions.of_labels_to_be(plan, polygons.all)
    print(cost_table(polygons, years, max_rps=options.max_rps, bandwidth_mbit=options.bandwidth))
    warn(told)
    return cli.DONE


def planned(
    options: argparse.Namespace, workspace: Workspace, grid: Grid
) -> tuple[LiteraturePolygons, gpd.GeoDataFrame]:
    """The polygons, and the windows around them."""
    polygons = read_polygons(options.polygons or workspace.polygons)
    test_ids = read_test_ids(options.test_ids, polygons.in_belt["id"])
    plan = plan_windows(polygons.in_belt, grid, test_ids, options.seed)
    if options.native:
        plan = full_resolution(plan, grid)
    return polygons, keep_former_splits(plan, workspace.recorded("splits"), test_ids, options.seed)


def warn(told: Iterable[str]) -> None:
    """Say what is most likely not what was meant, a line each."""
    for line in told:
        print(f"warning: {line}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main, arguments())
