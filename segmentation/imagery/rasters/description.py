"""Raster files of any kind: which bands are the colours, how values become reflectance, where they lie."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from shapely.affinity import translate

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import CRS as GRID_CRS
from segmentation.geo.grid import HALF_WORLD_M, PLACE_TOLERANCE_PX, QUAD_PX, Grid, lonlat_to_mercator, misplaced_px
from segmentation.imagery.rasters.finding import Layout
from segmentation.imagery.rasters.refusals import refuse_tables, require_numbers, require_one_image, require_place
from segmentation.imagery.reflectance import ALPHA, BLUE, GREEN, NIR, RED, REFLECTANCE_SCALE

COLOURS = ("red", "green", "blue", "nir")

# What files call the colours, in lower case and without anything but letters and digits; B02 to B08 are Sentinel-2's.
_CALLED = {
    "red": {"red", "r", "b04"},
    "green": {"green", "g", "b03"},
    "blue": {"blue", "b", "b02"},
    "nir": {"nir", "nearinfrared", "n", "b08"},
}
_INTERPRETED = {
    "red": ColorInterp.red,
    "green": ColorInterp.green,
    "blue": ColorInterp.blue,
    "nir": ColorInterp.nir,
}
_PLANET = {"red": RED, "green": GREEN, "blue": BLUE, "nir": NIR}
# What whole numbers of 8 and 16 bits end with; files of other types that were made from such have these values, too.
_WHOLE_NUMBER_LIMITS = {0, 255, 65535, -32768, 32767}

# Values are reflectance, percent of it, or more of them: no scale is larger than this.
LARGEST_SCALE = 1.0
# Reflectance of the brightest cloud is little more than 1.
BRIGHTEST = 2.0
SAY_THE_SCALE = (
    "say it with --reflectance-scale (0.0001 where they are reflectance x 10,000, 1 where they are reflectance)"
)

# What reading a raster may raise: rasterio's own errors, those of the system, of PROJ, and those of texts and numbers.
UNREADABLE = (RasterioError, OSError, ProjError, ValueError)
# Web Mercator ends here.
_LARGEST_LATITUDE = 85.05
_POINTS_A_SIDE = 21


@dataclass(frozen=True)
class Reflectance:
    """How values become reflectance: ``value * scale + offset``."""

    scale: float
    offset: float = 0.0

    def __str__(self) -> str:
        return f"{self.scale:g},{self.offset:g}" if self.offset else f"{self.scale:g}"


@dataclass(frozen=True)
class Raster:
    """What has to be known of a file to read it as imagery; small and picklable.

    Attributes:
        path: of the file.
        bands: 1-based, of red, green, blue and, where there is one, near infrared.
        scales: by band, see ``Reflectance``.
        offsets: by band.
        alpha: band that is 0 where there is no data; None where there is none.
        no_data: by band, the value that means no data, None for a band that has none; none at all for no such values.
            What is not a number is never data.
        all_bands: a pixel is without data only where every band has its value: it is one that light can give, too,
            such as 0 in a dark band or 255 in a saturated one. Else one band suffices.
        masked: the file has a mask of its own.
    """

    path: Path
    bands: tuple[int, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    alpha: int | None = None
    no_data: tuple[float | None, ...] = ()
    all_bands: bool = False
    masked: bool = False

    def reflectance(self, position: int) -> Reflectance:
        """How the values of the band at a position of ``bands`` become reflectance."""
        return Reflectance(self.scales[position], self.offsets[position])


@dataclass(frozen=True)
class Place:
    """Where a file lies.

    Attributes:
        outline: EPSG:3857; beyond the antimeridian x goes on.
        pixel_3857_m: side of a pixel in metres of EPSG:3857.
    """

    outline: shapely.Polygon
    pixel_3857_m: float


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
    chosen = _named(file, bands) if bands else None
    refuse_tables(file, chosen or file.indexes)
    chosen = chosen or _recognised(file)
    require_numbers(file, chosen)
    scales, offsets = _reflectance(file, chosen, reflectance)
    outline = outline_of(file.crs, file.transform, file.width, file.height)
    if outline is None or outline.area == 0:
        raise PipelineError(
            f"{path} does not lie where its CRS is defined; give it the right one (gdal_edit.py -a_srs EPSG:CODE)"
        )
    alpha = _alpha(file, chosen)
    values = _no_data(file, chosen, alpha, no_data)
    dtypes = [file.dtypes[band - 1] for band in chosen]
    reflectances = [Reflectance(*both) for both in zip(scales, offsets, strict=True)]
    raster = Raster(
        path=path,
        bands=chosen,
        scales=scales,
        offsets=offsets,
        alpha=alpha,
        no_data=values,
        all_bands=all(map(_light_can_give, values, dtypes, reflectances)),
        masked=_has_mask(file, chosen),
    )
    return raster, Place(outline, float(np.sqrt(outline.area / (file.width * file.height))))


def outline_of(crs: CRS | str, transform: Affine, width: int, height: int) -> shapely.Polygon | None:
    """The border of a raster in EPSG:3857, with x beyond the world where it crosses the antimeridian.

    None where its CRS is not defined all along it.
    """
    share = np.linspace(0, 1, _POINTS_A_SIDE)[:-1]
    along, back, none, full = share, 1 - share, np.zeros_like(share), np.ones_like(share)
    # The middle comes first: the border is put around it.
    across = np.concatenate([[0.5], along, full, back, none]) * width
    down = np.concatenate([[0.5], none, along, full, back]) * height
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*(transform @ (across, down)))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    middle, border = lon[0], np.unwrap(lon[1:], period=360)
    border += 360 * np.round((middle - border.mean()) / 360) - 360 * np.floor((middle + 180) / 360)
    _, north = lonlat_to_mercator(0 * border, np.clip(lat[1:], -_LARGEST_LATITUDE, _LARGEST_LATITUDE))
    return shapely.Polygon(np.column_stack([border / 180 * HALF_WORLD_M, north])).buffer(0)


def placed(outlines: Sequence[shapely.Polygon]) -> tuple[np.ndarray, np.ndarray]:
    """Outlines on the world's map: what leaves it on one side comes in on the other.

    Returns:
        (m,) int64, position of the outline, and (m,) shapely polygons, EPSG:3857.
    """
    world = 2 * HALF_WORLD_M
    copies = np.array([[translate(outline, turn * world) for turn in (-1, 0, 1)] for outline in outlines], object)
    position, turn = np.nonzero(shapely.intersects(copies, shapely.box(*[-HALF_WORLD_M] * 2, *[HALF_WORLD_M] * 2)))
    return position, copies[position, turn]


def colour_called(description: str) -> str | None:
    """The colour (see ``COLOURS``) that a band's description names, None for any other."""
    return next((colour for colour, words in _CALLED.items() if _plain(description) in words), None)


def nearest_level(pixel_3857_m: float) -> int:
    """The level of the grid whose pixels are nearest in size: 15 for Planet's quads, 14 for 10 m."""
    return max(0, round(np.log2(Grid(0).pixel_m / pixel_3857_m)))


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


def _no_data(
    file: rasterio.DatasetReader, bands: Sequence[int], alpha: int | None, given: float | None
) -> tuple[float | None, ...]:
    """By band, the value that means no data; see ``Raster``."""
    if given is not None:
        for band in bands:
            _require_possible(file, given, file.dtypes[band - 1])
        return (given,) * len(bands)
    if _is_planet_quad(file):
        return () if alpha else (0.0,) * len(bands)
    said = [file.nodatavals[band - 1] for band in bands]
    # Bands that say nothing are taken to mean what the others say.
    known = next((value for value in said if value is not None), None)
    return () if known is None else tuple(known if value is None else value for value in said)


def _require_possible(file: rasterio.DatasetReader, value: float, dtype: str) -> None:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return
    limits = np.iinfo(kind)
    if not (np.isfinite(value) and value == int(value) and limits.min <= value <= limits.max):
        raise PipelineError(
            f"--nodata {value:g}: {file.name} cannot hold that, its values are {dtype} ({limits.min} to {limits.max})"
        )


def _light_can_give(value: float, dtype: str, reflectance: Reflectance) -> bool:
    """Whether a value that means no data is also what some ground, or a very dark or saturated band, has."""
    limits = _WHOLE_NUMBER_LIMITS
    if np.dtype(dtype).kind in "iu":
        limits = limits | {np.iinfo(dtype).min, np.iinfo(dtype).max}
    return value in limits or 0 <= value * reflectance.scale + reflectance.offset <= BRIGHTEST


def _has_mask(file: rasterio.DatasetReader, bands: Sequence[int]) -> bool:
    """Whether bands are masked otherwise than by a value of their own."""
    by_value = {(MaskFlags.all_valid,), (MaskFlags.nodata,)}
    return any(tuple(file.mask_flag_enums[band - 1]) not in by_value for band in bands)


def _named(file: rasterio.DatasetReader, bands: Sequence[str]) -> tuple[int, ...]:
    described = {_plain(text): band for band, text in zip(file.indexes, file.descriptions, strict=True) if text}
    found = [int(band) if band.isdecimal() else described.get(_plain(band)) for band in bands]
    wrong = [band for band, index in zip(bands, found, strict=True) if index not in file.indexes]
    if wrong:
        raise PipelineError(f"{file.name} has no band {wrong[0]!r}; {_listed(file)}")
    return tuple(found)


def _recognised(file: rasterio.DatasetReader) -> tuple[int, ...]:
    found = _PLANET if _is_planet_quad(file) else _by_words(file)
    if not found.keys() >= {"red", "green", "blue"}:
        missing = next(colour for colour in COLOURS if colour not in found)
        raise PipelineError(
            f"{file.name} does not say which band is {missing}: name them by number or description "
            f"with --bands RED,GREEN,BLUE[,NIR]; {_listed(file)}"
        )
    return tuple(found[colour] for colour in COLOURS if colour in found)


def _by_words(file: rasterio.DatasetReader) -> dict[str, int]:
    """Bands by colour: as described; those without a description by their colour interpretation."""
    bands = list(zip(file.indexes, file.descriptions, file.colorinterp, strict=True))
    found = {}
    for colour, words in _CALLED.items():
        described = [band for band, text, _ in bands if text and _plain(text) in words]
        interpreted = [band for band, text, seen in bands if not text and seen == _INTERPRETED[colour]]
        if described or interpreted:
            found[colour] = (described or interpreted)[0]
    return found


def _is_planet_quad(file: rasterio.DatasetReader) -> bool:
    """Whether it is a quad of an analytic basemap, whose bands and scale are documented but not in the file."""
    laid_out = (
        (file.width, file.height) == (QUAD_PX, QUAD_PX)
        and file.count in {NIR, ALPHA}
        and set(file.dtypes) == {"uint16"}
        and file.crs == GRID_CRS
    )
    if not laid_out:
        return False
    grid = Grid()
    # The quad whose corner is nearest.
    x, y = np.round(np.array(~grid.window_transform(0, 0) @ (file.transform.c, file.transform.f)) / QUAD_PX)
    expected = grid.window_transform(int(x) * QUAD_PX, int(y) * QUAD_PX)
    return misplaced_px(file.transform, expected, QUAD_PX, QUAD_PX) <= PLACE_TOLERANCE_PX


def _alpha(file: rasterio.DatasetReader, bands: Sequence[int]) -> int | None:
    if _is_planet_quad(file):
        return ALPHA if file.count >= ALPHA else None
    alphas = [
        band
        for band, seen in zip(file.indexes, file.colorinterp, strict=True)
        if seen == ColorInterp.alpha and band not in bands
    ]
    return alphas[0] if alphas else None


def _reflectance(
    file: rasterio.DatasetReader, bands: Sequence[int], given: Reflectance | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if given is None and _is_planet_quad(file):
        given = Reflectance(REFLECTANCE_SCALE)
    if given is not None:
        scales, offsets = (given.scale,) * len(bands), (given.offset,) * len(bands)
    else:
        scales = tuple(float(file.scales[band - 1]) for band in bands)
        offsets = tuple(float(file.offsets[band - 1]) for band in bands)
        if set(scales) == {1.0} and set(offsets) == {0.0}:
            raise PipelineError(f"{file.name} does not say how its values become reflectance: {SAY_THE_SCALE}")
    for band, scale, offset in zip(bands, scales, offsets, strict=True):
        _require_plausible(file, band, scale, offset)
    return scales, offsets


def _require_plausible(file: rasterio.DatasetReader, band: int, scale: float, offset: float) -> None:
    """Make sure that a scale can be meant: reflectance is 0 to 1, with little beyond.

    Raises:
        PipelineError: it cannot.
    """
    said = f"{file.name}: band {band} would become reflectance by {Reflectance(scale, offset)}"
    if not (np.isfinite(offset) and 0 < scale <= LARGEST_SCALE):
        raise PipelineError(f"{said}, which no values need: {SAY_THE_SCALE}")
    if scale >= 1 and np.dtype(file.dtypes[band - 1]).kind in "iu":
        raise PipelineError(f"{said}, but its values are whole numbers: {SAY_THE_SCALE}")


def _listed(file: rasterio.DatasetReader) -> str:
    told = [
        f"{band} {text!r}" if text else f"{band} ({seen.name})"
        for band, text, seen in zip(file.indexes, file.descriptions, file.colorinterp, strict=True)
    ]
    return f"its bands are {', '.join(told)}"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
