"""The mining polygons of the literature: read from any vector file, repaired, kept to the tropical belt.

The study unites the polygons of Maus et al. (2022) and of Tang and Werner (2023).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.vectors.crs import beyond_degrees
from segmentation.geo.vectors.files import find_vector
from segmentation.geo.vectors.read import NO_DEGREES, crosses_antimeridian, polygonal, read_vector
from segmentation.geo.vectors.swapped import BELT_DEG, warn_of_swapped
from segmentation.polygons.names import polygon_names

# The year whose chips the study labels with these polygons.
LABEL_YEAR = 2019


@dataclass(frozen=True)
class LiteraturePolygons:
    """Mining polygons and what became of the others.

    Attributes:
        all: every usable polygon of the file, EPSG:4326, columns ``id`` (str, unique) and ``geometry``.
        in_belt: those whose centre lies in the tropical belt, the ones that are mapped.
        read: number of rows in the file.
        repaired: number of geometries that were invalid and have been mended.
        dropped: number of rows left out, by reason.
    """

    all: gpd.GeoDataFrame
    in_belt: gpd.GeoDataFrame
    read: int
    repaired: int
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over ids and geometries; the same polygons give the same value whatever the file format."""
        digest = hashlib.sha256("\n".join(self.all["id"]).encode())
        # Formats differ in the direction of rings and in where they start.
        digest.update(b"".join(shapely.to_wkb(shapely.normalize(self.all.geometry.values))))
        return digest.hexdigest()


def read_polygons(path: Path) -> LiteraturePolygons:
    """Read mining polygons from any file that OGR reads, in any CRS.

    A column ``id`` names the polygons, see ``polygons.names``; without one they are numbered from 1 in the order of the
    file.

    Args:
        path: ``FILE`` or ``FILE:LAYER``, see ``vectors.read.read_vector``.

    Raises:
        PipelineError: no such file, not a vector file, several layers with polygons, no usable CRS, no polygon in it,
            or ids that repeat or are given to some rows alone.
    """
    frame = read_rows(path)
    frame = gpd.GeoDataFrame({"id": polygon_names(frame, path)}, geometry=frame.geometry.values, crs=frame.crs)
    frame = frame.iloc[np.lexsort((frame["id"], frame["id"].str.zfill(100)))].reset_index(drop=True)
    areas = mend(frame, path)
    warn_of_swapped(areas.frame.geometry, path)
    bounds = areas.frame.bounds.to_numpy()
    usable = areas.without("on both sides of the antimeridian", crosses_antimeridian(bounds))
    _, south, _, north = usable.frame.bounds.to_numpy().T
    outside = np.abs((south + north) / 2) > BELT_DEG
    kept = usable.without(f"outside {BELT_DEG:.0f} N to {BELT_DEG:.0f} S", outside)
    if kept.frame.empty:
        raise PipelineError(f"{path} holds no polygon between {BELT_DEG:.0f} N and {BELT_DEG:.0f} S ({kept.dropped})")
    return LiteraturePolygons(usable.frame, kept.frame, kept.read, kept.repaired, kept.dropped)


@dataclass(frozen=True)
class Areas:
    """The rows of a vector file that hold an area, and what became of the others.

    Attributes:
        frame: the rows that are left.
        read: number of rows in the file.
        repaired: number of geometries that were invalid and have been mended.
        dropped: number of rows left out, by reason.
    """

    frame: gpd.GeoDataFrame
    read: int
    repaired: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def without(self, reason: str, rows: np.ndarray) -> Areas:
        """Leave out rows, (n,) bool, and keep count of them."""
        if not rows.any():
            return self
        kept = self.frame[~rows].reset_index(drop=True)
        count = self.dropped.get(reason, 0) + int(rows.sum())
        return replace(self, frame=kept, dropped={**self.dropped, reason: count})


def mend(frame: gpd.GeoDataFrame, path: Path) -> Areas:
    """Make every geometry a valid 2-D Polygon or MultiPolygon in EPSG:4326; rows without an area are left out.

    Args:
        frame: as from ``read_rows``.
        path: of its file, for errors.

    Raises:
        PipelineError: not one row holds an area.
    """
    areas = Areas(frame, read=len(frame))
    areas = areas.without("no geometry", (frame.geometry.isna() | frame.geometry.is_empty).to_numpy())
    areas = areas.without(NO_DEGREES, beyond_degrees(areas.frame.bounds.to_numpy(), frame.crs))
    areas = _repair(areas)
    if areas.frame.empty:
        raise PipelineError(f"{path} holds no polygon ({areas.read} rows read); mining polygons are needed")
    areas = replace(areas, frame=areas.frame.to_crs("EPSG:4326"))
    areas = areas.without("coordinates outside the CRS", ~np.isfinite(areas.frame.bounds.to_numpy()).all(axis=1))
    # Only vertices are projected: a long edge may then cut off a vertex that it passed closely.
    return areas if frame.crs == "EPSG:4326" else _repair(areas)


def _repair(areas: Areas) -> Areas:
    before = areas.frame.geometry
    after = gpd.GeoSeries(polygonal(before.values), crs=before.crs)
    repaired = int((~before.is_valid & ~after.is_empty).sum())
    areas = replace(areas, frame=areas.frame.set_geometry(after), repaired=areas.repaired + repaired)
    return areas.without("not a polygon", after.is_empty.to_numpy())


def read_rows(path: Path) -> gpd.GeoDataFrame:
    """Read the polygon layer of any file that OGR reads, at least one row of it.

    Args:
        path: ``FILE`` or ``FILE:LAYER``, see ``vectors.read.read_vector``.

    Raises:
        PipelineError: no such file, not a vector file, several layers with polygons, no usable CRS, or no row in it.
    """
    if find_vector(path) is None:
        raise PipelineError(
            f"no polygons at {path}: put the literature polygons there (README, 'Get the polygons') "
            "or name a file with --polygons"
        )
    frame = read_vector(path)
    if frame.empty:
        raise PipelineError(f"{path} holds no polygon (0 rows read); mining polygons are needed")
    return frame
