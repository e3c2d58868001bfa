"""Drawing windows: a chip in natural colours, the probability of mine, outlines on top, all in EPSG:3857."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
import shapely

from segmentation.chips.chip import read_chip
from segmentation.geo.grid import mercator_to_lonlat
from segmentation.imagery.reflectance import NO_DATA as CHIP_NO_DATA
from segmentation.predict.probability import CERTAIN, NO_DATA, read_probability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

REFERENCE_COLOUR, PREDICTED_COLOUR = "#ffffff", "#ff7f0e"
_NOTHING_COLOUR = 0.5
# Reflectance shown as white; the square root lifts the dark forest without bleaching bright tailings.
_WHITE = 0.35


def show_chip(axis: Axes, path: Path) -> None:
    """Show a chip in natural colours; grey where it has no data."""
    dn = read_chip(path)[:3]
    with rasterio.open(path) as chip:
        bounds = chip.bounds
        scale, offset = np.array(chip.scales[:3]), np.array(chip.offsets[:3])
    if (scale == 1).all():
        # An encoding without reflectance: as bright as it comes.
        scale = scale * _WHITE / 255
    reflectance = dn * scale[:, None, None] + offset[:, None, None]
    picture = np.sqrt(np.clip(reflectance / _WHITE, 0, 1)).transpose(1, 2, 0)
    picture[(dn == CHIP_NO_DATA).all(axis=0)] = _NOTHING_COLOUR
    extent = (bounds.left, bounds.right, bounds.bottom, bounds.top)
    axis.imshow(picture, extent=extent, interpolation="antialiased")
    _frame(axis, extent)


def show_probability(axis: Axes, path: Path) -> AxesImage:
    """Show the probability of mine, black to light; grey where there is no data."""
    values = read_probability(path)
    with rasterio.open(path) as file:
        bounds = file.bounds
    extent = (bounds.left, bounds.right, bounds.bottom, bounds.top)
    shown = np.ma.masked_equal(values, NO_DATA) / CERTAIN
    image = axis.imshow(shown, extent=extent, vmin=0, vmax=1, cmap="magma", interpolation="antialiased")
    axis.set_facecolor(str(_NOTHING_COLOUR))
    _frame(axis, extent)
    return image


def show_outlines(axis: Axes, polygons_3857: np.ndarray, colour: str, width: float, *, seam: bool = True) -> None:
    """Draw the rings of polygons, width in points; the thin dark seam keeps them visible on bright ground."""
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import withStroke

    lines = shapely.get_parts(shapely.boundary(np.asarray(polygons_3857, dtype=object)))
    effects = [withStroke(linewidth=width + 0.8, foreground="#00000090")] if seam else []
    paths = [shapely.get_coordinates(line) for line in lines]
    axis.add_collection(
        LineCollection(paths, colors=colour, linewidths=width, path_effects=effects, joinstyle="round"), autolim=False
    )


def outline_legend(reference: str, predicted: str = "predicted polygon") -> list:
    """Handles for a legend of the two outlines."""
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    dark = [withStroke(linewidth=3, foreground="black")]
    return [
        Line2D([], [], color=REFERENCE_COLOUR, lw=1.6, path_effects=dark, label=reference),
        Line2D([], [], color=PREDICTED_COLOUR, lw=1.8, label=predicted),
    ]


def ground_km(square_3857: shapely.Polygon) -> float:
    """Width of a window on the ground: Web Mercator stretches lengths by 1 / cos(latitude)."""
    west, south, east, north = square_3857.bounds
    _, latitude_deg = mercator_to_lonlat((west + east) / 2, (south + north) / 2)
    return (east - west) * float(np.cos(np.radians(latitude_deg))) / 1000


def _frame(axis: Axes, extent: tuple[float, float, float, float]) -> None:
    """Show just the extent (left, right, bottom, top), without ticks."""
    left, right, bottom, top = extent
    axis.set_xlim(left, right)
    axis.set_ylim(bottom, top)
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])
