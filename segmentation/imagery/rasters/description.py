"""What a raster file says of itself, as far as reading it as imagery takes it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from pyproj.exceptions import ProjError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from segmentation.core.errors import PipelineError
from segmentation.imagery.rasters.bands import alpha_band, named_bands, recognised_bands
from segmentation.imagery.rasters.finding import Layout
from segmentation.imagery.rasters.nodata import has_mask, light_can_give, no_data_values
from segmentation.imagery.rasters.places import Place, outline_of
from segmentation.imagery.rasters.refusals import refuse_tables, require_numbers, require_one_image, require_place
from segmentation.imagery.rasters.scales import Reflectance, reflectances_of

# What reading a raster may raise: rasterio's own errors, those of the system, of PROJ, and those of texts and numbers.
UNREADABLE = (RasterioError, OSError, ProjError, ValueError)


@dataclass(frozen=True)
class Raster:
    """What has to be known of a file to read it as imagery; small and picklable.

    Attributes:
        path: of the file.
        bands: 1-based, of red, green, blue and, where there is one, near infrared.
        scales: by band, see ``Reflectance``.
        offsets: by band.
        alpha: band that is 0 where there is no data; None where there is none.
        no_data: by band, the value that means no data; none at all for no such values. What is not a number is never
            data.
        all_bands: a pixel is without data only where every band has its value: it is one that light can give, too,
            such as 0 in a dark band or 255 in a saturated one. Else one band suffices.
        masked: the file has a mask of its own.
    """

    path: Path
    bands: tuple[int, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    alpha: int | None = None
    no_data: tuple[float, ...] = ()
    all_bands: bool = False
    masked: bool = False

    def reflectance(self, position: int) -> Reflectance:
        """How the values of the band at a position of ``bands`` become reflectance."""
        return Reflectance(self.scales[position], self.offsets[position])


def read_layout(path: Path) -> Layout:
    """How the pixels of a file are stored.

    Raises:
        PipelineError: it cannot be read.
    """
    try:
        with opened(path) as file:
            require_one_image(file)
            return Layout.of(file)
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def describe(
    path: Path,
    bands: Sequence[str] | None = None,
    reflectance: Reflectance | None = None,
    no_data: float | None = None,
) -> tuple[Raster, Place]:
    """Read what a file says of itself.

    Args:
        path: of the file.
        bands: red, green, blue and maybe near infrared by number (1-based) or description; None to go by the file's
            descriptions and colour interpretation.
        reflectance: how values become reflectance; None to go by the file's scales and offsets.
        no_data: the value that means no data, NaN for none but what is not a number; None to go by the file's own.

    Raises:
        PipelineError: it cannot be read, or does not say enough.
    """
    try:
        with opened(path) as file:
            return _described(file, path, bands, reflectance, no_data)
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def _described(
    file: rasterio.DatasetReader,
    path: Path,
    bands: Sequence[str] | None,
    reflectance: Reflectance | None,
    no_data: float | None,
) -> tuple[Raster, Place]:
    """See ``describe``."""
    require_one_image(file)
    require_place(file)
    chosen = named_bands(file, bands) if bands else None
    refuse_tables(file, chosen or file.indexes)
    chosen = chosen or recognised_bands(file)
    require_numbers(file, chosen)
    reflectances = reflectances_of(file, chosen, reflectance)
    outline = outline_of(file.crs, file.transform, file.width, file.height)
    if outline is None or outline.area == 0:
        raise PipelineError(
            f"{path} does not lie where its CRS is defined; give it the right one (gdal_edit.py -a_srs EPSG:CODE)"
        )
    alpha = alpha_band(file, chosen)
    values = no_data_values(file, chosen, alpha, no_data)
    dtypes = [file.dtypes[band - 1] for band in chosen]
    raster = Raster(
        path=path,
        bands=chosen,
        scales=tuple(of.scale for of in reflectances),
        offsets=tuple(of.offset for of in reflectances),
        alpha=alpha,
        no_data=values,
        all_bands=all(map(light_can_give, values, dtypes, reflectances)),
        masked=has_mask(file, chosen),
    )
    return raster, Place(outline, float(np.sqrt(outline.area / (file.width * file.height))))


@contextmanager
def opened(path: Path) -> Iterator[rasterio.DatasetReader]:
    """An open file; that it may have no place is for ``describe`` to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        file = rasterio.open(path)
    with file:
        yield file


def _unreadable(path: Path, error: Exception) -> PipelineError:
    return PipelineError(f"{path} cannot be read as a raster: {' '.join(str(error).split())}")
