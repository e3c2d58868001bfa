"""The panel as GeoPackages: one of all years for QGIS' temporal controller, and one a year as published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas as gpd
import numpy as np
import shapely

from segmentation.core.files import make_folder
from segmentation.core.process.threads import ahead
from segmentation.geo.encoding import StoredRows, encode
from segmentation.geo.geopackage import Layer, write_geopackage
from segmentation.panel.change import changes
from segmentation.panel.history import History, start_history
from segmentation.panel.observed import Observed, observed_share
from segmentation.panel.sites import Sites
from segmentation.panel.tables import add_descent, sites_table
from segmentation.panel.temporal import year_rows

PUBLISHED = ["id", "iso_a3", "country_name", "year", "area", "geometry"]
_POLYGONS = [
    *("id", "site_id", "part", "iso_a3", "country_name", "year", "area", "mean_probability"),
    *("from_ids", "into_ids", "geometry"),
]


def write_year(path: Path, polygons: gpd.GeoDataFrame, metadata: Mapping[str, str]) -> None:
    """Write the polygons of one year with the columns that the study published."""
    kinds = shapely.get_type_id(polygons.geometry.to_numpy())
    kind = "Polygon" if (kinds == shapely.GeometryType.POLYGON).all() else "MultiPolygon"
    layer = Layer("mining_polygons", polygons[PUBLISHED], kind, style="panel_year")
    write_geopackage(path, [layer], metadata)


def write_panel(
    path: Path,
    polygons: gpd.GeoDataFrame,
    years: Sequence[int],
    sites: Sites,
    places: Callable[[], np.ndarray],
    overlaps: np.ndarray,
    observed: Observed,
    metadata: Mapping[str, str],
) -> tuple[History, gpd.GeoDataFrame]:
    """Write ``panel.gpkg``, which takes most of the time: the changes are computed on the way.

    Args:
        path: of the file.
        polygons: of all years, by year, EPSG:4326.
        years: of the panel, ascending.
        sites: that the polygons belong to.
        places: gives (s,) what each site covers in all years together, EPSG:4326; asked from another thread while
            the polygons are being written, so that it may take its time.
        overlaps: (m, 2) rows, polygons of consecutive years that intersect.
        observed: what was looked at.
        metadata: for every layer.

    Returns:
        The sites' history, with their areas and changes, and the sites as from ``tables.sites_table``.
    """
    history = table = None

    def change_rows(folder: Path) -> Iterator[StoredRows]:
        nonlocal history
        history = start_history(polygons, years, sites, observed_share(places(), observed, years))
        yield from changes(polygons, history, partial(_store_change, folder=folder))

    def layers(folder: Path) -> Iterator[Layer]:
        nonlocal table
        changing = ahead(change_rows(folder))
        described = add_descent(polygons, sites, overlaps)
        for rows in year_rows(polygons["year"].to_numpy(), years).values():
            yield Layer("polygons", with_period(described.iloc[rows][_POLYGONS]), style="panel_polygons")
        for change in changing:
            yield Layer("change", change.take(), style="panel_change")
        table = sites_table(polygons, history, places(), overlaps)
        yield Layer("sites", with_period(table, "first_year", "last_year"), style="panel_sites")
        yield Layer("observed", with_period(observed.areas), style="panel_observed")

    # Workers may still be storing rows when something fails: that they are in the way must not hide what it was.
    with TemporaryDirectory(prefix=".changes-", dir=make_folder(path.parent), ignore_cleanup_errors=True) as folder:
        write_geopackage(path, layers(Path(folder)), metadata)
    return history, table


def _store_change(change: gpd.GeoDataFrame, folder: Path) -> StoredRows:
    return encode(with_period(change, "year_to", "year_to")).store(folder)


def with_period(frame: gpd.GeoDataFrame, first: str = "year", last: str = "year") -> gpd.GeoDataFrame:
    """Add ``valid_from`` and ``valid_to``, the first day of one column's year and the last day of another's."""
    start, end = (frame[name].to_numpy("int64") - 1970 for name in (first, last))
    period = {
        "valid_from": start.astype("datetime64[Y]").astype("datetime64[s]"),
        "valid_to": ((end + 1).astype("datetime64[Y]").astype("datetime64[D]") - 1).astype("datetime64[s]"),
    }
    others = [name for name in frame.columns if name != "geometry"]
    return frame.assign(**period)[[*others, *period, "geometry"]]
