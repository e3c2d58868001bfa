"""The polygon layer of any vector file, as it is; whatever libraries say of a bad one, in one line of words."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import pyogrio.errors
import pyproj
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.vectors.crs import SET_CRS, check_crs, west_of_180
from segmentation.geo.vectors.files import VectorName, existing_vector, open_vector
from segmentation.geo.vectors.layers import read_layer

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
    name = existing_vector(named)
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
