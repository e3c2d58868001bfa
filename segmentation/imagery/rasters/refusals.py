"""Files that are rasters but no imagery as it can be read: each refused in one line that says what would help."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from segmentation.core.errors import PipelineError


def require_one_image(file: rasterio.DatasetReader) -> None:
    """Make sure that a file holds one image: of several, the first would be read without a word.

    Raises:
        PipelineError: it holds several; the message says how to choose.
    """
    if file.subdatasets:
        raise PipelineError(
            f"{file.name} holds {len(file.subdatasets)} images ({', '.join(file.subdatasets[:2])}, ...); "
            "write the right one to a file of its own (gdal_translate)"
        )


def require_place(file: rasterio.DatasetReader) -> None:
    """Make sure that a file says where on earth its pixels lie.

    Raises:
        PipelineError: it does not; the message says what would help.
    """
    transform = file.transform
    if transform.is_identity or not np.isfinite(transform[:6]).all() or transform.is_degenerate:
        points, points_crs = file.gcps
        only = "ground control points alone" if points else "rational polynomials (RPC) alone" if file.rpcs else ""
        onto = points_crs.to_string() if points and points_crs else "EPSG:CODE"
        raise PipelineError(
            f"{file.name} has no geotransform{f', {only}' if only else ''}: nothing says where each pixel lies; "
            f"warp it first (gdalwarp -t_srs {onto} FILE WARPED.tif) or, if its world file was lost, export it again"
        )
    if file.crs is None:
        raise PipelineError(f"{file.name} has no CRS; give it one (gdal_edit.py -a_srs EPSG:CODE)")
    if not (file.crs.is_geographic or file.crs.is_projected):
        raise PipelineError(
            f"{file.name}: its CRS ({_crs_name(file.crs)}) is not tied to the earth, or not one of maps; "
            "give it the true one (gdal_edit.py -a_srs EPSG:CODE)"
        )


def _crs_name(crs: CRS) -> str:
    quoted = re.search(r'"([^"]*)"', crs.to_wkt())
    return quoted.group(1) if quoted else "unnamed"


def require_numbers(file: rasterio.DatasetReader, bands: Sequence[int]) -> None:
    """Make sure that bands hold plain numbers.

    Raises:
        PipelineError: they hold complex ones, whose imaginary part would go lost.
    """
    strange = [file.dtypes[band - 1] for band in bands if np.dtype(file.dtypes[band - 1]).kind not in "iuf"]
    if strange:
        raise PipelineError(f"{file.name} holds {strange[0]} numbers; imagery has whole or decimal ones")


def refuse_tables(file: rasterio.DatasetReader, bands: Sequence[int]) -> None:
    """Make sure that bands hold brightness, not numbers of colours.

    Raises:
        PipelineError: a band has a table of colours; the message says what would help.
    """
    tables = [band for band in bands if file.colorinterp[band - 1] == ColorInterp.palette]
    if tables:
        raise PipelineError(
            f"{file.name}: band {tables[0]} holds numbers of colours in a table (a palette), no brightness; "
            "write its colours out (gdal_translate -expand rgb) or, better, export the imagery without a table"
        )
