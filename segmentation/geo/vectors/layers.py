"""The polygon layer of a data set: the only one, or the one that was chosen; with the columns that are needed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.vectors.files import VectorName, example, listed
from segmentation.geo.vectors.shapefiles import table_encoding

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

# Windows' western encoding: what files hold that say UTF-8 and are not.
_FALLBACK = "cp1252"
_PARQUET, _FEATHER = b"PAR1", b"ARROW1"
# Beside its own "WKT", the columns of tables in which GDAL looks for outlines (as WKT, hex WKB or GeoJSON).
_TABLE_OPTIONS = {"GEOM_POSSIBLE_NAMES": "WKT,geometry,geom,the_geom,wkb_geometry,.geo"}
_TABLES = (".csv", ".tsv", ".txt")
_DECLARED_AREAS = ("Polygon", "Surface")
_UNDECLARED = ("Unknown", "GeometryCollection")
# Every line of a GeoJSON sequence is a feature of its own: GDAL skips a last one that is cut off.
_SEQUENCES = ("GeoJSONSeq",)


@dataclass(frozen=True)
class Contents:
    """What is read of a layer: its rows with the columns that are wanted, and the names of all its columns."""

    frame: gpd.GeoDataFrame
    fields: list[str]


def read_layer(
    path: Path, layer: str | None, name: VectorName, columns: Collection[str], *, encoding: str | None = None
) -> Contents:
    """Read a layer's geometries and those of its columns that are wanted and there.

    Args:
        path: as from ``open_vector``.
        layer: likewise; without one the data set must hold polygons in one layer alone.
        name: what the user typed, for errors.
        columns: names in small letters; whatever else there is may be unreadable, and is not looked at.
        encoding: of texts, where it is known better than the file knows it.

    Raises:
        PipelineError: there is no such layer, several hold polygons, or the file is damaged.
        Exception: what pyogrio, pyproj, shapely, pyarrow and the system raise; ``read.explained`` puts it in words.
    """
    if (kind := _arrow_format(path)) is not None:
        return _read_arrow(path, kind, layer, name, columns)
    options = {}
    if path.suffix.lower() in _TABLES:
        _refuse_choice(layer, name)
        options = _TABLE_OPTIONS
    else:
        layer = _the_layer(path, layer, name)
    if path.suffix.lower() == ".shp":
        encoding = encoding or table_encoding(path)
    found = _decoded(lambda code: pyogrio.read_info(path, layer=layer, encoding=code, **options), encoding, name)
    if found["geometry_type"] is None:
        raise PipelineError(f"{name} holds no polygon: it is a table without geometries; mining polygons are needed")
    fields = [str(field) for field in found["fields"]]
    wanted = [field for field in fields if field.lower() in columns]
    frame = _decoded(
        lambda code: pyogrio.read_dataframe(
            path, layer=layer, columns=wanted, encoding=code, on_invalid="fix", **options
        ),
        encoding,
        name,
    )
    _refuse_losses(path, found, len(frame), name)
    return Contents(frame, fields)


def _arrow_format(path: Path) -> str | None:
    """``parquet`` or ``feather`` by the first bytes of a file, None for anything else."""
    if path.is_dir():
        return None
    with path.open("rb") as file:
        start = file.read(len(_FEATHER))
    if start.startswith(_PARQUET):
        return "parquet"
    return "feather" if start == _FEATHER else None


def _read_arrow(path: Path, kind: str, layer: str | None, name: VectorName, columns: Collection[str]) -> Contents:
    """GeoParquet or its sister in Arrow's own format, which few builds of GDAL read."""
    import pyarrow as pa
    from pyarrow import dataset

    _refuse_choice(layer, name)
    try:
        schema = dataset.dataset(path, format=kind).schema
        described = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
        if "primary_column" not in described:
            raise PipelineError(f"{name} is a plain table: it does not say where its geometries are")
        geometry = described["primary_column"]
        fields = [field for field in schema.names if field not in described["columns"]]
        wanted = [field for field in fields if field.lower() in columns]
        read = gpd.read_parquet if kind == "parquet" else gpd.read_feather
        return Contents(read(path, columns=[*wanted, geometry]), fields)
    except (pa.ArrowException, KeyError, TypeError) as error:
        raise PipelineError(f"{name} cannot be read as Geo{kind}: {str(error).splitlines()[0]}") from None


def _refuse_choice(layer: str | None, name: VectorName) -> None:
    if layer is not None:
        raise PipelineError(f"{name.path} has no layers to choose from: leave out ':{layer}'")


def _the_layer(path: Path, layer: str | None, name: VectorName) -> str:
    """The layer that was chosen, or else the only one that holds polygons."""
    layers = {str(called): kind for called, kind in pyogrio.list_layers(path)}
    if layer is not None:
        if layer not in layers:
            raise PipelineError(f"{name.path} has no layer {layer!r}; there are: {listed(list(layers)) or 'none'}")
        return layer
    if not layers:
        raise PipelineError(f"{name.path} holds no layer; polygons are needed")
    if len(layers) == 1:
        return next(iter(layers))
    counts = {called: _count_polygons(path, called, kind) for called, kind in layers.items() if _may_hold_areas(kind)}
    filled = [called for called, count in counts.items() if count]
    if len(filled) > 1:
        each = [f"{called} ({counts[called]:,})" for called in filled]
        raise PipelineError(
            f"{name} holds polygons in {len(filled)} layers: {listed(each)}; "
            f"name one after a colon, such as {example(f'{name}:{filled[0]}')}"
        )
    return next(iter(filled or counts or layers))


def _may_hold_areas(kind: str | None) -> bool:
    return kind is not None and any(word in kind for word in (*_DECLARED_AREAS, *_UNDECLARED))


def _count_polygons(path: Path, layer: str, kind: str) -> int:
    """How many features of a layer are areas; looked up one by one where the layer does not say what it holds."""
    if any(word in kind for word in _DECLARED_AREAS):
        return int(pyogrio.read_info(path, layer=layer, force_feature_count=True, encoding=_FALLBACK)["features"])
    # Neither texts nor the names of columns matter here: the fallback takes any bytes.
    frame = pyogrio.read_dataframe(path, layer=layer, columns=[], encoding=_FALLBACK, on_invalid="fix")
    return int(_holds_area(frame.geometry.to_numpy()).sum())


def _holds_area(shapes: np.ndarray) -> np.ndarray:
    """Which geometries are areas or collections with areas in them: (n,) bool."""
    dimension = shapely.get_dimensions(shapes)  # of a collection, that of its highest part
    return (dimension == 2) & ~shapely.is_empty(shapes)


def _decoded(read: Callable[[str | None], _Result], encoding: str | None, name: VectorName) -> _Result:
    """Read, and where texts or the names of columns are not in the encoding that the file says, read them anew."""
    try:
        return read(encoding)
    except UnicodeDecodeError:
        _logger.warning("%s is not in the encoding that it says: its texts are read as %s", name, _FALLBACK)
        return read(_FALLBACK)


def _refuse_losses(path: Path, found: dict[str, Any], rows: int, name: VectorName) -> None:
    """Refuse a file of which GDAL reads less than was written."""
    if found["features"] > rows:  # -1 where the format does not know beforehand
        raise PipelineError(f"{name} is damaged: {rows:,} of {found['features']:,} rows can be read; get it again")
    if found["driver"] in _SEQUENCES and not path.read_bytes().rstrip(b"\x1e \r\n\t").endswith(b"}"):
        raise PipelineError(f"{name} is cut off in the middle of a row; get it again")
