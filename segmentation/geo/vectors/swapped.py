"""Latitude written before longitude: polygons that would all lie on tropical land were their coordinates swapped."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from segmentation.geo.countries import read_countries

_logger = logging.getLogger(__name__)

# NICFI's programme covers the tropics between 30 N and 30 S.
BELT_DEG = 30.0
_FEW = 500


def warn_of_swapped(polygons_4326: gpd.GeoSeries, path: Path) -> None:
    """Say it where swapping all coordinates would bring all polygons onto land in the belt, and only swapping does.

    Args:
        polygons_4326: all polygons of a file, as read.
        path: of it.
    """
    shapes = polygons_4326.to_numpy()
    flipped = shapely.transform(shapes, lambda xy: xy[:, ::-1])
    # The cheap questions first. No polygon of the Americas or of Asia passes that of the belt, and of many polygons in
    # Africa some would come to lie in the sea.
    if not _in_belt(flipped).all() or not _on_land(flipped[:_FEW]).all():
        return
    as_they_are = _in_belt(shapes).all() and _on_land(shapes).all()
    if not as_they_are and _on_land(flipped).all():
        _logger.warning(
            "%s seems to have latitudes and longitudes swapped: as they are, not all polygons lie on land between "
            "%.0f N and %.0f S; swapped, all do (for example ogr2ogr -swapxy)",
            path,
            BELT_DEG,
            BELT_DEG,
        )


def _in_belt(shapes: np.ndarray) -> np.ndarray:
    _, south, _, north = shapely.bounds(shapes).T
    return np.abs((south + north) / 2) <= BELT_DEG


def _on_land(shapes_4326: np.ndarray) -> np.ndarray:
    """Which polygons have their centre in a country: (n,) bool."""
    # The land asks for the points, not the other way round: what asks is prepared, and it has the many vertices.
    _, found = shapely.STRtree(shapely.centroid(shapes_4326)).query(_land(), predicate="intersects")
    on_land = np.zeros(len(shapes_4326), dtype=bool)
    on_land[found] = True
    return on_land


@cache
def _land() -> np.ndarray:
    # Parts of countries have much smaller boxes to search than whole ones.
    return shapely.get_parts(read_countries().geometry.to_numpy())
