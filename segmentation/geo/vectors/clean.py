"""The rows of a vector file that hold an area, as valid polygons in degrees, with an account of all the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import geopandas as gpd
import numpy as np
import shapely

from segmentation.geo.areas import repair
from segmentation.geo.vectors.crs import beyond_degrees

NO_GEOMETRY = "no geometry"
NO_POLYGON = "not a polygon"
NO_DEGREES = "coordinates that are no degrees"
OUTSIDE_CRS = "coordinates outside the CRS"
ACROSS_ANTIMERIDIAN = "on both sides of the antimeridian"

# A polygon this wide is one cut at the antimeridian whose parts lie on both sides of the map.
_WRAPPED_DEG = 180.0


@dataclass(frozen=True)
class Account:
    """What became of the rows of a file.

    Attributes:
        read: number of rows.
        invalid: number of geometries that were invalid, in their own CRS or only in degrees, and were repaired.
        mixed: number of valid geometries of which only the areas are kept: they were mixed with lines or points.
        flattened: number of geometries whose heights or measures were left out.
        dropped: number of rows left out, by reason.
    """

    read: int
    invalid: int = 0
    mixed: int = 0
    flattened: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def repaired(self) -> int:
        """Number of geometries of which something other than heights had to be changed."""
        return self.invalid + self.mixed


@dataclass(frozen=True)
class Areas:
    """The rows of a vector file that hold an area.

    Attributes:
        frame: the rows that are left, with all their columns.
        account: what became of the others.
    """

    frame: gpd.GeoDataFrame
    account: Account

    def without(self, reason: str, rows: np.ndarray) -> Areas:
        """Leave out rows, and keep count of them.

        Args:
            reason: why, for the account.
            rows: (n,) bool, those to leave out.
        """
        if not rows.any():
            return self
        count = self.account.dropped.get(reason, 0) + int(rows.sum())
        account = replace(self.account, dropped=self.account.dropped | {reason: count})
        return Areas(self.frame[~rows].reset_index(drop=True), account)

    def without_wrapped(self) -> Areas:
        """Leave out what lies on both sides of the antimeridian, whose area is not defined."""
        return self.without(ACROSS_ANTIMERIDIAN, crosses_antimeridian(self.frame.bounds.to_numpy()))


def clean(frame: gpd.GeoDataFrame) -> Areas:
    """Keep the areas: repair what is invalid, leave out heights, lines, points and what is empty.

    Args:
        frame: any geometries, any CRS, any columns.

    Returns:
        The rows that hold an area, as valid 2-D Polygons and MultiPolygons in EPSG:4326 with their columns unchanged,
        and what became of the others. Rows on both sides of the antimeridian are still among them.
    """
    areas = Areas(frame, Account(read=len(frame)))
    areas = areas.without(NO_GEOMETRY, (frame.geometry.isna() | frame.geometry.is_empty).to_numpy())
    areas = areas.without(NO_DEGREES, beyond_degrees(areas.frame.bounds.to_numpy(), frame.crs))
    areas, repaired = _repair(areas, np.zeros(len(areas.frame), dtype=bool))
    areas = replace(areas, frame=areas.frame.to_crs("EPSG:4326"))
    outside = ~np.isfinite(areas.frame.bounds.to_numpy()).all(axis=1)
    areas = areas.without(OUTSIDE_CRS, outside)
    if frame.crs != "EPSG:4326":
        # Only vertices are projected: a long edge may then cut off a vertex that it passed closely.
        areas, _ = _repair(areas, repaired[~outside])
    return areas


def _repair(areas: Areas, counted: np.ndarray) -> tuple[Areas, np.ndarray]:
    """Make every geometry a valid 2-D Polygon or MultiPolygon; leave out those in which there is no area.

    Args:
        areas: rows with any geometries.
        counted: (n,) bool, those that were repaired before and are in the account already.

    Returns:
        The rows that hold an area, and which of them have been repaired, now or before: (m,) bool.
    """
    before = areas.frame.geometry.to_numpy()
    after, faulty = repair(before)
    kept = ~shapely.is_empty(after)
    repaired = faulty & kept & ~counted
    # What is valid and was repaired nevertheless is a collection of geometries of several types.
    mixed = int(shapely.is_valid(before[repaired]).sum())
    deep = shapely.has_z(before) | shapely.has_m(before)
    account = replace(
        areas.account,
        invalid=areas.account.invalid + int(repaired.sum()) - mixed,
        mixed=areas.account.mixed + mixed,
        flattened=areas.account.flattened + int((deep & kept).sum()),
    )
    frame = areas.frame.set_geometry(gpd.GeoSeries(after, index=areas.frame.index, crs=areas.frame.crs))
    return Areas(frame, account).without(NO_POLYGON, ~kept), (counted | faulty)[kept]


def crosses_antimeridian(bounds_deg: np.ndarray) -> np.ndarray:
    """Which polygons have parts at both ends of the map, or longitudes beyond 180 degrees: (n,) bool.

    Args:
        bounds_deg: (n, 4) float64, west, south, east, north.
    """
    west, _, east, _ = bounds_deg.reshape(-1, 4).T
    return (east - west > _WRAPPED_DEG) | (west < -180) | (east > 180)
