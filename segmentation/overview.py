"""A picture of what was seen and found, year by year: ``python -m segmentation.overview --years 2017 2019 2021 ...``.

A row a window of the test split, and for every year its image with the literature's outline and the predicted one,
beside the probability of mine.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from segmentation.core import cli
from segmentation.core.arguments import Together, a_new_file, a_path
from segmentation.core.errors import DamagedFile, PipelineError
from segmentation.core.figures import pyplot, save_png
from segmentation.core.provenance import INVENTED, SYNTHETIC, differences, marked, say_differences
from segmentation.core.workspace import Workspace, YearFolder
from segmentation.evaluate.draw.pictures import (
    PREDICTED_COLOUR,
    REFERENCE_COLOUR,
    ground_km,
    outline_legend,
    show_chip,
    show_outlines,
    show_probability,
)
from segmentation.geo.grid import CRS
from segmentation.geo.metadata import read_provenance
from segmentation.polygons.literature import read_polygons
from segmentation.predict.runs import find_run
from segmentation.windows.record import read_windows
from segmentation.windows.statuses import WRITTEN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL_INCH = 1.9


@dataclass(frozen=True)
class YearView:
    """What a year contributes to the picture: where its files are, how they were made, and the outlines (EPSG:3857)."""

    year: int
    made: dict[str, str]
    windows: gpd.GeoDataFrame
    predicted: gpd.GeoDataFrame
    literature: gpd.GeoDataFrame


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.Parser(prog="python -m segmentation.overview", description=__doc__)
    cli.model_options(cli.workspace_options(parser))
    parser.add_argument(
        "--years",
        type=cli.years,
        nargs="+",
        action=Together,
        required=True,
        metavar="YEARS",
        help="years to show, such as 2017 2019-2021 or 2017,2019",
    )
    parser.add_argument(
        "--polygons",
        type=a_path,
        metavar="FILE",
        help="literature's, FILE or FILE:LAYER (default: the workspace's)",
    )
    parser.add_argument("--rows", type=cli.positive, default=6, help="windows to show (default: %(default)s)")
    parser.add_argument(
        "-o", "--output", type=a_new_file, metavar="PNG", help="(default: overview.png in the workspace)"
    )
    return parser


def arguments() -> argparse.Namespace:
    """What was typed."""
    return parser().parse_args()


def main(options: argparse.Namespace) -> int:
    """Draw the picture."""
    workspace = cli.workspace(options)
    kept = {run for year in options.years for run in workspace.year(year).kept_runs()}
    run = find_run(options.model, options.iter, options.config, options.checkpoint, kept)
    literature = read_polygons(options.polygons or workspace.polygons).all.to_crs(CRS)
    views = [_view(workspace, year, run.name, literature) for year in options.years]
    chosen = _common_windows(views)[: options.rows]
    if not chosen:
        raise PipelineError(f"no test window was written in all of {options.years}")
    output = options.output or workspace.root / "overview.png"
    title = _title(views, demo=options.demo)
    _draw(workspace, run.name, views, chosen, output, title)
    if title:
        print(title)
    print(f"{len(chosen)} test windows in {len(views)} years: {output}")
    return cli.DONE


def _view(workspace: Workspace, year: int, run: str, literature: gpd.GeoDataFrame) -> YearView:
    """Read what a year contributes.

    Raises:
        PipelineError: the year has no windows or no predictions.
        DamagedFile: one of the files cannot be read.
    """
    folder = workspace.year(year)
    windows = read_windows(folder.windows, year)
    path = folder.predicted(run)
    if not path.exists():
        raise PipelineError(f"no predictions at {path}: run gpkg_dataset_generation.py -year={year} first")
    made = read_provenance(folder.windows) | read_provenance(path)
    try:
        predicted = gpd.read_file(path, layer="mining_polygons").to_crs(CRS)
    except (DataSourceError, DataLayerError, FeatureError) as error:
        raise DamagedFile(path, str(error), f"run gpkg_dataset_generation.py -year={year} again") from None
    return YearView(year, made, windows.set_index("id"), predicted, literature)


def _title(views: list[YearView], *, demo: bool) -> str:
    """What has to be said of the years: that they are synthetic, and in what they are not to be compared."""
    made = {view.year: view.made for view in views}
    apart = say_differences(differences(made))
    title = f"years made in different ways: {apart}" if apart else ""
    said = [settings[SYNTHETIC] for settings in made.values() if settings.get(SYNTHETIC)]
    synthetic = INVENTED if demo else None
    return marked(title, said[0] if said else synthetic)


def _common_windows(views: list[YearView]) -> list[str]:
    """Test windows written in every year, those with the most mine in the label year first."""
    written_by_year = []
    share: dict[str, float] = {}
    for view in views:
        seen = view.windows[(view.windows["split"] == "test") & (view.windows["status"] == WRITTEN)]
        written_by_year.append(set(seen.index))
        share |= seen["mine_share"].dropna().to_dict()
    common = set.intersection(*written_by_year)
    return sorted(common, key=lambda name: (-share.get(name, 0.0), name))


def _draw(workspace: Workspace, run: str, views: list[YearView], chosen: list[str], output: Path, title: str) -> None:
    """A row a window, and for every year a panel with its image and one with the probability."""
    rows, columns = len(chosen), 2 * len(views)
    figure, axes = pyplot().subplots(
        rows, columns, figsize=(_PANEL_INCH * columns, _PANEL_INCH * rows + 0.6), squeeze=False, layout="constrained"
    )
    for row, name in enumerate(chosen):
        for place, view in enumerate(views):
            image, found = axes[row, 2 * place], axes[row, 2 * place + 1]
            _show_image(image, workspace.year(view.year), view, name)
            show_probability(found, workspace.year(view.year).probability(run, name))
            if row == 0:
                image.set_title(f"{view.year}", fontsize=11, fontweight="bold")
                found.set_title("probability", fontsize=9)
        square = views[-1].windows.loc[name].geometry
        axes[row, 0].set_ylabel(f"{name}\n{ground_km(square):.1f} km", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    legend = outline_legend("literature polygon (label year)")
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    save_png(figure, output, dpi=110)


def _show_image(axis: Axes, folder: YearFolder, view: YearView, name: str) -> None:
    """A window's image of a year, with the outlines of the literature and of the model."""
    window = view.windows.loc[name]
    show_chip(axis, folder.chip(window["split"], name))
    outlines = ((view.literature, REFERENCE_COLOUR, 1.0), (view.predicted, PREDICTED_COLOUR, 1.3))
    for polygons, colour, width in outlines:
        near = polygons[polygons.intersects(window.geometry)]
        show_outlines(axis, near.geometry.to_numpy(), colour, width)


if __name__ == "__main__":
    cli.run(main, arguments())
