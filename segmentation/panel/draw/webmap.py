"""The panel as a map in one HTML file, with a year slider: it opens in any browser, from disk, without a network.

Bokeh draws it; its scripts lie in the file, and the background is Natural Earth's countries instead of tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.core.files import whole_file
from segmentation.core.provenance import marked
from segmentation.geo.grid import CRS as MERCATOR
from segmentation.panel.history import ABSENT, MINE, NOT_OBSERVED, UNKNOWN, History

if TYPE_CHECKING:
    from bokeh.models import CDSView, Column, ColumnDataSource
    from bokeh.plotting import figure as Figure

# What a browser draws at ease, and what keeps the file at some megabytes.
LARGEST_SITES = 1_500
_DETAIL_M = 5.0
_LAND_DETAIL_DEG = 0.1
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


@dataclass(frozen=True)
class MapContent:
    """What the map shows: the largest sites, their outlines by year, and how many sites there are in all."""

    sites: gpd.GeoDataFrame
    outlines: gpd.GeoDataFrame
    history: History
    chosen: np.ndarray


def write_map(
    path: Path,
    polygons: gpd.GeoDataFrame,
    sites: gpd.GeoDataFrame,
    history: History,
    table: pd.DataFrame,
    countries: gpd.GeoDataFrame,
    synthetic: str | None = None,
) -> None:
    """Write the map.

    Args:
        path: of the HTML file.
        polygons: of all years, by year, EPSG:4326, with ``history.sites`` as their sites.
        sites: as from ``tables.sites_table``.
        history: of the sites, with areas.
        table: as from ``tables.country_years``.
        countries: as from ``countries.read_countries``, the background.
        synthetic: what the files say of synthetic imagery; None for real imagery.
    """
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    content = _choose(polygons, sites, history)
    title = "Mining areas by year"
    layout = _layout(content, table, countries, marked("", synthetic))
    page = file_html(layout, INLINE, title=f"{title} (synthetic)" if synthetic else title)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _choose(polygons: gpd.GeoDataFrame, sites: gpd.GeoDataFrame, history: History) -> MapContent:
    largest = np.lexsort((np.arange(len(sites)), -history.area.max(axis=1)))[:LARGEST_SITES]
    chosen = np.sort(largest)
    shown = np.isin(history.sites.of_polygon, chosen)
    outlines = polygons[shown].assign(site=history.sites.of_polygon[shown]).to_crs(MERCATOR)
    outlines.geometry = shapely.simplify(outlines.geometry.to_numpy(), _DETAIL_M)
    return MapContent(sites.iloc[chosen].to_crs(MERCATOR), outlines, history, chosen)


def _layout(content: MapContent, table: pd.DataFrame, countries: gpd.GeoDataFrame, warning: str) -> Column:
    from bokeh.layouts import column, row
    from bokeh.models import CategoricalSlider, CDSView, CustomJS, Div, IndexFilter, Select

    years = [str(year) for year in content.history.years]
    outlines, outline_rows = _outline_source(content)
    marks, mark_rows = _mark_source(content)
    filters = {"outlines": IndexFilter(outline_rows[years[-1]]), "marks": IndexFilter(mark_rows[years[-1]])}
    views = {name: CDSView(filter=rows) for name, rows in filters.items()}
    figure = _figure(content, countries)
    _draw_outlines(figure, outlines, views["outlines"])
    _draw_marks(figure, marks, views["marks"])

    titles = _titles(table, warning)
    title = Div(text=titles[years[-1]], styles={"font-size": "15px"}, name="title")
    slider = CategoricalSlider(categories=years, value=years[-1], title="year", width=420, name="year")
    rows = {"outline_rows": outline_rows, "mark_rows": mark_rows, "titles": titles}
    slider.js_on_change("value", CustomJS(args={"slider": slider, "title": title} | filters | rows, code=_ON_YEAR))
    places = _places(content)
    place = Select(title="go to", options=list(places), value="all sites", width=300, name="place")
    ranges = {"x_range": figure.x_range, "y_range": figure.y_range, "places": places, "y_range_ratio": 0.5}
    place.js_on_change("value", CustomJS(args=ranges, code=_ON_PLACE))
    note = Div(text=_note(content), styles={"color": "#555", "font-size": "12px"})
    return column(title, row(slider, place), figure, note, sizing_mode="stretch_width")


def _figure(content: MapContent, countries: gpd.GeoDataFrame) -> Figure:
    from bokeh.models import Range1d
    from bokeh.plotting import figure as new_figure

    west, south, east, north = _view(content.sites.total_bounds)
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
    land = countries.clip_by_rect(-180, -60, 180, 75).simplify(_LAND_DETAIL_DEG).explode()
    land = land[~land.is_empty & (land.geom_type == "Polygon")].to_crs(MERCATOR)
    figure.multi_polygons(*_rings(land.to_numpy(), 1000), fill_color=_LAND, line_color=_BORDER, line_width=0.7)
    places = _rings(shapely.simplify(content.sites.geometry.to_numpy(), _DETAIL_M))
    figure.multi_polygons(*places, fill_color=None, line_color="#5f5846", line_dash="dashed")
    return figure


def _view(bounds_3857: np.ndarray) -> tuple[float, float, float, float]:
    """The sites' bounds with a margin, at least some kilometres, twice as wide as high."""
    west, south, east, north = bounds_3857
    height = max(north - south, (east - west) / 2, 5_000) * 1.1
    x, y = (west + east) / 2, (south + north) / 2
    return x - height, y - height / 2, x + height, y + height / 2


def _rings(polygons: np.ndarray, unit: int = 1) -> tuple[list, list]:
    """Polygons as Bokeh's MultiPolygons takes them, x and y: per row a list of polygons, each a list of rings."""
    parts, owner = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    xy = np.round(xy / unit).astype("int64") * unit  # whole metres: short in the file, and finer than a pixel
    nested = []
    for values in xy.T:
        by_ring = [chunk.tolist() for chunk in np.split(values, np.flatnonzero(np.diff(ring)) + 1)]
        nested.append(_nest(_nest(by_ring, part), owner))
    return tuple(nested)


def _nest(items: list, owner: np.ndarray) -> list:
    cuts = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(items)]
    return [items[start:stop] for start, stop in pairwise(cuts)]


def _rows_by_year(years: np.ndarray, all_years: tuple[int, ...]) -> dict[str, list[int]]:
    return {str(year): np.flatnonzero(years == year).tolist() for year in all_years}


def _outline_source(content: MapContent) -> tuple[ColumnDataSource, dict[str, list[int]]]:
    from bokeh.models import ColumnDataSource

    outlines = content.outlines
    xs, ys = _rings(outlines.geometry.to_numpy())
    data = {
        "xs": xs,
        "ys": ys,
        "site": content.history.sites.names[outlines["site"]].tolist(),
        "country": outlines["country_name"].astype(str).tolist(),
        "ha": (outlines["area"] / 1e4).round(2).to_numpy(),
    }
    return ColumnDataSource(data), _rows_by_year(outlines["year"].to_numpy(), content.history.years)


def _mark_source(content: MapContent) -> tuple[ColumnDataSource, dict[str, list[int]]]:
    """A mark a site and year, so that sites can be found on a small map, and those not observed at all."""
    from bokeh.models import ColumnDataSource

    history, sites, k = content.history, content.sites, len(content.history.years)
    inside = shapely.point_on_surface(sites.geometry.to_numpy())
    status = history.status[content.chosen].ravel()
    year = np.tile(history.years, len(sites))
    area = history.area[content.chosen].ravel()
    data = {
        "x": np.repeat(shapely.get_x(inside).round(), k),
        "y": np.repeat(shapely.get_y(inside).round(), k),
        "size": 5 + 11 * np.sqrt(area / max(area.max(), 1)),
        "status": status.tolist(),
        "site": np.repeat(sites["site_id"].to_numpy(), k).tolist(),
        "country": np.repeat(sites["country_name"].astype(str).to_numpy(), k).tolist(),
        "ha": (area / 1e4).round(2),
        "seen": np.repeat(sites["first_year"].astype(str) + " to " + sites["last_year"].astype(str), k).tolist(),
    }
    return ColumnDataSource(data), _rows_by_year(year, history.years)


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


def _titles(table: pd.DataFrame, warning: str) -> dict[str, str]:
    end = f"<br><b>{warning}</b>" if warning else ""
    total = table.groupby("year")[["polygons", "area_km2", "sites_not_observed"]].sum()
    return {
        str(row.Index): f"<b>{row.Index}</b>: {row.polygons:,.0f} mining polygons, {row.area_km2:,.1f} km², "
        f"sites not observed: {row.sites_not_observed:,.0f}{end}"
        for row in total.itertuples()
    }


def _places(content: MapContent) -> dict[str, list[float]]:
    """Where the menu leads: everything, the countries, and the ten largest sites (Web Mercator bounds)."""
    places = {"all sites": content.sites.total_bounds}
    for name, country in content.sites.groupby(content.sites["country_name"].astype(str)):
        places[name or "no country"] = country.total_bounds
    order = np.argsort(-content.history.area[content.chosen].max(axis=1), kind="stable")[:10]
    for site in content.sites.iloc[order].itertuples():
        places[f"site {site.site_id} ({site.country_name})"] = site.geometry.bounds
    return {name: _edges(bounds) for name, bounds in places.items()}


def _edges(bounds: np.ndarray) -> list[float]:
    west, south, east, north = _view(bounds)
    return [round(west), round(east), round(south), round(north)]


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
