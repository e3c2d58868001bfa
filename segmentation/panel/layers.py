"""The panel as GeoPackages: one of all years for QGIS' temporal controller, and one a year as published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas as gpd
import numpy as np
import shapely

from segmentation.core.files import make_folder
from segmentation.geo.encoding import StoredRows, encode
from segmentation.geo.geopackage import Layer, write_geopackage
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


@contextmanager
def changes_on_disk(folder: Path) -> Iterator[Callable[[gpd.GeoDataFrame], StoredRows]]:
    """Give what puts changes on disk until they are written: those of a large panel do not fit into memory.

    Args:
        folder: in which a hidden folder is made for them, and removed at the end.

    Returns:
        What ``change.follow_sites`` is to do with a portion of them; it can be pickled.
    """
    # Workers may still be storing rows when something fails: that they are in the way must not hide what it was.
    with TemporaryDirectory(prefix=".changes-", dir=make_folder(folder), ignore_cleanup_errors=True) as temporary:
        yield partial(_store_changes, folder=Path(temporary))


def _store_changes(changes: gpd.GeoDataFrame, folder: Path) -> StoredRows:
    return encode(with_period(changes, "year_to", "year_to")).store(folder)


def write_panel(
    path: Path,
    *,
    polygons: gpd.GeoDataFrame,
    changes: Iterable[StoredRows],
    sites: gpd.GeoDataFrame,
    observed: gpd.GeoDataFrame,
    metadata: Mapping[str, str],
) -> None:
    """Write ``panel.gpkg``.

    Args:
        path: of the file.
        polygons: of all years, by year, as from ``tables.add_descent``.
        changes: from ``change.follow_sites``, stored by ``changes_on_disk``; their files are gone afterwards.
        sites: as from ``tables.sites_table``.
        observed: what was looked at, ``Observed.areas``.
        metadata: for every layer.
    """

    def layers() -> Iterator[Layer]:
        year = polygons["year"].to_numpy()
        for rows in year_rows(year, np.unique(year).tolist()).values():
            yield Layer("polygons", with_period(polygons.iloc[rows][_POLYGONS]), style="panel_polygons")
        for stored in changes:
            yield Layer("change", stored.take(), style="panel_change")
        yield Layer("sites", with_period(sites, "first_year", "last_year"), style="panel_sites")
        yield Layer("observed", with_period(observed), style="panel_observed")

    write_geopackage(path, layers(), metadata)


def with_period(frame: gpd.GeoDataFrame, first: str = "year", last: str = "year") -> gpd.GeoDataFrame:
    """Add ``valid_from`` and ``valid_to``, the first day of one column's year and the last day of another's."""
    first_year = (frame[first].to_numpy("int64") - 1970).astype("datetime64[Y]")
    year_after = (frame[last].to_numpy("int64") - 1970 + 1).astype("datetime64[Y]")
    last_day = year_after.astype("datetime64[D]") - 1
    period = {"valid_from": first_year.astype("datetime64[s]"), "valid_to": last_day.astype("datetime64[s]")}
    others = [name for name in frame.columns if name != "geometry"]
    return frame.assign(**period)[[*others, *period, "geometry"]]
