"""Settings of other software that the environment carries along, and that lead the libraries here astray."""

from __future__ import annotations

import logging
import os

from segmentation.core.errors import PipelineError

# Where conda, QGIS, PostGIS and others say where their PROJ keeps its definitions of CRSs.
_VARIABLES = ("PROJ_DATA", "PROJ_LIB")
_KNOWN_ENDING = "It comes from another PROJ installation."
_TRIED = ("EPSG:4326", "EPSG:3857", "EPSG:6933")


def check_projections() -> None:
    """Refuse a session in which a variable makes the libraries look for CRSs where they find none of theirs.

    Costs nothing where no such variable is set.

    Raises:
        PipelineError: a library here cannot work with what a variable points to.
    """
    there = [name for name in _VARIABLES if os.environ.get(name)]
    if not there:
        return
    problem = _problem()
    if problem is not None:
        named = " and ".join(f"{name}={os.environ[name]}" for name in there)
        raise PipelineError(
            f"{named} belongs to another installation of PROJ ({problem}): unset {' and '.join(there)}; "
            "the libraries here bring their own"
        )


def _problem() -> str | None:
    """What the first library says that cannot work with CRSs; None where all can."""
    import pyproj
    import rasterio
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    said = logging.getLogger("rasterio")
    before = said.level
    said.setLevel(logging.CRITICAL + 1)  # what it logs comes as an exception as well
    try:
        with rasterio.Env():
            for code in _TRIED:
                CRS.from_string(code).to_wkt()
                pyproj.Transformer.from_crs("EPSG:4326", code, always_xy=True)
    except (CRSError, pyproj.exceptions.ProjError) as error:
        return str(error).rpartition("_database: ")[2].removesuffix(_KNOWN_ENDING).rstrip(". ")
    finally:
        said.setLevel(before)
    return None
