"""Rasters as users have them, drawn for the tests: any CRS, with a bell of brightness at a known place."""

from pathlib import Path

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio import Affine
from rasterio.crs import CRS

DARK, PEAK = 0.1, 0.4
BELL_M = 150.0
EARTH_M = 6378137.0


def mercator(lon: float, lat: float) -> tuple[float, float]:
    """EPSG:3857 by its formula, apart from the code under test."""
    return EARTH_M * np.radians(lon), EARTH_M * np.log(np.tan(np.pi / 4 + np.radians(lat) / 2))


def bell(x_3857: np.ndarray, y_3857: np.ndarray, centre_3857: tuple[float, float]) -> np.ndarray:
    """Reflectance: a bell around a place, on whatever side of the antimeridian it is looked at."""
    around = 2 * np.pi * EARTH_M
    dx = (x_3857 - centre_3857[0] + around / 2) % around - around / 2
    return DARK + PEAK * np.exp(-(dx**2 + (y_3857 - centre_3857[1]) ** 2) / 2 / BELL_M**2)


def pixel_centres(transform: Affine, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(height, width) x and y of the pixels' centres."""
    col, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return transform.c + transform.a * col + transform.b * row, transform.f + transform.d * col + transform.e * row


def bell_raster(path: Path, crs: str, lon: float, lat: float, pixel: float, size: int, turn_deg: float = 0.0) -> Path:
    """A file with a bell at a place in its midst, a part of a pixel off its centre.

    Args:
        path: of the GeoTIFF: red, green and blue as reflectance x 10,000, described and scaled.
        crs: of the file.
        lon: of the bell, degrees; may go on beyond 180 for a geographic CRS.
        lat: of the bell, degrees.
        pixel: side of a pixel in units of the CRS.
        size: pixels along each side.
        turn_deg: by which the file is rotated.
    """
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    transform = (
        Affine.translation(x, y)
        @ Affine.rotation(turn_deg)
        @ Affine(pixel, 0, (0.3 - size / 2) * pixel, 0, -pixel, (0.2 + size / 2) * pixel)
    )
    px, py = pixel_centres(transform, size, size)
    values = bell(*Transformer.from_crs(crs, "EPSG:3857", always_xy=True).transform(px, py), mercator(lon, lat))
    dn = np.rint(values * 10_000).astype("uint16")
    return write_raster(path, np.stack([dn, dn, dn]), transform, crs, nodata=0)


def write_raster(
    path: Path,
    values: np.ndarray,
    transform: Affine,
    crs: str | CRS,
    names: tuple[str | None, ...] = ("red", "green", "blue"),
    scale: float | None = 1e-4,
    **profile,
) -> Path:
    """Write (bands, h, w) values with descriptions and a scale (None to say neither)."""
    bands, height, width = values.shape
    settings = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": values.dtype}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **settings, crs=crs, transform=transform, **profile) as file:
        file.write(values)
        if names:
            file.descriptions = names
        if scale:
            file.scales = (scale,) * bands
    return path
