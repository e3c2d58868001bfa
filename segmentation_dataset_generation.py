"""Step 1: from mining polygons and satellite imagery to an MMSegmentation dataset of one year."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from segmentation import cli
from segmentation.api_key import find_api_key
from segmentation.chips import PUBLISHED, STRETCH
from segmentation.dataset import cut_windows, uncut
from segmentation.demo import DEMO_KEY, standin
from segmentation.demo.inputs import write_demo_polygons
from segmentation.grid import Grid
from segmentation.mosaics import LABEL_YEAR, candidate_mosaics, default_mosaic
from segmentation.planet import API_URL, PlanetClient
from segmentation.planet_imagery import WHOLE_QUADS, WINDOWS_ONLY, PlanetImagery
from segmentation.polygons import read_polygons
from segmentation.splits import SEED, read_test_ids
from segmentation.summary import announce, failures, summarise
from segmentation.windows import as_windows, full_resolution, plan_windows, splits_fingerprint, write_windows
from segmentation.workspace import Workspace, keep_settings


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = cli.common_options(cli.Parser(description=__doc__))
    parser.add_argument(
        "--polygons",
        type=Path,
        metavar="FILE",
        help="mining polygons, any OGR format and CRS (default: mining_polygons_combined.gpkg in the workspace)",
    )
    parser.add_argument("--mosaic", metavar="NAME", help="Planet mosaic (default: the one that shows the year)")
    parser.add_argument(
        "--cloud-free",
        action="store_true",
        help="take each quad from the least cloudy of the year's mosaics, as the study (default: one mosaic)",
    )
    parser.add_argument(
        "--fetch",
        choices=[WHOLE_QUADS, WINDOWS_ONLY],
        default=WHOLE_QUADS,
        help="whole quads, or by range requests only the blocks that windows need (default: %(default)s)",
    )
    parser.add_argument(
        "--discard-quads", action="store_true", help="remove each quad once its windows are cut (default: keep it)"
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
    parser.add_argument(
        "--api-url",
        default=os.environ.get("PL_API_URL", API_URL),
        metavar="URL",
        help="Planet's Basemaps API, or one like it (default: PL_API_URL, else %(default)s)",
    )
    parser.add_argument(
        "--max-rps", type=float, default=5.0, metavar="N", help="requests a second at most (default: %(default)s)"
    )
    parser.add_argument(
        "--tries", type=cli.positive, default=8, metavar="N", help="tries of a failing request (default: %(default)s)"
    )
    return parser.parse_args()


def main(options: argparse.Namespace) -> int:
    """Polygons to windows, windows to quads, quads to chips and masks."""
    workspace, grid = cli.workspace(options), Grid()
    folder = workspace.year(options.year)
    with imagery(options, workspace) as source:
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

        source.connect(as_windows(plan[uncut(plan, folder, labels is not None)]))
        with folder.locked():
            keep_settings(folder.settings, source.settings() | made_from, "the dataset")
            dataset = cut_windows(plan, source, folder, labels, options.workers, options.encoding, options.quiet)
            quads = source.footprint(as_windows(plan))
            write_windows(folder.windows, dataset.windows, quads, grid, source.settings())

    print(f"{options.year}: {source.settings()['mosaic']}")
    print(summarise(polygons, dataset, quads))
    traffic = source.traffic
    print(f"{traffic.requests:,} requests sent, {traffic.received_bytes / 1e6:,.1f} MB of quads received")
    print(f"chips in {folder.path / 'img_dir'}, windows in {folder.windows}")
    if failures(dataset.windows):
        print(
            f"error: {failures(dataset.windows)} windows lost to failed downloads; run the same command again",
            file=sys.stderr,
        )
        return cli.INCOMPLETE
    return cli.DONE


@contextmanager
def imagery(options: argparse.Namespace, workspace: Workspace) -> Iterator[PlanetImagery]:
    """Planet's mosaic of the year, or the same from the demo's stand-in while the block lasts."""
    mosaic = options.mosaic or default_mosaic(options.year)
    with ExitStack() as stack:
        if options.demo:
            write_demo_polygons(workspace.polygons)
            api_url, key = stack.enter_context(standin(workspace.root / "planet")), lambda: DEMO_KEY
        else:
            api_url, key = options.api_url, find_api_key

        def client() -> PlanetClient:
            return PlanetClient(key(), api_url, options.max_rps, options.tries, options.workers)

        candidates = candidate_mosaics(options.year) if options.cloud_free else ()
        quads = workspace.year(options.year).quads
        fetch, discard = options.fetch, options.discard_quads
        yield PlanetImagery(client, mosaic, quads, candidates, fetch, discard, options.workers, options.quiet)


if __name__ == "__main__":
    cli.run(main, arguments())
