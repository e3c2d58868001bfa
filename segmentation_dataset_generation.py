"""Step 1: from mining polygons and satellite imagery to an MMSegmentation dataset of one year."""

import argparse
import sys
from pathlib import Path

from segmentation import cli
from segmentation.chips import PUBLISHED, STRETCH
from segmentation.dataset import cut_windows, uncut
from segmentation.mosaics import LABEL_YEAR
from segmentation.polygons import read_polygons
from segmentation.sources import add_options, check_options, open_imagery, refuse_mixture
from segmentation.splits import SEED, read_test_ids
from segmentation.summary import announce, failures, summarise
from segmentation.windows import as_windows, full_resolution, plan_windows, splits_fingerprint, write_windows
from segmentation.workspace import keep_settings


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = cli.common_options(cli.Parser(description=__doc__))
    parser.add_argument(
        "--polygons",
        type=Path,
        metavar="FILE",
        help="mining polygons, any OGR format and CRS, or FILE:LAYER (default: the workspace's "
        "mining_polygons_combined.gpkg)",
    )
    parser.add_argument("--plan", action="store_true", help="only say what would be fetched; needs no key")
    parser.add_argument(
        "--label-year",
        type=cli.year,
        default=LABEL_YEAR,
        metavar="YEAR",
        help="the year whose chips get masks (default: %(default)s)",
    )
    parser.add_argument(
        "--test-ids", type=Path, metavar="FILE", help="ids of the polygons to test on, one a line (default: drawn)"
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
    parser.add_argument("--seed", type=int, default=SEED, help="of the random splits (default: %(default)s)")
    offered = add_options(parser)
    options = parser.parse_args()
    check_options(parser, options, offered)
    return options


def main(options: argparse.Namespace) -> int:
    """Polygons to windows, windows to imagery, imagery to chips and masks."""
    workspace = cli.workspace(options)
    folder = workspace.year(options.year)
    with open_imagery(options, workspace) as source:
        grid = source.grid
        polygons = read_polygons(options.polygons or workspace.polygons)
        test_ids = read_test_ids(options.test_ids, polygons.in_belt["id"])
        plan = plan_windows(polygons.in_belt, grid, test_ids, options.seed)
        if options.native:
            plan = full_resolution(plan, grid)
        labels = polygons.all if options.year == options.label_year else None
        made_from = {
            "polygons": polygons.fingerprint,
            "masks": labels is not None,
            "splits": splits_fingerprint(plan),
            "encoding": options.encoding,
        }

        if options.plan:
            print(announce(polygons, len(plan), source.forecast(as_windows(plan)), options.max_rps))
            return cli.DONE

        refuse_mixture(workspace, options.year, source.settings())
        source.connect(as_windows(plan[uncut(plan, folder, labels is not None)]))
        with folder.locked():
            keep_settings(folder.settings, source.settings() | made_from, "the dataset")
            dataset = cut_windows(plan, source, folder, labels, options.workers, options.encoding, options.quiet)
            footprint = source.footprint(as_windows(plan))
            write_windows(folder.windows, dataset.windows, footprint, grid, source.settings())

    print(f"{options.year}: {source.settings()['mosaic']}")
    print(summarise(polygons, dataset, footprint))
    if source.traffic is not None:
        sent, received_mb = source.traffic.requests, source.traffic.received_bytes / 1e6
        print(f"{sent:,} requests sent, {received_mb:,.1f} MB of {footprint.unit}s received")
    print(f"chips in {folder.path / 'img_dir'}, windows in {folder.windows}")
    if failures(dataset.windows):
        print(
            f"error: {failures(dataset.windows)} windows lost to failed downloads; run the same command again",
            file=sys.stderr,
        )
        return cli.INCOMPLETE
    return cli.DONE


if __name__ == "__main__":
    cli.run(main, arguments())
