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

from segmentation.core.errors import PipelineError, cannot_write
from segmentation.core.files import whole_file
from segmentation.geo.encoding import DATE_COLUMNS
from segmentation.geo.geopackage import Layer, write_geopackage
from segmentation.geo.metadata import PARQUET_PREFIX, read_settings

GPKG, PARQUET, FGB = "gpkg", "parquet", "fgb"
FORMATS = (GPKG, PARQUET, FGB)


def write_polygons(path: Path, layer: Layer, metadata: Mapping[str, str], formats: Collection[str]) -> list[Path]:
    """Write polygons in some formats, each whole; the same input gives the same bytes.

    Args:
        path: of the GeoPackage; the others stand beside it and differ in their suffix.
        layer: the polygons, EPSG:4326.
        metadata: texts by name; each file carries them in its own metadata.
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


def choose_formats(
    path: Path, settings: Mapping[str, str], formats: Collection[str], *, force: bool = False
) -> tuple[str, ...]:
    """Make sure that no file that was made with other settings is replaced, or left beside others of its name.

    Args:
        path: of the GeoPackage; the others stand beside it and differ in their suffix.
        settings: what the new files are made with: the part of their metadata that is to be the same. A file that says
            nothing of one of them, as those of earlier versions, is not told apart by it.
        formats: of ``FORMATS``, those asked for.
        force: replace files made with other settings.

    Returns:
        The formats to write: those asked for and, with ``force``, those in which others would be left behind.

    Raises:
        PipelineError: there are such files, and no ``force``.
    """
    others = {}
    for name in FORMATS:
        there = path.with_suffix(f".{name}")
        if there.exists() and (difference := _difference(there, settings)):
            others[name] = f"{there} {difference}"
    if others and not force:
        raise PipelineError(
            f"{next(iter(others.values()))}; --force replaces it, --suffix TEXT keeps both by another file name"
        )
    return tuple(name for name in FORMATS if name in formats or name in others)


def _difference(path: Path, settings: Mapping[str, str]) -> str:
    """In what a file was made with other settings, in words; empty where it was not."""
    try:
        before = read_settings(path)
    except PipelineError:
        return "cannot be read, so that nothing says how it was made"
    known = sorted(before.keys() & settings.keys())
    if not known:
        return "does not say how it was made"
    changed = [f"{key} was {before[key]}, is now {settings[key]}" for key in known if before[key] != settings[key]]
    return f"was made with other settings ({', '.join(changed)})" if changed else ""


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
            # A copy: a view that outlives a write without room crashes the collector of some Pythons.
            partial.write_bytes(content.getvalue())
    except (DataSourceError, DataLayerError) as error:
        raise cannot_write(path, error) from None
