"""What files of ours say of how they were made: GeoPackages, GeoParquet, FlatGeobuf."""

from __future__ import annotations

from pathlib import Path

from segmentation.core.errors import PipelineError
from segmentation.geo.geopackage import read_metadata

# What names of our metadata begin with among those that GeoParquet files have anyway.
PARQUET_PREFIX = "mining:"
# Formats in which ours say it; to look into others, some of which have to be read whole for it, is no use.
_SUFFIXES = (".gpkg", ".parquet", ".fgb")


def read_provenance(path: Path) -> dict[str, str]:
    """What a file of polygons or windows says of how it was made; nothing, if it says nothing or cannot be read.

    A file that cannot be read is not refused here but where its polygons are needed, which gives the reason.
    """
    if not path.exists() and ":" in path.name:  # FILE:LAYER; all layers say the same
        path = path.with_name(path.name.rpartition(":")[0])
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return {}
    try:
        return read_settings(path)
    except PipelineError:
        return {}


def read_settings(path: Path) -> dict[str, str]:
    """The metadata of a file of ours, GeoPackage, GeoParquet or FlatGeobuf.

    Raises:
        PipelineError: the file cannot be read.
    """
    if path.suffix.lower() != ".parquet":
        return read_metadata(path)
    # Here, as commands that read no GeoParquet need not wait for it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stored = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise PipelineError(f"cannot read {path}: {error}") from None
    mark = PARQUET_PREFIX.encode()
    return {name.removeprefix(mark).decode(): text.decode() for name, text in stored.items() if name.startswith(mark)}
