"""Polygons out of any vector file: valid, flat, in degrees, with an account of what was mended or left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio.errors
import pyproj
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.vectors.crs import SET_CRS, beyond_degrees, check_crs, west_of_180
from segmentation.geo.vectors.files import VectorName, find_vector, open_vector
from segmentation.geo.vectors.layers import read_layer

# A polygon this wide is one cut at the antimeridian whose parts lie on both sides of the map.
_WRAPPED_DEG = 180.0
NO_DEGREES = "coordinates that are no degrees"
_CRS_ERRORS = (pyogrio.errors.CRSError, pyproj.exceptions.ProjError)
_UNREADABLE = (
    pyogrio.errors.DataSourceError,
    pyogrio.errors.DataLayerError,
    pyogrio.errors.FeatureError,
    pyogrio.errors.FieldError,
    pyogrio.errors.GeometryError,
    shapely.errors.ShapelyError,
    OSError,
    ValueError,
)


@dataclass(frozen=True)
class Account:
    """What became of the rows of a file.

    Attributes:
        read: number of rows.
        repaired: number of geometries that were invalid, or mixed with lines or points, and have been mended.
        flattened: number of geometries whose heights or measures were left out.
        dropped: number of rows left out, by reason.
    """

    read: int
    repaired: int
    flattened: int
    dropped: dict[str, int]


def read_vector(named: Path, columns: Collection[str] = ("id",), *, encoding: str | None = None) -> gpd.GeoDataFrame:
    """The polygon layer of any file that OGR reads, or of a GeoParquet file, as it is.

    Args:
        named: ``FILE``, or ``FILE:LAYER`` where it has several layers; ``FILE`` may be a zip or a folder, and what
            comes after the colon a file in it.
        columns: names, in small letters, of the attributes that are wanted where they are there. No others are read,
            as they may hold texts in unknown encodings or dates that no calendar has.
        encoding: of texts, where it is known better than the file knows it.

    Raises:
        PipelineError: no such file, not a vector file, damaged, several layers with polygons, no geometries, no CRS
            or one that says no place on Earth, or coordinates that cannot be of that CRS.
    """
    name = find_vector(named)
    if name is None:
        raise PipelineError(f"no polygons at {named}: no such file")
    with explained(name), open_vector(name) as (path, layer):
        contents = read_layer(path, layer, name, columns, encoding=encoding)
        check_crs(contents.frame, name)
    frame = west_of_180(contents.frame)
    frame.attrs["fields"] = contents.fields
    return frame


@contextmanager
def explained(name: VectorName) -> Iterator[None]:
    """Put what the libraries raise for a file that a user brings into one line of words.

    Raises:
        PipelineError: instead of what pyogrio, pyproj, shapely, pyarrow, a codec or the system has raised.
    """
    try:
        yield
    except _CRS_ERRORS as error:
        raise PipelineError(f"{name}: its CRS cannot be understood ({_one_line(error)}); {SET_CRS}") from None
    except UnicodeDecodeError as error:
        raise PipelineError(f"{name} has texts in no known encoding ({_one_line(error)}); save it as UTF-8") from None
    except _UNREADABLE as error:
        raise PipelineError(f"{name} cannot be read as a vector file: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    """What went wrong, without advice on the arguments of a library."""
    return " ".join(str(error).split("; It might help")[0].split())


def clean(frame: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, Account]:
    """Keep the areas: repair what is invalid, leave out heights, lines, points and what is empty.

    Args:
        frame: any geometries, any CRS, any columns.

    Returns:
        The rows that hold an area, with Polygons and MultiPolygons in EPSG:4326 and the columns unchanged, and
        what became of the others.
    """
    raw = frame.geometry.to_numpy()
    empty = shapely.is_missing(raw) | shapely.is_empty(raw)
    height = ~empty & (shapely.has_z(raw) | shapely.has_m(raw))
    areas, mended = _mended(raw)
    none = shapely.is_empty(areas)
    no_degrees = ~none & beyond_degrees(shapely.bounds(areas), frame.crs)
    degrees = gpd.GeoSeries(areas, crs=frame.crs).to_crs("EPSG:4326").to_numpy()
    outside = ~none & ~np.isfinite(shapely.bounds(degrees)).all(axis=1)
    if frame.crs != "EPSG:4326":
        # Only vertices are projected: a long edge may then cut off a vertex that it passed closely.
        degrees = np.where(outside, degrees, polygonal(np.where(outside, shapely.Polygon(), degrees)))
        none |= ~outside & shapely.is_empty(degrees)
    across = ~none & ~outside & ~no_degrees & crosses_antimeridian(shapely.bounds(degrees))
    reasons = {
        "no geometry": empty,
        "not a polygon": none & ~empty,
        "coordinates outside the CRS": outside,
        NO_DEGREES: no_degrees,
        "on both sides of the antimeridian": across,
    }
    kept = ~(none | outside | no_degrees | across)
    account = Account(
        read=len(frame),
        repaired=int((mended & kept).sum()),
        flattened=int((height & kept).sum()),
        dropped={reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()},
    )
    attributes = frame[kept].drop(columns=frame.geometry.name)
    return gpd.GeoDataFrame(attributes, geometry=degrees[kept], crs="EPSG:4326").reset_index(drop=True), account


def crosses_antimeridian(bounds_deg: np.ndarray) -> np.ndarray:
    """Polygons with parts at both ends of the map, or with longitudes beyond 180 degrees: their area is not defined."""
    west, _, east, _ = bounds_deg.reshape(-1, 4).T
    return (east - west > _WRAPPED_DEG) | (west < -180) | (east > 180)


def polygonal(geometries: np.ndarray) -> np.ndarray:
    """The areas of geometries: (n,) valid 2-D Polygons or MultiPolygons; what has no area becomes an empty Polygon."""
    return _mended(geometries)[0]


def areal(geometries: np.ndarray) -> np.ndarray:
    """Which geometries are Polygons or MultiPolygons: (n,) bool."""
    return np.isin(shapely.get_type_id(geometries), (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))


def _mended(geometries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As ``polygonal``, and which of them had to be mended (heights apart), or are none: (n,) bool."""
    flat = np.array(geometries, dtype=object)
    deep = shapely.has_z(flat) | shapely.has_m(flat)
    flat[deep] = shapely.force_2d(flat[deep])
    odd = ~(areal(flat) & shapely.is_valid(flat) & ~shapely.is_empty(flat))
    if odd.any():
        flat[odd] = _areas_of(shapely.make_valid(flat[odd]))
    return flat, odd


def _areas_of(collections: np.ndarray) -> np.ndarray:
    """The polygons within valid geometries of any type, one Polygon or MultiPolygon each."""
    parts, owner = shapely.get_parts(collections, return_index=True)
    parts, inner = shapely.get_parts(parts, return_index=True)  # a collection may hold multipolygons
    owner = owner[inner]
    areal = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    parts, owner = parts[areal], owner[areal]
    result = np.full(len(collections), shapely.Polygon(), dtype=object)
    count = np.bincount(owner, minlength=len(collections))
    many = count[owner] > 1
    result[owner[~many]] = parts[~many]
    if many.any():
        rows, place = np.unique(owner[many], return_inverse=True)
        # A union, as the areas of a collection may overlap or share an edge.
        result[rows] = shapely.union_all(shapely.multipolygons(parts[many], indices=place)[:, None], axis=1)
    return result
