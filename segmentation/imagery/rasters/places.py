"""Where raster files lie: their outlines on the world's map, and the level of the grid that suits their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import Transformer
from rasterio import Affine
from rasterio.crs import CRS
from shapely.affinity import translate

from segmentation.geo.grid import HALF_WORLD_M, Grid, lonlat_to_mercator

# Web Mercator ends here.
_LARGEST_LATITUDE = 85.05
_POINTS_A_SIDE = 21


@dataclass(frozen=True)
class Place:
    """Where a file lies.

    Attributes:
        outline: EPSG:3857; beyond the antimeridian x goes on.
        pixel_3857_m: side of a pixel in metres of EPSG:3857.
    """

    outline: shapely.Polygon
    pixel_3857_m: float


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


def on_world_map(outlines: Sequence[shapely.Polygon]) -> tuple[np.ndarray, np.ndarray]:
    """Outlines on the world's map: what leaves it on one side comes in on the other.

    Returns:
        (m,) int64, position of the outline, and (m,) shapely polygons, EPSG:3857.
    """
    world_m = 2 * HALF_WORLD_M
    copies = np.empty((len(outlines), 3), object)
    for column, turn in enumerate((-1, 0, 1)):
        copies[:, column] = [translate(outline, turn * world_m) for outline in outlines]
    map_3857 = shapely.box(-HALF_WORLD_M, -HALF_WORLD_M, HALF_WORLD_M, HALF_WORLD_M)
    position, turned = np.nonzero(shapely.intersects(copies, map_3857))
    return position, copies[position, turned]


def nearest_level(pixel_3857_m: float) -> int:
    """The level of the grid whose pixels are nearest in size: 15 for Planet's quads, 14 for 10 m."""
    return max(0, round(np.log2(Grid(0).pixel_m / pixel_3857_m)))
