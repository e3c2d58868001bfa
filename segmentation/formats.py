"""A year's polygons as files: a GeoPackage for QGIS, beside it GeoParquet and FlatGeobuf for those who compute."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from segmentation.errors import cannot_write
from segmentation.geopackage import DATE_COLUMNS, Layer, write_geopackage
from segmentation.provenance import PARQUET_PREFIX
from segmentation.workspace import whole_file

GPKG, PARQUET, FGB = "gpkg", "parquet", "fgb"
FORMATS = (GPKG, PARQUET, FGB)


def write_polygons(path: Path, layer: Layer, metadata: Mapping[str, str], formats: Collection[str]) -> list[Path]:
    """Write polygons in some formats, each whole; the same input gives the same bytes.

    Args:
        path: of the GeoPackage; the others stand beside it and differ in their suffix.
        layer: the polygons, EPSG:4326.
        metadata: texts by name; in the file's own metadata, whatever its format.
        formats: of ``FORMATS``.

    Returns:
        The files, in the order of ``FORMATS``.

    Raises:
        PipelineError: a file cannot be written.
    """
    written = []
    for name in (name for name in FORMATS if name in formats):
        target = path.with_suffix(f".{name}")
        if name == GPKG:
            write_geopackage(target, [layer], metadata)
        elif name == PARQUET:
            _write_parquet(target, layer.frame, metadata)
        else:
            _write_flatgeobuf(target, layer, metadata)
        written.append(target)
    return written


def _write_parquet(path: Path, frame: gpd.GeoDataFrame, metadata: Mapping[str, str]) -> None:
    """GeoParquet 1.1 with bounding boxes, by which readers skip what lies elsewhere."""
    frame = frame.assign(**{name: pd.to_datetime(frame[name]).dt.date for name in DATE_COLUMNS if name in frame})
    try:
        with whole_file(path) as partial:
            frame.to_parquet(partial, index=False, schema_version="1.1.0", write_covering_bbox=True)
            table = pq.read_table(partial)
            described = table.schema.metadata | {
                f"{PARQUET_PREFIX}{key}": text for key, text in sorted(metadata.items())
            }
            pq.write_table(table.replace_schema_metadata(described), partial)
    except pa.ArrowException as error:
        raise cannot_write(path, error) from None


def _write_flatgeobuf(path: Path, layer: Layer, metadata: Mapping[str, str]) -> None:
    try:
        with whole_file(path) as partial:
            # GDAL writes all of it at closing and says nothing of a full disk: it does so in memory.
            content = BytesIO()
            pyogrio.write_dataframe(
                layer.frame,
                content,
                layer=layer.name,
                driver="FlatGeobuf",
                geometry_type=layer.geometry_type,
                layer_metadata=dict(sorted(metadata.items())) or None,
            )
            partial.write_bytes(content.getbuffer())
    except (DataSourceError, DataLayerError) as error:
        raise cannot_write(path, error) from None
