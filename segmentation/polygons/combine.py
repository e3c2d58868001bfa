"""One data set from two: ``python -m segmentation.polygons combine MAUS TANG_WERNER`` unites the published polygons.

Polygons that overlap, within a file or across the two, become one; polygons that merely touch stay apart. A row of the
result is a connected area and knows where it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from segmentation.core.errors import PipelineError
from segmentation.core.tables import amount
from segmentation.geo.areas import area_m2
from segmentation.geo.countries import assign_countries
from segmentation.geo.unions import connected_groups
from segmentation.geo.vectors.clean import ACROSS_ANTIMERIDIAN, Areas, crosses_antimeridian
from segmentation.geo.vectors.files import existing_vector
from segmentation.geo.vectors.swapped import warn_of_swapped
from segmentation.polygons.literature import clean_areas, read_rows

MAUS, TANG_WERNER, BOTH = "maus", "tang_werner", "both"
COLUMNS = ("ISO3_CODE", "COUNTRY_NAME", "id", "source", "n_maus", "n_tang_werner", "area", "geometry")
LAYER = "mining_polygons"
METADATA = {
    "citation": (
        "Maus, V., et al. (2022). An update on global mining land use. Scientific Data 9, 433. "
        "https://doi.org/10.1594/PANGAEA.942325 (CC BY-SA 4.0). "
        "Tang, L., and Werner, T. T. (2023). Global mining footprint mapped from high-resolution satellite imagery. "
        "Communications Earth & Environment 4, 134. https://doi.org/10.1038/s43247-023-00805-6 (CC BY 4.0)."
    ),
    # An adaptation of the first may only be shared under its own licence.
    "licence": "CC BY-SA 4.0",
}

# Files of the same polygons in another format or CRS differ by less (0.1 mm): ids do not follow such noise.
_ORDER_DECIMALS = 9


@dataclass(frozen=True)
class PublishedFile:
    """One published file, taken apart into single polygons.

    Attributes:
        name: ``maus`` or ``tang_werner``.
        file: name of the file, and what was chosen in it.
        areas: its rows that hold an area, EPSG:4326, and what became of the others.
        parts: (n,) valid 2-D Polygons, EPSG:4326.
        row: (n,) int64, position of the row that each part belongs to.
    """

    name: str
    file: str
    areas: Areas
    parts: np.ndarray
    row: np.ndarray


def read_published(path: Path, name: str) -> PublishedFile:
    """Read one of the two files: any format that OGR reads, any CRS, whatever its columns; ``FILE`` or ``FILE:LAYER``.

    Rows cut at the antimeridian are taken as they are, a part on either side; only what goes around the world in one
    piece is left out.

    Raises:
        PipelineError: not a vector file, no CRS, or no polygon in it.
    """
    areas = clean_areas(read_rows(path), path)
    warn_of_swapped(areas.frame.geometry, path)
    parts, row = shapely.get_parts(areas.frame.geometry.values, return_index=True)
    parts_around = crosses_antimeridian(shapely.bounds(parts))
    rows_around = np.bincount(row, parts_around, minlength=len(areas.frame)) > 0
    areas = areas.without(ACROSS_ANTIMERIDIAN, rows_around)
    if areas.frame.empty:
        raise PipelineError(f"{path} holds no polygon on one side of the antimeridian ({areas.account.dropped})")
    parts, row = shapely.get_parts(areas.frame.geometry.values, return_index=True)
    return PublishedFile(name, existing_vector(path).short, areas, parts, row)


def combine(maus: PublishedFile, tang_werner: PublishedFile, countries: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Unite the polygons of both files, one row a connected area.

    Rows come from north to south and, at the same northern edge, from west to east; ``id`` counts them from 1. Order
    and shapes depend on the polygons alone, not on the order of the rows in the files.

    Args:
        maus: the polygons of Maus et al. (2022).
        tang_werner: those of Tang and Werner (2023).
        countries: as from ``countries.read_countries``.

    Returns:
        ``COLUMNS`` in EPSG:4326: ``source`` is maus, tang_werner or both, ``n_maus`` and ``n_tang_werner`` count the
        rows of the files that have a part in it, ``area`` is in square metres (equal-area, EPSG:6933). Geometries are
        Polygons, and MultiPolygons where a source polygon pinches to a point.
    """
    parts = shapely.normalize(np.concatenate([maus.parts, tang_werner.parts]))
    # Numbers the rows of both files through.
    owner = np.concatenate([maus.row, tang_werner.row + len(maus.areas.frame)])
    order = np.argsort(shapely.to_wkb(parts), kind="stable")
    parts, owner = parts[order], owner[order]
    group = _overlap_groups(parts, owner)
    n_maus, n_tang_werner = _owners(group, owner, len(maus.areas.frame))
    united = gpd.GeoSeries(_unite(parts, group), crs="EPSG:4326")
    country = assign_countries(united, countries)
    table = gpd.GeoDataFrame(
        {
            "ISO3_CODE": country["iso_a3"],
            "COUNTRY_NAME": country["country_name"],
            "source": np.select([n_tang_werner == 0, n_maus == 0], [MAUS, TANG_WERNER], BOTH),
            "n_maus": n_maus,
            "n_tang_werner": n_tang_werner,
            "area": area_m2(united),
        },
        geometry=united,
    )
    west, _, _, north = np.round(table.bounds.to_numpy(), _ORDER_DECIMALS).T
    table = table.iloc[np.lexsort((west, -north))].reset_index(drop=True)
    table["id"] = np.arange(1, len(table) + 1, dtype="int64")
    return table[list(COLUMNS)]


def _overlap_groups(parts: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Connected components of overlap: (n,) int32, one label a group.

    Two polygons overlap where their interiors do, that is where they share an area, however small. Parts of the same
    row need only touch: mending makes two of a figure of eight, and specks of many a careless outline.
    """
    first, second = shapely.STRtree(parts).query(parts, predicate="intersects")
    first, second = np.column_stack([first, second])[first < second].T
    shapely.prepare(parts)
    joined = (owner[first] == owner[second]) | ~shapely.touches(parts[first], parts[second])
    return connected_groups(len(parts), first[joined], second[joined])


def _unite(parts: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The union of every group, (groups,) polygons; what stands alone keeps its vertices."""
    shared = np.bincount(group) > 1
    united = np.empty(len(shared), dtype=object)
    alone = ~shared[group]
    united[group[alone]] = parts[alone]
    members = np.argsort(group, kind="stable")
    members = members[shared[group[members]]]
    if len(members):
        rank = np.cumsum(shared) - 1
        heaps = shapely.geometrycollections(parts[members], indices=rank[group[members]])
        united[shared] = shapely.union_all(heaps[:, None], axis=1)
    return shapely.orient_polygons(shapely.normalize(united))


def _owners(group: np.ndarray, owner: np.ndarray, n_maus_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """How many rows of the two files have a part in every group: twice (groups,) int64."""
    group_of, row = np.unique(np.column_stack([group, owner]), axis=0).T
    n_groups = int(group.max()) + 1
    of_maus = row < n_maus_rows
    return np.bincount(group_of[of_maus], minlength=n_groups), np.bincount(group_of[~of_maus], minlength=n_groups)


def summarise(sources: Sequence[PublishedFile], table: gpd.GeoDataFrame) -> str:
    """A table of what came in, what was left out and why, and what was made of it; ready to print.

    Args:
        sources: the two files.
        table: from ``combine``.
    """
    lines = []
    for source in sources:
        lines.append(f"{source.name}: {source.file}")
        lines.append(amount("  polygons read", source.areas.account.read))
        lines.append(amount("    geometries repaired", source.areas.account.invalid))
        lines += [amount(f"    dropped: {reason}", count) for reason, count in source.areas.account.dropped.items()]
        lines.append(amount("  separate areas in them", len(source.parts)))
    parts = sum(len(source.parts) for source in sources)
    lines.append(amount("merged with others", parts - len(table)))
    lines.append(_with_area("polygons", table))
    for name in (MAUS, TANG_WERNER, BOTH):
        lines.append(_with_area(f"  {name}", table[table["source"] == name]))
    return "\n".join(lines)


def _with_area(label: str, rows: gpd.GeoDataFrame) -> str:
    area_km2 = rows["area"].sum() / 1e6
    return f"{amount(label, len(rows))}{area_km2:>16,.1f} km2"


def metadata(sources: Sequence[PublishedFile], table: gpd.GeoDataFrame) -> dict[str, str]:
    """What the written file says of itself: the works to cite, the licence, how many polygons came of which file."""
    facts = METADATA | {"polygons": str(len(table))}
    for source in sources:
        facts[source.name] = f"{source.file}: {len(source.areas.frame)} of {source.areas.account.read} polygons"
    return facts
