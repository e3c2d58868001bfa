"""The attribute table of a year's predicted polygons."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import shapely

from segmentation.geo.areas import area_m2
from segmentation.geo.countries import assign_countries

COLUMNS = (
    "id",
    "iso_a3",
    "country_name",
    "year",
    "area",
    "mean_probability",
    "valid_from",
    "valid_to",
    "geometry",
)


def attribute_polygons(polygons: gpd.GeoDataFrame, year: int, countries: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Give predicted polygons their identity, country, area and period.

    Rows come by country code, then from north to south and from west to east, whatever order they came in;
    ``id`` counts them from 1.

    Args:
        polygons: merged polygons in EPSG:4326 with ``mean_probability`` (0 to 1); other columns are dropped.
        year: the year of the imagery.
        countries: as from ``countries.read_countries``.

    Returns:
        ``COLUMNS`` in EPSG:4326: ``area`` in square metres (equal-area, EPSG:6933), ``valid_from`` and
        ``valid_to`` as midnight of the year's first and last day.
    """
    shapes = polygons.geometry.reset_index(drop=True)
    assigned = assign_countries(shapes, countries)
    table = gpd.GeoDataFrame(
        {
            "iso_a3": assigned["iso_a3"],
            "country_name": assigned["country_name"],
            "year": np.full(len(shapes), year, dtype="int32"),
            "area": area_m2(shapes),
            "mean_probability": polygons["mean_probability"].to_numpy("float64"),
            "valid_from": _days(f"{year}-01-01", len(shapes)),
            "valid_to": _days(f"{year}-12-31", len(shapes)),
        },
        geometry=shapes,
        crs=polygons.crs,
    )
    table = table.iloc[_reading_order(table)].reset_index(drop=True)
    table.insert(0, "id", np.arange(1, len(table) + 1, dtype="int64"))
    return table[list(COLUMNS)]


def _reading_order(table: gpd.GeoDataFrame) -> np.ndarray:
    """Positions of the rows by country, north to south, west to east."""
    west, _, _, north = table.bounds.to_numpy().reshape(-1, 4).T
    # Disjoint polygons with the same bounds (two interlocking hooks) still differ in their centre of mass.
    centre = shapely.centroid(table.geometry.to_numpy())
    country = table["iso_a3"].to_numpy(object).astype(str)
    return np.lexsort((shapely.get_x(centre), -shapely.get_y(centre), west, -north, country))


def _days(day: str, n: int) -> np.ndarray:
    return np.full(n, np.datetime64(day, "s"))
