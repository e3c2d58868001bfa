"""Where it works and where it fails, to look at: the best, median and worst windows, and a page a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np

from segmentation.chips.mask import IGNORE, MINE
from segmentation.core.figures import pyplot, save_png
from segmentation.evaluate.compare import in_processes, read_pair
from segmentation.evaluate.draw.pictures import (
    PREDICTED_COLOUR,
    REFERENCE_COLOUR,
    ground_km,
    outline_legend,
    show_chip,
    show_outlines,
    show_probability,
)
from segmentation.evaluate.inputs import Pair
from segmentation.evaluate.objects import outline
from segmentation.geo.grid import Grid
from segmentation.predict.outlines.join import to_mercator
from segmentation.predict.probability import NO_DATA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

EACH = 3
_KINDS = ("best", "median", "worst")
_ACROSS = 3  # windows in a row of the contact sheet
_PANEL_INCH, _GAP_INCH, _CAPTION_INCH = 2.15, 0.1, 0.24
_LEFT_INCH, _TOP_INCH, _BOTTOM_INCH = 0.32, 0.3, 0.38


@dataclass(frozen=True)
class View:
    """A window to draw: where its files are, and what is written beside it."""

    name: str
    chip: Path
    pair: Pair
    grid: Grid
    level: int
    caption: str
    figures: str


def views(table: gpd.GeoDataFrame, pairs: Sequence[Pair], chips: Sequence[Path], grid: Grid, level: int) -> list[View]:
    """Every compared window as it is to be drawn.

    Args:
        table: from ``judge``, a row a window.
        pairs: of the same windows.
        chips: of the same windows.
        grid: that they were cut from.
        level: the least encoded probability that is called mine.
    """
    shown = []
    for row, pair, chip in zip(table.itertuples(), pairs, chips, strict=True):
        figures = f"IoU {row.iou:.2f}, precision {row.precision:.2f}, recall {row.recall:.2f}"
        view = View(
            name=row.id,
            chip=chip,
            pair=pair,
            grid=grid,
            level=level,
            caption=f"{row.id}, {row.iso_a3}, {ground_km(row.geometry):.1f} km",
            # A measure that is not defined.
            figures=figures.replace("nan", "-"),
        )
        shown.append(view)
    return shown


def best_median_worst(iou: np.ndarray, each: int = EACH) -> dict[str, np.ndarray]:
    """Positions of the windows with the highest, middle and lowest IoU, descending; few windows are divided in three.

    Args:
        iou: (n,) float64; windows in which it is not defined (no mine in either) are left out.
        each: how many of a kind.
    """
    ranked = np.argsort(-iou, kind="stable")[: np.isfinite(iou).sum()]
    if len(ranked) <= 3 * each:
        return dict(zip(_KINDS, np.array_split(ranked, 3), strict=True))
    middle = (len(ranked) - each) // 2
    return dict(zip(_KINDS, (ranked[:each], ranked[middle : middle + each], ranked[-each:]), strict=True))


def draw_sheet(chosen: Mapping[str, Sequence[View]], title: str, path: Path) -> None:
    """Draw the contact sheet: of each window the image with both outlines, and the probability with the reference.

    Args:
        chosen: windows by kind.
        title: of the picture.
        path: of the PNG.
    """
    rows = []
    for kind, views_of_kind in chosen.items():
        for start in range(0, len(views_of_kind), _ACROSS):
            rows.append((kind, views_of_kind[start : start + _ACROSS]))
    width_inch = _LEFT_INCH + _ACROSS * (2 * _PANEL_INCH + _GAP_INCH)
    height_inch = _TOP_INCH + len(rows) * (_PANEL_INCH + _CAPTION_INCH) + _BOTTOM_INCH
    figure = pyplot().figure(figsize=(width_inch, height_inch))
    for number, (kind, in_row) in enumerate(rows):
        bottom_inch = height_inch - _TOP_INCH - (number + 1) * (_PANEL_INCH + _CAPTION_INCH)
        x, y = 0.15 / width_inch, (bottom_inch + _PANEL_INCH / 2) / height_inch
        figure.text(x, y, kind, fontsize=12, fontweight="bold", rotation=90, ha="center", va="center")
        for column, view in enumerate(in_row):
            left_inch = _LEFT_INCH + column * (2 * _PANEL_INCH + _GAP_INCH)
            image = _add_panel(figure, left_inch, bottom_inch)
            found = _add_panel(figure, left_inch + _PANEL_INCH, bottom_inch)
            _show(view, image, found)
            image.set_title(view.caption, fontsize=8.5, loc="left", pad=3)
            found.set_title(view.figures, fontsize=7.5, loc="right", pad=3)
    _finish(figure, title, path)


def _add_panel(figure: Figure, left_inch: float, bottom_inch: float) -> Axes:
    """A square panel of the sheet, a little narrower than its place."""
    width_inch, height_inch = figure.get_size_inches()
    size = (0.985 * _PANEL_INCH / width_inch, _PANEL_INCH / height_inch)
    return figure.add_axes((left_inch / width_inch, bottom_inch / height_inch, *size))


def draw_pages(shown: Sequence[View], title: str, folder: Path, workers: int, *, quiet: bool = False) -> None:
    """Draw a page a window, ``ID.png``, in parallel processes.

    Args:
        shown: the windows.
        title: of every page; what is drawn is added.
        folder: of the PNGs.
        workers: processes.
        quiet: no progress bar.
    """
    in_processes(partial(_draw_page, title=title, folder=folder), shown, workers, "pages", quiet=quiet)


def _draw_page(view: View, title: str, folder: Path) -> None:
    figure, axes = pyplot().subplots(1, 3, figsize=(15, 5.9), layout="constrained")
    show_chip(axes[0], view.chip)
    image = _show(view, axes[1], axes[2])
    for axis, text in zip(axes, ("image", "outlines", "probability"), strict=True):
        axis.set_title(text, fontsize=10, loc="left")
    figure.colorbar(image, ax=axes[2], shrink=0.8, pad=0.02)
    _finish(figure, f"{view.caption}: {view.figures}\n{title}", folder / f"{view.name}.png")


def _show(view: View, image: Axes, found: Axes) -> AxesImage:
    """Image with both outlines, and probability with the reference's."""
    mask, probability = read_pair(view.pair)
    known = (mask != IGNORE) & (probability != NO_DATA)
    reference = to_mercator(outline(known & (mask == MINE), view.pair), view.grid)
    predicted = to_mercator(outline(known & (probability >= view.level), view.pair), view.grid)
    show_chip(image, view.chip)
    # The wider one below, so that both are seen where they agree.
    show_outlines(image, reference, REFERENCE_COLOUR, 2.0)
    show_outlines(image, predicted, PREDICTED_COLOUR, 1.2, seam=False)
    shown = show_probability(found, view.pair.probability)
    show_outlines(found, reference, REFERENCE_COLOUR, 0.8)
    return shown


def _finish(figure: Figure, title: str, path: Path) -> None:
    """Add title and legend, and write the picture."""
    if figure.get_layout_engine():
        title_y, place = None, "outside lower center"
    else:
        title_y, place = 1 - 0.06 / figure.get_figheight(), "lower center"
    figure.suptitle(title, fontsize=11, y=title_y)
    handles = outline_legend("reference", "prediction")
    figure.legend(handles=handles, loc=place, ncols=2, frameon=False, fontsize=10)
    save_png(figure, path, dpi=100)
