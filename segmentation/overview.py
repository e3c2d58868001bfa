"""A picture of what was seen and found, year by year: ``python -m segmentation.overview --years 2017 2019 2021 ...``.

A row a window of the test split, and for every year its image with the literature's outline and the predicted one,
beside the probability of mine.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely

from segmentation import cli
from segmentation.errors import PipelineError
from segmentation.grid import CRS, mercator_to_lonlat
from segmentation.model import find_run
from segmentation.polygons import read_polygons
from segmentation.probabilities import CERTAIN, NO_DATA, read_probability
from segmentation.windows import WRITTEN, read_windows
from segmentation.workspace import Workspace, whole_file

LITERATURE_COLOUR, PREDICTED_COLOUR = "#ffffff", "#ff7f0e"
# Reflectance shown as white; the square root lifts the dark forest without bleaching bright tailings.
_WHITE = 0.35
_PANEL_INCH = 1.9


@dataclass(frozen=True)
class YearView:
    """What a year contributes to the picture: where its files are, and the outlines (EPSG:3857)."""

    year: int
    windows: gpd.GeoDataFrame
    predicted: gpd.GeoDataFrame
    literature: gpd.GeoDataFrame


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(prog="python -m segmentation.overview", description=__doc__)
    cli.model_options(cli.workspace_options(parser))
    parser.add_argument("--years", type=cli.year, nargs="+", required=True, metavar="YEAR", help="years to show")
    parser.add_argument("--polygons", type=Path, metavar="FILE", help="literature polygons (default: the workspace's)")
    parser.add_argument("--rows", type=cli.positive, default=6, help="windows to show (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, metavar="PNG", help="(default: overview.png in the workspace)")
    return parser.parse_args()


def main(options: argparse.Namespace) -> int:
    """Draw the picture."""
    workspace = cli.workspace(options)
    run = find_run(options.model, options.iter, options.config, options.checkpoint)
    literature = read_polygons(options.polygons or workspace.polygons).all.to_crs(CRS)
    views = [_view(workspace, year, run.name, literature) for year in options.years]
    chosen = _common_windows(views)[: options.rows]
    if not chosen:
        raise PipelineError(f"no test window was written in all of {options.years}")
    output = options.output or workspace.root / "overview.png"
    _draw(workspace, run.name, views, chosen, output)
    print(f"{len(chosen)} test windows in {len(views)} years: {output}")
    return cli.DONE


def _view(workspace: Workspace, year: int, run: str, literature: gpd.GeoDataFrame) -> YearView:
    folder = workspace.year(year)
    windows = read_windows(folder.windows, year)
    path = folder.predicted(run)
    if not path.exists():
        raise PipelineError(f"no predictions at {path}: run gpkg_dataset_generation.py -year={year} first")
    return YearView(year, windows.set_index("id"), gpd.read_file(path, layer="mining_polygons").to_crs(CRS), literature)


def _common_windows(views: list[YearView]) -> list[str]:
    """Test windows written in every year, those with the most mine in the label year first."""
    common = None
    share: dict[str, float] = {}
    for view in views:
        seen = view.windows[(view.windows["split"] == "test") & (view.windows["status"] == WRITTEN)]
        common = set(seen.index) if common is None else common & set(seen.index)
        share |= seen["mine_share"].dropna().to_dict()
    return sorted(common, key=lambda name: (-share.get(name, 0.0), name))


def _draw(workspace: Workspace, run: str, views: list[YearView], chosen: list[str], output: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    rows, columns = len(chosen), 2 * len(views)
    figure, axes = plt.subplots(
        rows, columns, figsize=(_PANEL_INCH * columns, _PANEL_INCH * rows + 0.6), squeeze=False, layout="constrained"
    )
    for row, name in enumerate(chosen):
        for place, view in enumerate(views):
            window = view.windows.loc[name]
            folder = workspace.year(view.year)
            image, found = axes[row, 2 * place], axes[row, 2 * place + 1]
            _show_chip(image, folder.chip(window["split"], name), view, window)
            _show_probability(found, folder.probability(run, name), window)
            if row == 0:
                image.set_title(f"{view.year}", fontsize=11, fontweight="bold")
                found.set_title("probability", fontsize=9)
        axes[row, 0].set_ylabel(f"{name}\n{_ground_km(window.geometry):.1f} km", fontsize=9)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    with whole_file(output) as partial:
        figure.savefig(partial, dpi=110, format="png")
    plt.close(figure)


def _ground_km(square_3857: shapely.Polygon) -> float:
    """Width of a window on the ground: Web Mercator stretches lengths by 1 / cos(latitude)."""
    west, south, east, north = square_3857.bounds
    _, latitude_deg = mercator_to_lonlat((west + east) / 2, (south + north) / 2)
    return (east - west) * float(np.cos(np.radians(latitude_deg))) / 1000


def _legend() -> list:
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    dark = [withStroke(linewidth=3, foreground="black")]
    return [
        Line2D([], [], color=LITERATURE_COLOUR, lw=1.6, path_effects=dark, label="literature polygon (label year)"),
        Line2D([], [], color=PREDICTED_COLOUR, lw=1.8, label="predicted polygon"),
    ]


def _show_chip(axis, path: Path, view: YearView, window) -> None:
    with rasterio.open(path) as chip:
        dn = chip.read([1, 2, 3])
        scale = np.array(chip.scales[:3])[:, None, None]
        reflectance = dn * scale + np.array(chip.offsets[:3])[:, None, None]
        bounds = chip.bounds
    extent = (bounds.left, bounds.right, bounds.bottom, bounds.top)
    picture = np.sqrt(np.clip(reflectance / _WHITE, 0, 1)).transpose(1, 2, 0)
    picture[(dn == 0).all(axis=0)] = 0.5
    axis.imshow(picture, extent=extent, interpolation="nearest")
    for outlines, colour, width in (
        (view.literature, LITERATURE_COLOUR, 1.0),
        (view.predicted, PREDICTED_COLOUR, 1.3),
    ):
        near = outlines[outlines.intersects(window.geometry)]
        if len(near):
            near.boundary.plot(ax=axis, color=colour, linewidth=width)
    _frame(axis, extent)


def _show_probability(axis, path: Path, window) -> None:
    values = read_probability(path)
    shown = np.ma.masked_equal(values, NO_DATA) / CERTAIN
    west, south, east, north = window.geometry.bounds
    axis.imshow(shown, extent=(west, east, south, north), vmin=0, vmax=1, cmap="magma", interpolation="nearest")
    axis.set_facecolor("grey")
    _frame(axis, (west, east, south, north))


def _frame(axis, extent: tuple[float, float, float, float]) -> None:
    axis.set_xlim(extent[:2])
    axis.set_ylim(extent[2:])
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])


if __name__ == "__main__":
    cli.run(main, arguments())
