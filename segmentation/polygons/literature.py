"""The mining polygons of the literature: read from any vector file, repaired, kept to the tropical belt.

The study unites the polygons of Maus et al. (2022) and of Tang and Werner (2023).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.vectors.clean import Account, Areas, clean
from segmentation.geo.vectors.files import find_vector
from segmentation.geo.vectors.read import read_vector
from segmentation.geo.vectors.swapped import BELT_DEG, warn_of_swapped
from segmentation.polygons.names import polygon_names

# The year whose chips the study labels with these polygons.
LABEL_YEAR = 2019


@dataclass(frozen=True)
class LiteraturePolygons:
    """Mining polygons, and what became of the file's other rows.

    Attributes:
        all: every usable polygon of the file, EPSG:4326, columns ``id`` (str, unique) and ``geometry``.
        in_belt: those whose centre lies in the tropical belt, the ones that are mapped.
        account: of the file's rows, those outside the belt among the ones that were left out.
    """

    all: gpd.GeoDataFrame
    in_belt: gpd.GeoDataFrame
    account: Account

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
    rows = read_rows(path)
    named = gpd.GeoDataFrame({"id": polygon_names(rows, path)}, geometry=rows.geometry.values, crs=rows.crs)
    areas = clean_areas(_in_order(named), path)
    warn_of_swapped(areas.frame.geometry, path)
    usable = areas.without_wrapped()
    _, south, _, north = usable.frame.bounds.to_numpy().T
    outside = np.abs((south + north) / 2) > BELT_DEG
    mapped = usable.without(f"outside {BELT_DEG:.0f} N to {BELT_DEG:.0f} S", outside)
    if mapped.frame.empty:
        dropped = mapped.account.dropped
        raise PipelineError(f"{path} holds no polygon between {BELT_DEG:.0f} N and {BELT_DEG:.0f} S ({dropped})")
    return LiteraturePolygons(usable.frame, mapped.frame, mapped.account)


def _in_order(polygons: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Polygons by ``id``, where 9 comes before 10."""
    padded = polygons["id"].str.zfill(100)
    return polygons.iloc[np.lexsort((polygons["id"], padded))].reset_index(drop=True)


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


def clean_areas(rows: gpd.GeoDataFrame, path: Path) -> Areas:
    """The rows that hold an area, at least one.

    Args:
        rows: as from ``read_rows``.
        path: of their file, for errors.

    Returns:
        Valid 2-D Polygons and MultiPolygons in EPSG:4326, see ``vectors.clean.clean``.

    Raises:
        PipelineError: not one row holds an area.
    """
    areas = clean(rows)
    if areas.frame.empty:
        raise PipelineError(f"{path} holds no polygon ({len(rows)} rows read); mining polygons are needed")
    return areas
