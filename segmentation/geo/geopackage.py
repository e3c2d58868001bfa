"""GeoPackages that QGIS opens well, with dates, metadata and a style, and the same bytes every time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from segmentation.core.errors import PipelineError, cannot_write
from segmentation.core.files import whole_file
from segmentation.geo.encoding import GEOMETRY_COLUMN, EncodedRows, encode

if TYPE_CHECKING:
    import pyarrow as pa

# GeoPackages carry the time of writing. A fixed one lets the same input give the same bytes.
_WRITTEN_AT = "2000-01-01T00:00:00.000Z"
_GDAL_OPTIONS = {
    "OGR_CURRENT_DATE": _WRITTEN_AT,
    # No waiting for the disk at every commit: until a file is whole and has its name, nobody needs it.
    "OGR_SQLITE_SYNCHRONOUS": "OFF",
    # Of SQLite's 4 KB pages, polygons of one to four KB leave a fifth empty.
    "OGR_SQLITE_PRAGMA": "page_size=16384",
}
# GDAL keeps Python's lock while it writes a batch: in between, other threads get their turn.
_ROWS_AT_A_TIME = 2_000

# pyogrio's own choice, 1.4, makes the GDAL of older QGIS releases (3.22) warn at every opening.
_VERSION = "1.2"
_CANNOT_WRITE = (DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError)
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
        frame: any CRS; may be empty. Midnights in ``DATE_COLUMNS`` are written as dates. Or what ``encode`` made of it.
        geometry_type: ``MultiPolygon`` (polygons are promoted) or any type that all geometries have.
        style: name of a QML file in ``segmentation/geo/styles``, without the suffix.
    """

    name: str
    frame: gpd.GeoDataFrame | EncodedRows
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
    rows: dict[str, int] = {}
    with whole_file(path) as partial:
        try:
            with _gdal_options():
                for _, portions in groupby(layers, key=lambda layer: layer.name):
                    first, count = _write_layer(partial, portions, metadata)
                    rows[first.name] = rows.get(first.name, 0) + count
                    if first.style:
                        styles[first.name] = first.style
            _write_styles(partial, styles)
            _check_whole(partial, rows)
        except (*_CANNOT_WRITE, sqlite3.Error) as error:
            raise cannot_write(path, error) from None
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
        layers = pyogrio.list_layers(path)
        if not len(layers):
            return {}
        stored = pyogrio.read_info(path, layer=layers[0, 0])["layer_metadata"] or {}
    except (DataSourceError, DataLayerError) as error:
        raise PipelineError(f"cannot read {path}: {error}") from None
    return {name: text for name, text in stored.items() if name not in _GDAL_ITEMS}


def _check_whole(path: Path, rows: Mapping[str, int]) -> None:
    """Make sure that a new file holds the rows of all layers: GDAL does not say what it could not write at the end.

    Raises:
        sqlite3.Error: it does not.
    """
    with closing(sqlite3.connect(path)) as database:
        [pages], [page_bytes] = (database.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
        if pages * page_bytes != path.stat().st_size:
            raise sqlite3.DatabaseError(f"it has {path.stat().st_size} of {pages * page_bytes} bytes")
        for layer, expected in rows.items():
            quoted = layer.replace('"', '""')
            found, shapes = database.execute(f'SELECT count(*), count({GEOMETRY_COLUMN}) FROM "{quoted}"').fetchone()
            if found != expected:
                raise sqlite3.DatabaseError(f"layer {layer} has {found} of {expected} rows")
            # The spatial index comes last; where it has no room, there is none.
            index = f"rtree_{quoted}_{GEOMETRY_COLUMN}_rowid"
            [found] = database.execute(f'SELECT count(*) FROM "{index}"').fetchone()
            if found != shapes:
                raise sqlite3.DatabaseError(f"the index of layer {layer} has {found} of {shapes} rows")


def _write_layer(path: Path, portions: Iterator[Layer], metadata: dict[str, str]) -> tuple[Layer, int]:
    """Write what comes as one layer, portion by portion.

    Returns:
        The first portion, and the number of rows of all.
    """
    # Not GeoDataFrame.to_file: pandas has no column type for days without a time, so it writes no OGR dates.
    import pyarrow as pa

    first = next(portions)
    start = _encoded(first, slice(0))
    stream = _Stream(chain([first], portions))
    description = "\n".join(f"{name}: {text}" for name, text in metadata.items())
    try:
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(start.table.schema, stream),
            path,
            layer=first.name,
            driver="GPKG",
            geometry_name=GEOMETRY_COLUMN,
            geometry_type=first.geometry_type,
            crs=start.crs,
            append=path.exists(),
            # Not of the dataset: GDAL's readers would copy that to an .aux.xml file beside the GeoPackage.
            layer_metadata=metadata or None,
            dataset_options={"VERSION": _VERSION},
            layer_options={"GEOMETRY_NAME": GEOMETRY_COLUMN, "DESCRIPTION": description},
        )
    except Exception:
        # What fails while a portion is made comes back through GDAL as a mere failure to read the stream.
        if stream.failure is not None:
            raise stream.failure from None
        raise
    return first, stream.rows


class _Stream:
    """The rows of a layer, portion by portion, on their way to GDAL.

    Attributes:
        rows: how many have gone so far.
        failure: what stopped them while a portion was made; None if nothing did.
    """

    def __init__(self, portions: Iterable[Layer]):
        self._portions = portions
        self.rows = 0
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for portion in self._portions:
                for batch in _batches(portion):
                    self.rows += batch.num_rows
                    yield batch
        except BaseException as error:
            self.failure = error
            raise


def _batches(layer: Layer) -> Iterator[pa.RecordBatch]:
    rows = layer.frame.table if isinstance(layer.frame, EncodedRows) else layer.frame
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        yield from _encoded(layer, slice(start, start + _ROWS_AT_A_TIME)).table.to_batches()


def _encoded(layer: Layer, rows: slice) -> EncodedRows:
    if isinstance(layer.frame, EncodedRows):
        return EncodedRows(layer.frame.table[rows], layer.frame.crs)
    return encode(layer.frame.iloc[rows], layer.geometry_type)


def _write_styles(path: Path, styles: Mapping[str, str]) -> None:
    if not styles:
        return
    rows = [(layer, GEOMETRY_COLUMN, style, _qml(style), _WRITTEN_AT) for layer, style in styles.items()]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(_CREATE_STYLES.strip())
        database.execute(_REGISTER_STYLES, (_WRITTEN_AT,))
        database.executemany(_INSERT_STYLE, rows)


def _qml(style: str) -> str:
    return files("segmentation.geo").joinpath("styles", f"{style}.qml").read_text(encoding="utf-8")


@contextmanager
def _gdal_options() -> Iterator[None]:
    before = {name: pyogrio.get_gdal_config_option(name) for name in _GDAL_OPTIONS}
    pyogrio.set_gdal_config_options(_GDAL_OPTIONS)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _remove_companions(path: Path) -> None:
    """Remove what SQLite and GDAL may have put beside a GeoPackage."""
    for suffix in ("-journal", "-wal", "-shm", ".aux.xml"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
