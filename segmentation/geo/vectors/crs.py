"""Whether the CRS of a vector file says where its polygons are on Earth, and whether its numbers can be of it."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pyproj
import shapely

from segmentation.core.errors import PipelineError

SET_CRS = "assign the right one (ogr2ogr -a_srs EPSG:CODE fixed.gpkg FILE)"
# Longitudes may be counted eastwards from Greenwich, all around. A pole may be missed by a rounding.
_LARGEST_DEG = (360.0, 90.001)
_MILLION = 1e6


def check_crs(frame: gpd.GeoDataFrame, named: object) -> None:
    """Refuse polygons of which nobody can say where they are.

    Raises:
        PipelineError: there is no CRS, it is local to a mine or a drawing or another planet's, or most coordinates
            cannot be what the CRS says.
    """
    if frame.crs is None:
        raise PipelineError(f"{named} does not say its CRS; set one (for example ogr2ogr -a_srs EPSG:4326)")
    if not _on_earth(frame.crs):
        raise PipelineError(f"{named} has a CRS ({frame.crs.name}) that does not say where on Earth it is; {SET_CRS}")
    bounds = frame.bounds.to_numpy()
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    if not len(bounds):
        return
    if beyond_degrees(bounds, frame.crs).mean() > 0.5:
        if not beyond_degrees(bounds[:, [1, 0, 3, 2]], frame.crs).any():
            raise PipelineError(
                f"{named} has latitudes up to {np.abs(bounds[:, [1, 3]]).max():.0f} degrees: latitudes and longitudes "
                "are swapped (ogr2ogr -swapxy fixed.gpkg FILE)"
            )
        raise PipelineError(
            f"{named} has coordinates up to {np.abs(bounds).max():,.0f}, which are no degrees, though its CRS is "
            f"{frame.crs.name}: it is in metres, most likely; {SET_CRS}"
        )
    if frame.crs.is_projected and (np.abs(bounds) <= np.array([180, 90, 180, 90])).all():
        raise PipelineError(
            f"{named} has coordinates within 180 and 90, which are degrees, most likely, though its CRS is "
            f"{frame.crs.name}; {SET_CRS}"
        )


def west_of_180(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Move what is counted eastwards beyond 180 degrees, as 303 for 57 West, to where maps have it."""
    if not frame.crs.is_geographic:
        return frame
    shapes = frame.geometry.to_numpy()
    beyond = shapely.bounds(shapes)[:, 0] >= 180
    if not beyond.any():
        return frame
    moved = shapes.copy()
    moved[beyond] = shapely.transform(shapes[beyond], lambda xy: xy - (360.0, 0.0))
    return frame.set_geometry(gpd.GeoSeries(moved, index=frame.index, crs=frame.crs))


def beyond_degrees(bounds: np.ndarray, crs: pyproj.CRS) -> np.ndarray:
    """Which bounds, (n, 4), are no longitudes and latitudes, though a geographic CRS says so: (n,) bool."""
    if not crs.is_geographic:
        return np.zeros(len(bounds), dtype=bool)
    return (np.abs(bounds) > np.array(_LARGEST_DEG * 2)).any(axis=1)


def _on_earth(crs: pyproj.CRS) -> bool:
    """Whether coordinates in a CRS can be turned into longitude and latitude."""
    if not (crs.is_geographic or crs.is_projected) or crs.name.lower().startswith("undefined"):
        return False
    try:
        pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    except pyproj.exceptions.ProjError:
        return False
    return True
