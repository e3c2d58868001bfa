"""The panel as a picture: mining area by year in the countries with the most of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from segmentation.core.figures import pyplot, save_png

_SEEN, _UNSEEN, _NONE = "#d95f0e", "#8c6bb1", "#e6e6e6"
_PANELS, _COLUMNS = 9, 3


def plot_countries(table: pd.DataFrame, path: Path, title: str = "") -> None:
    """Draw a panel a country.

    What was seen stands in full bars. Hatched on top is what was not looked at that year, with its area when
    last seen, so that a gap in the imagery does not look like a mine that closed. Years without polygons are grey.

    Args:
        table: as from ``tables.country_years``.
        path: of the PNG.
        title: above all of it; none for none.
    """
    shown = table["area_km2"].fillna(0) + table["not_observed_km2"]
    largest = shown[shown > 0].groupby(table["iso_a3"]).max().nlargest(_PANELS).index
    rows = -(-len(largest) // _COLUMNS)
    figure, axes = pyplot().subplots(
        rows, _COLUMNS, figsize=(10.5, 2.5 * rows + 0.9), squeeze=False, sharex=True, layout="constrained"
    )
    for axis, country in zip(axes.flat, largest, strict=False):
        _draw(axis, table[table["iso_a3"] == country])
    for axis in axes.flat[len(largest) :]:
        axis.set_visible(False)
    # The lowest panel of every column names the years, also where the last row is not full.
    for column in range(_COLUMNS):
        lowest = [axis for axis in axes[:, column] if axis.get_visible()][-1:]
        for axis in lowest:
            axis.tick_params(labelbottom=True)
    if title:
        figure.suptitle(title, fontsize=11)
    figure.supylabel("mining area, km²", fontsize=10)
    figure.legend(handles=_legend(table), loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    save_png(figure, path, dpi=130)


def _draw(axis, country: pd.DataFrame) -> None:
    years = country["year"].to_numpy()
    seen = country["area_km2"].fillna(0).to_numpy()
    axis.bar(years, seen, width=0.8, color=_SEEN)
    unseen = country["not_observed_km2"].to_numpy()
    some = unseen > 0
    axis.bar(years[some], unseen[some], bottom=seen[some], width=0.8, color="white", edgecolor=_UNSEEN, hatch="////")
    for year in _missing(years):
        axis.axvspan(year - 0.5, year + 0.5, color=_NONE, linewidth=0)
    name = country["country_name"].iloc[0] or "no country"
    axis.set_title(f"{name} ({country['iso_a3'].iloc[0] or '-'})", fontsize=10, loc="left")
    axis.set_xlim(years.min() - 0.6, years.max() + 0.6)
    axis.set_xticks(np.arange(years.min(), years.max() + 1))
    axis.set_xticklabels([f"’{year % 100:02d}" for year in axis.get_xticks().astype(int)])
    axis.set_ylim(0, 1.08 * (seen + unseen).max())
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _missing(years: np.ndarray) -> np.ndarray:
    return np.setdiff1d(np.arange(years.min(), years.max() + 1), years)


def _legend(table: pd.DataFrame) -> list:
    from matplotlib.patches import Patch

    handles = [Patch(color=_SEEN, label="seen")]
    if (table["not_observed_km2"] > 0).any():
        label = "not observed: area when last (or first) seen"
        handles.append(Patch(facecolor="white", edgecolor=_UNSEEN, hatch="////", label=label))
    if len(_missing(table["year"].to_numpy())):
        handles.append(Patch(color=_NONE, label="year without polygons"))
    return handles
