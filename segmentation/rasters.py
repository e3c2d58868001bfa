"""Raster files of any kind: which bands are the colours, how values become reflectance, where they lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from shapely.affinity import translate

from segmentation.errors import PipelineError
from segmentation.grid import CRS as GRID_CRS
from segmentation.grid import HALF_WORLD_M, PLACE_TOLERANCE_PX, QUAD_PX, Grid, lonlat_to_mercator, misplaced_px
from segmentation.quads import ALPHA, BLUE, GREEN, NIR, RED, REFLECTANCE_SCALE

COLOURS = ("red", "green", "blue", "nir")
SUFFIXES = (".tif", ".tiff", ".vrt")

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
        empty_zero: a pixel is without data only where all bands are: 0 is also a very dark value.
    """

    path: Path
    bands: tuple[int, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    alpha: int | None = None
    empty_zero: bool = False


@dataclass(frozen=True)
class Place:
    """Where a file lies.

    Attributes:
        outline: EPSG:3857; beyond the antimeridian x goes on.
        pixel_3857_m: side of a pixel in metres of EPSG:3857.
    """

    outline: shapely.Polygon
    pixel_3857_m: float


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The rasters that paths name: files as given, those in folders by name, with all folders below.

    Raises:
        PipelineError: nothing is there.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
            below = sorted(inside, key=lambda file: file.relative_to(path).as_posix())
            if not below:
                raise PipelineError(f"no {', '.join(SUFFIXES)} file in {path}")
            found += below
        elif path.exists():
            found.append(path)
        else:
            raise PipelineError(f"--imagery names no source and there is no file or folder {path}")
    return list(dict.fromkeys(found))


def describe(
    path: Path, bands: Sequence[str] | None = None, reflectance: Reflectance | None = None
) -> tuple[Raster, Place]:
    """Read what a file says of itself.

    Args:
        path: of the file.
        bands: red, green, blue and maybe near infrared by number (1-based) or description; None to go by the file's
            descriptions and colour interpretation.
        reflectance: how values become reflectance; None to go by the file's scales and offsets.

    Raises:
        PipelineError: it cannot be read, or does not say enough.
    """
    try:
        with rasterio.open(path) as file:
            if file.crs is None:
                raise PipelineError(f"{path} has no CRS; give it one (gdal_edit.py -a_srs)")
            chosen = _named(file, bands) if bands else _recognised(file)
            scales, offsets = _reflectance(file, chosen, reflectance)
            outline = outline_of(file.crs, file.transform, file.width, file.height)
            if outline is None:
                raise PipelineError(f"{path} does not lie where its CRS is defined")
            raster = Raster(
                path=path,
                bands=chosen,
                scales=scales,
                offsets=offsets,
                alpha=_alpha(file, chosen),
                empty_zero=_is_planet_quad(file) or all(file.nodatavals[band - 1] == 0 for band in chosen),
            )
            return raster, Place(outline, float(np.sqrt(outline.area / (file.width * file.height))))
    except RasterioError as error:
        raise PipelineError(f"{path} cannot be read as a raster: {error}") from None


def outline_of(crs: CRS | str, transform: Affine, width: int, height: int) -> shapely.Polygon | None:
    """The border of a raster in EPSG:3857, with x beyond the world where it crosses the antimeridian.

    None where its CRS is not defined all along it.
    """
    share = np.linspace(0, 1, _POINTS_A_SIDE)[:-1]
    along, back, none, full = share, 1 - share, np.zeros_like(share), np.ones_like(share)
    # The middle comes first: the border is put around it.
    across = np.concatenate([[0.5], along, full, back, none]) * width
    down = np.concatenate([[0.5], none, along, full, back]) * height
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*(transform * (across, down)))
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


def nearest_level(pixel_3857_m: float) -> int:
    """The level of the grid whose pixels are nearest in size: 15 for Planet's quads, 14 for 10 m."""
    return max(0, round(np.log2(Grid(0).pixel_m / pixel_3857_m)))


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
    x, y = np.round(np.array(~grid.window_transform(0, 0) * (file.transform.c, file.transform.f)) / QUAD_PX)
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
        return (given.scale,) * len(bands), (given.offset,) * len(bands)
    scales = tuple(float(file.scales[band - 1]) for band in bands)
    offsets = tuple(float(file.offsets[band - 1]) for band in bands)
    if set(scales) == {1.0} and set(offsets) == {0.0}:
        raise PipelineError(
            f"{file.name} does not say how its values become reflectance: say it with --reflectance-scale "
            "(0.0001 where they are reflectance x 10,000, 1 where they are reflectance)"
        )
    return scales, offsets


def _listed(file: rasterio.DatasetReader) -> str:
    told = [
        f"{band} {text!r}" if text else f"{band} ({seen.name})"
        for band, text, seen in zip(file.indexes, file.descriptions, file.colorinterp, strict=True)
    ]
    return f"its bands are {', '.join(told)}"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
