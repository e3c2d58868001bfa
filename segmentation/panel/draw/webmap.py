"""The panel as a map in one HTML file, with a year slider: it opens in any browser, from disk, without a network.

Bokeh draws it; its scripts lie in the file, and the background is Natural Earth's countries instead of tiles.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.core.files import whole_file
from segmentation.core.provenance import marked
from segmentation.geo.grid import CRS as MERCATOR
from segmentation.panel.draw.content import (
    DETAIL_M,
    MapContent,
    choose_content,
    mark_columns,
    mark_rows,
    outline_columns,
    outline_rows,
    places_to_go,
    rings,
    titles,
    view,
)
from segmentation.panel.sites import ABSENT, MINE, NOT_OBSERVED, UNKNOWN, History

if TYPE_CHECKING:
    from bokeh.models import CDSView, Column, ColumnDataSource
    from bokeh.plotting import figure as Figure

_LAND_DETAIL_DEG = 0.1
_LAND_UNIT_M = 1_000
_COLOURS = {MINE: "#d95f0e", ABSENT: "#ffffff", NOT_OBSERVED: "#8c6bb1", UNKNOWN: "#bbbbbb"}
_MEANING = {
    MINE: "mine",
    ABSENT: "looked at, no mine found",
    NOT_OBSERVED: "not observed: nobody looked",
    UNKNOWN: "no mine known; what was looked at is not known",
}
_DOT = (
    ' <span style="display:inline-block;width:10px;height:10px;margin:0 3px 0 10px;border-radius:6px;'
    'border:1px solid #444;background:{colour}"></span>'
)
_SEA, _LAND, _BORDER = "#eaf2f7", "#f7f4ec", "#b5ad9a"

# Shows a year: every source keeps all years, a filter the rows of one.
_ON_YEAR = """
const year = slider.value
outlines.indices = outline_rows[year] ?? []
marks.indices = mark_rows[year] ?? []
title.text = titles[year]
"""
_ON_PLACE = """
const [west, east, south, north] = places[cb_obj.value]
const height = Math.max(north - south, (east - west) * y_range_ratio)
const middle_x = (west + east) / 2, middle_y = (south + north) / 2
x_range.setv({start: middle_x - height / y_range_ratio / 2, end: middle_x + height / y_range_ratio / 2})
y_range.setv({start: middle_y - height / 2, end: middle_y + height / 2})
"""


def write_map(
    path: Path,
    *,
    polygons: gpd.GeoDataFrame,
    sites: gpd.GeoDataFrame,
    history: History,
    by_country: pd.DataFrame,
    countries: gpd.GeoDataFrame,
    synthetic: str | None = None,
) -> None:
    """Write the map.

    Args:
        path: of the HTML file.
        polygons: of all years, by year, EPSG:4326, with ``history.sites`` as their sites.
        sites: as from ``tables.sites_table``.
        history: of the sites.
        by_country: as from ``tables.country_years``.
        countries: as from ``countries.read_countries``, the background.
        synthetic: what the files say of synthetic imagery; None for real imagery.
    """
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    content = choose_content(polygons, sites, history)
    title = "Mining areas by year"
    layout = _layout(content, by_country, countries, marked("", synthetic))
    page = file_html(layout, INLINE, title=f"{title} (synthetic)" if synthetic else title)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _layout(content: MapContent, by_country: pd.DataFrame, countries: gpd.GeoDataFrame, warning: str) -> Column:
    from bokeh.layouts import column, row
    from bokeh.models import CategoricalSlider, CDSView, ColumnDataSource, CustomJS, Div, IndexFilter, Select

    years = [str(year) for year in content.history.years]
    outlines, marks = ColumnDataSource(outline_columns(content)), ColumnDataSource(mark_columns(content))
    rows = {"outline_rows": outline_rows(content), "mark_rows": mark_rows(content)}
    # Named as the scripts name them.
    filters = {
        "outlines": IndexFilter(rows["outline_rows"][years[-1]]),
        "marks": IndexFilter(rows["mark_rows"][years[-1]]),
    }
    views = {name: CDSView(filter=of_year) for name, of_year in filters.items()}
    figure = _figure(content, countries)
    _draw_outlines(figure, outlines, views["outlines"])
    _draw_marks(figure, marks, views["marks"])

    by_year = titles(by_country, warning)
    title = Div(text=by_year[years[-1]], styles={"font-size": "15px"}, name="title")
    slider = CategoricalSlider(categories=years, value=years[-1], title="year", width=420, name="year")
    shown = {"slider": slider, "title": title} | filters | rows | {"titles": by_year}
    slider.js_on_change("value", CustomJS(args=shown, code=_ON_YEAR))
    places = places_to_go(content)
    place = Select(title="go to", options=list(places), value="all sites", width=300, name="place")
    ranges = {"x_range": figure.x_range, "y_range": figure.y_range, "places": places, "y_range_ratio": 0.5}
    place.js_on_change("value", CustomJS(args=ranges, code=_ON_PLACE))
    note = Div(text=_note(content), styles={"color": "#555", "font-size": "12px"})
    return column(title, row(slider, place), figure, note, sizing_mode="stretch_width")


def _figure(content: MapContent, countries: gpd.GeoDataFrame) -> Figure:
    from bokeh.models import Range1d
    from bokeh.plotting import figure as new_figure

    west, south, east, north = view(content.sites.total_bounds)
    figure = new_figure(
        x_range=Range1d(west, east),
        y_range=Range1d(south, north),
        x_axis_type="mercator",
        y_axis_type="mercator",
        match_aspect=True,
        height=620,
        sizing_mode="stretch_width",
        name="map",
        tools="pan,wheel_zoom,box_zoom,reset",
        active_scroll="wheel_zoom",
        background_fill_color=_SEA,
    )
    figure.grid.visible = False
    xs, ys = rings(_land(countries), _LAND_UNIT_M)
    figure.multi_polygons(xs, ys, fill_color=_LAND, line_color=_BORDER, line_width=0.7)
    xs, ys = rings(shapely.simplify(content.sites.geometry.to_numpy(), DETAIL_M))
    figure.multi_polygons(xs, ys, fill_color=None, line_color="#5f5846", line_dash="dashed")
    return figure


def _land(countries: gpd.GeoDataFrame) -> np.ndarray:
    """The countries' polygons as far as Web Mercator shows them well, simplified: (n,) Polygons, EPSG:3857."""
    clipped = countries.clip_by_rect(-180, -60, 180, 75)
    parts = clipped.simplify(_LAND_DETAIL_DEG).explode()
    land = parts[~parts.is_empty & (parts.geom_type == "Polygon")]
    return land.to_crs(MERCATOR).to_numpy()


def _draw_outlines(figure: Figure, source: ColumnDataSource, view: CDSView) -> None:
    from bokeh.models import HoverTool

    drawn = figure.multi_polygons(
        "xs", "ys", source=source, view=view, fill_color=_COLOURS[MINE], fill_alpha=0.35, line_color="#7f2704"
    )
    figure.add_tools(HoverTool(renderers=[drawn], tooltips=[("site", "@site"), ("country", "@country"), ("ha", "@ha")]))


def _draw_marks(figure: Figure, source: ColumnDataSource, view: CDSView) -> None:
    from bokeh.models import HoverTool
    from bokeh.transform import factor_cmap

    drawn = figure.scatter(
        "x",
        "y",
        size="size",
        source=source,
        view=view,
        fill_color=factor_cmap("status", list(_COLOURS.values()), list(_COLOURS)),
        fill_alpha=0.55,
        line_color="#444444",
        line_width=0.7,
    )
    tips = [("site", "@site"), ("country", "@country"), ("this year", "@status"), ("ha", "@ha"), ("seen", "@seen")]
    figure.add_tools(HoverTool(renderers=[drawn], tooltips=tips))


def _note(content: MapContent) -> str:
    total, shown = len(content.history.sites), len(content.sites)
    which = "All" if shown == total else f"The {shown:,} largest of"
    present = np.unique(content.history.status[content.chosen])
    shown_colours = {status: colour for status, colour in _COLOURS.items() if status in present}
    marks = "".join(_DOT.format(colour=colour) + _MEANING[status] for status, colour in shown_colours.items())
    return (
        f"{which} {total:,} sites; a mark grows with its site's area in the year:{marks}. Zoom in for the outlines of "
        "the year, and dashed what all years cover together. Country borders: Natural Earth."
    )
