"""The areas of geometries: as valid polygons, in square metres, and in another CRS."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pyproj
import shapely

EQUAL_AREA_CRS = "EPSG:6933"


def area_m2(polygons: gpd.GeoSeries) -> np.ndarray:
    """Areas in square metres, (n,) float64, on the WGS 84 ellipsoid (EPSG:6933, cylindrical equal-area)."""
    to_equal_area = pyproj.Transformer.from_crs(polygons.crs, EQUAL_AREA_CRS, always_xy=True)
    return shapely.area(projected(polygons.to_numpy(), to_equal_area))


def planar_area(shapes: np.ndarray) -> np.ndarray:
    """Areas of (n,) geometries in the squared unit of their CRS: (n,) float64, 0 where there is None."""
    return np.nan_to_num(shapely.area(shapes))


def projected(shapes: np.ndarray, to: pyproj.Transformer) -> np.ndarray:
    """Geometries with their vertices in another CRS: (n,), in two thirds of the time of ``GeoSeries.to_crs``.

    Args:
        shapes: (n,) geometries in the transformer's source CRS, x before y.
        to: made with ``always_xy``.
    """

    def project(xy: np.ndarray) -> np.ndarray:
        # Copies, in a row each, which PROJ then overwrites.
        x, y = xy.T.copy()
        return np.column_stack(to.transform(x, y, inplace=True))

    return shapely.transform(shapes, project)


def areal(geometries: np.ndarray) -> np.ndarray:
    """Which geometries are Polygons or MultiPolygons: (n,) bool."""
    return np.isin(shapely.get_type_id(geometries), (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))


def polygonal(geometries: np.ndarray) -> np.ndarray:
    """The areas of geometries: (n,) valid 2-D Polygons or MultiPolygons; what has no area becomes an empty Polygon.

    Areas that are valid keep their vertices.

    Args:
        geometries: (n,) of any type; None counts as without area.
    """
    return repair(geometries)[0]


def repair(geometries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As ``polygonal``, and which geometries were no valid areas, heights apart: (n,) bool."""
    shapes = np.array(geometries, dtype=object)
    deep = shapely.has_z(shapes) | shapely.has_m(shapes)
    shapes[deep] = shapely.force_2d(shapes[deep])
    faulty = ~(areal(shapes) & shapely.is_valid(shapes) & ~shapely.is_empty(shapes))
    if faulty.any():
        shapes[faulty] = _areas_within(shapely.make_valid(shapes[faulty]))
    return shapes, faulty


def _areas_within(geometries: np.ndarray) -> np.ndarray:
    """The areas within valid geometries of any type: (n,) Polygons or MultiPolygons, an empty Polygon for none."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    # A collection may hold multipolygons, which have parts of their own.
    parts, inner = shapely.get_parts(parts, return_index=True)
    owner = owner[inner]
    is_area = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    parts, owner = parts[is_area], owner[is_area]

    result = np.full(len(geometries), shapely.Polygon(), dtype=object)
    count = np.bincount(owner, minlength=len(geometries))
    one_of_many = count[owner] > 1
    result[owner[~one_of_many]] = parts[~one_of_many]
    if one_of_many.any():
        several, place = np.unique(owner[one_of_many], return_inverse=True)
        together = shapely.multipolygons(parts[one_of_many], indices=place)
        # A union, as the areas of a collection may overlap or share an edge.
        result[several] = shapely.union_all(together[:, None], axis=1)
    return result
