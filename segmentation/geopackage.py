"""GeoPackages that QGIS opens well, with dates, metadata and a style, and the same bytes every time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from segmentation.errors import PipelineError
from segmentation.workspace import whole_file

DATE_COLUMNS = ("valid_from", "valid_to")

# GeoPackages carry the time of writing. A fixed one lets the same input give the same bytes.
_WRITTEN_AT = "2000-01-01T00:00:00.000Z"

# pyogrio's own choice, 1.4, makes the GDAL of older QGIS releases (3.22) warn at every opening.
_VERSION = "1.2"
_GEOMETRY_COLUMN = "geom"
_GDAL_ITEMS = ("IDENTIFIER", "DESCRIPTION")  # GDAL's own, mixed into a layer's metadata

# The table in which QGIS looks for a layer's style, with the columns that QGIS itself gives it.
_CREATE_STYLES = """
CREATE TABLE layer_styles (
    "id" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "f_table_catalog" TEXT(256),
    "f_table_schema" TEXT(256),
    "f_table_name" TEXT(256),
    "f_geometry_column" TEXT(256),
    "styleName" TEXT(30),
    "styleQML" TEXT,
    "styleSLD" TEXT,
    "useAsDefault" BOOLEAN,
    "description" TEXT,
    "owner" TEXT(30),
    "ui" TEXT(30),
    "update_time" DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)
"""
_REGISTER_STYLES = """
INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id)
VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?, 0)
"""
_INSERT_STYLE = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,
                          styleQML, styleSLD, useAsDefault, description, owner, ui, update_time)
VALUES ('', '', ?, ?, ?, ?, '', 1, '', '', NULL, ?)
"""


@dataclass(frozen=True)
class Layer:
    """One layer of a GeoPackage.

    Attributes:
        name: of the layer.
        frame: any CRS; may be empty. Midnights in ``DATE_COLUMNS`` are written as dates.
        geometry_type: ``MultiPolygon`` (polygons are promoted) or any type that all geometries have.
        style: name of a QML file in ``segmentation/styles``, without the suffix.
    """

    name: str
    frame: gpd.GeoDataFrame
    geometry_type: str = "MultiPolygon"
    style: str | None = None


def write_geopackage(path: Path, layers: Iterable[Layer], metadata: Mapping[str, str] | None = None) -> None:
    """Write a GeoPackage whole, replacing what was there; the same input gives the same bytes.

    Args:
        path: of the file; its folder is made where needed.
        layers: in the order in which QGIS lists them, at least one. They are taken one at a time, so that a
            generator need not hold them all; one with the name of an earlier one adds to it.
        metadata: texts by name. Every layer carries them: as metadata that ``ogrinfo`` prints, and as a
            description that QGIS shows as the abstract in the layer's properties.

    Raises:
        PipelineError: the file cannot be written.
    """
    metadata = dict(sorted((metadata or {}).items()))
    styles: dict[str, str] = {}
    with whole_file(path) as partial:
        try:
            with _written_at(_WRITTEN_AT):
                for layer in layers:
                    _write_layer(partial, layer, metadata)
                    if layer.style:
                        styles[layer.name] = layer.style
            _write_styles(partial, styles)
        except (DataSourceError, DataLayerError, sqlite3.Error) as error:
            raise PipelineError(f"cannot write {path}: {error}; is the disk full?") from None
        finally:
            _remove_companions(partial)
        # A file that is open in QGIS has a write-ahead log beside it, not to be replayed into this one.
        _remove_companions(path)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata that ``write_geopackage`` stored.

    Raises:
        PipelineError: the file cannot be read.
    """
    try:
        # Asking for a layer keeps pyogrio from warning about there being several.
        layer = pyogrio.list_layers(path)[0, 0]
        stored = pyogrio.read_info(path, layer=layer)["layer_metadata"] or {}
    except DataSourceError as error:
        raise PipelineError(f"cannot read {path}: {error}") from None
    return {name: text for name, text in stored.items() if name not in _GDAL_ITEMS}


def _write_layer(path: Path, layer: Layer, metadata: dict[str, str]) -> None:
    # Not GeoDataFrame.to_file: pandas has no column type for days without a time, so it writes no OGR dates.
    attributes = layer.frame.drop(columns=layer.frame.geometry.name)
    description = "\n".join(f"{name}: {text}" for name, text in metadata.items())
    columns = [_field(attributes[name]) for name in attributes]
    pyogrio.raw.write(
        path,
        shapely.to_wkb(shapely.force_2d(layer.frame.geometry.to_numpy())),
        field_data=[values for values, _ in columns],
        field_mask=[null for _, null in columns],
        fields=list(attributes.columns),
        layer=layer.name,
        driver="GPKG",
        geometry_type=layer.geometry_type,
        promote_to_multi=layer.geometry_type.startswith("Multi"),
        crs=_crs(layer.frame),
        append=path.exists(),
        # Not of the dataset: GDAL's readers would copy that to an .aux.xml file beside the GeoPackage.
        layer_metadata=metadata or None,
        dataset_options={"VERSION": _VERSION},
        layer_options={"GEOMETRY_NAME": _GEOMETRY_COLUMN, "DESCRIPTION": description},
    )


def _field(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """A column's values as OGR takes them, and where they are null."""
    null = column.isna().to_numpy()
    if column.name in DATE_COLUMNS:
        return pd.to_datetime(column).to_numpy("datetime64[D]"), null
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        numpy_type = getattr(column.dtype, "numpy_dtype", column.dtype)
        return column.mask(null, 0).to_numpy(numpy_type), null
    if pd.api.types.is_datetime64_dtype(column):
        return column.to_numpy(), null
    return column.astype(object).where(~null, None).to_numpy(object), null


def _crs(frame: gpd.GeoDataFrame) -> str:
    code = frame.crs.to_epsg()
    return f"EPSG:{code}" if code else frame.crs.to_wkt()


def _write_styles(path: Path, styles: Mapping[str, str]) -> None:
    if not styles:
        return
    rows = [(layer, _GEOMETRY_COLUMN, style, _qml(style), _WRITTEN_AT) for layer, style in styles.items()]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(_CREATE_STYLES.strip())
        database.execute(_REGISTER_STYLES, (_WRITTEN_AT,))
        database.executemany(_INSERT_STYLE, rows)


def _qml(style: str) -> str:
    return files("segmentation").joinpath("styles", f"{style}.qml").read_text(encoding="utf-8")


@contextmanager
def _written_at(time: str) -> Iterator[None]:
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": time})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _remove_companions(path: Path) -> None:
    """Remove what SQLite and GDAL may have put beside a GeoPackage."""
    for suffix in ("-journal", "-wal", "-shm", ".aux.xml"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
