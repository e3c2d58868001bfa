"""Rows of a layer as GDAL takes them: Arrow columns and WKB, made where there is time, such as in a worker process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.core.errors import PipelineError

if TYPE_CHECKING:
    import pyarrow as pa

# Columns whose midnights are days without a time.
DATE_COLUMNS = ("valid_from", "valid_to")
GEOMETRY_COLUMN = "geom"


@dataclass(frozen=True)
class EncodedRows:
    """Rows of a layer as GDAL takes them: its columns, its geometries as WKB; and their CRS."""

    table: pa.Table
    crs: str

    def store(self, folder: Path) -> StoredRows:
        """Put the rows into a file, by which they get from one process to another in a fifth of a pipe's time.

        Raises:
            PipelineError: the file cannot be written.
        """
        import pyarrow as pa

        try:
            file = NamedTemporaryFile(suffix=".arrow", dir=folder, delete=False)  # noqa: SIM115 - closed below
            with file, pa.ipc.new_file(file, self.table.schema) as writer:
                writer.write_table(self.table)
        except OSError as error:
            raise PipelineError(f"cannot write to {folder}: {error.strerror}; is the disk full?") from None
        return StoredRows(Path(file.name), self.crs)


@dataclass(frozen=True)
class StoredRows:
    """Encoded rows in a file of their own."""

    path: Path
    crs: str

    def take(self) -> EncodedRows:
        """The rows; their file is gone."""
        import pyarrow as pa

        with pa.memory_map(str(self.path)) as file:
            table = pa.ipc.open_file(file).read_all()
        self.path.unlink()
        return EncodedRows(table, self.crs)


def encode(frame: gpd.GeoDataFrame, geometry_type: str = "MultiPolygon") -> EncodedRows:
    """Encode rows where there is time for it, such as in a worker process.

    Args:
        frame: as of a ``Layer``.
        geometry_type: likewise.
    """
    import pyarrow as pa

    attributes = frame.drop(columns=frame.geometry.name)
    shapes = frame.geometry.to_numpy()
    if geometry_type == "MultiPolygon":
        shapes = _promoted(shapes)
    geometry = pa.array(shapely.to_wkb(shapes, output_dimension=2), type=pa.binary())
    columns = [_field(attributes[name]) for name in attributes]
    return EncodedRows(pa.table([*columns, geometry], [*attributes, GEOMETRY_COLUMN]), _crs(frame))


def _promoted(shapes: np.ndarray) -> np.ndarray:
    single = shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON
    multi = shapes.astype(object)
    multi[single] = shapely.multipolygons(shapes[single], indices=np.arange(single.sum()))
    return multi


def _field(column: pd.Series) -> pa.Array:
    """A column as OGR takes it: days as dates, whatever is no number, day or truth as text."""
    import pyarrow as pa

    null = column.isna().to_numpy()
    if column.name in DATE_COLUMNS:
        return pa.array(pd.to_datetime(column).to_numpy("datetime64[D]"), mask=null)
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        numpy_type = getattr(column.dtype, "numpy_dtype", column.dtype)
        return pa.array(column.mask(null, 0).to_numpy(numpy_type), mask=null)
    if pd.api.types.is_datetime64_dtype(column):
        return pa.array(column.to_numpy(), mask=null)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pa.array(column.array).cast(pa.string())
    return pa.array(column.to_numpy(object), type=pa.string(), mask=null)


def _crs(frame: gpd.GeoDataFrame) -> str:
    code = frame.crs.to_epsg()
    return f"EPSG:{code}" if code else frame.crs.to_wkt()
