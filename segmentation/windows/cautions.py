"""What step 1 says loudly: what runs through without an error, and is most likely not what was meant."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely

from segmentation.geo.grid import CHIP_PX, CRS, Grid
from segmentation.windows.statuses import WRITTEN

# From here on a chip's pixels are coarser than 10 m, what Sentinel-2 shows for free, if the grid is Planet's (14.3 m).
_COARSE_FACTOR = 3
# Side of a window, twice the extent of its polygon, metres of EPSG:3857. A window as wide shows a hundred times the
# ground of one of full resolution along each side at Planet's level, and with that no mine but only a region.
_REGION_M = 40_000
# A window is at least twice as wide as its polygon, which fills a quarter of it at most. Others that fill nearly all of
# the rest are no outlines of mines, but cells, concessions or a basin.
_NEARLY_ALL = 0.9
# Outlines drawn around mines are hardly ever rectangles, which fill the narrowest box around them but for rounding.
_RECTANGLE_FILL = 0.99
_MOST_CORNERS = 50
_FEWEST_RECTANGLES = 5
_NAMED = 12


def of_plan(plan: gpd.GeoDataFrame, grid: Grid) -> list[str]:
    """Cautions about the windows, a line each.

    Args:
        plan: from ``plan_windows`` or ``full_resolution``.
        grid: of the imagery.
    """
    # With chips of full resolution, a large window has become many.
    chips = plan.groupby("polygon", sort=False).agg(chips=("id", "size"), side_px=("side_px", "max"))
    side_px = chips["side_px"] * np.sqrt(chips["chips"])
    factor = (chips["side_px"] // CHIP_PX).sort_values(ascending=False, kind="stable")
    coarse = factor[factor >= _COARSE_FACTOR]
    told = []
    if len(coarse):
        names = [f"{name} ({times * grid.pixel_m:.0f} m)" for name, times in coarse.items()]
        told.append(
            f"{len(coarse):,} of {len(chips):,} windows are resampled {_COARSE_FACTOR} times and more, to pixels of up "
            f"to {coarse.iloc[0] * grid.pixel_m:.0f} m instead of {grid.pixel_m:.1f} m: {_listed(names)}; --native "
            f"cuts them into {int((coarse**2).sum()):,} chips of full resolution instead"
        )
    wide = (side_px * grid.pixel_m / 1000)[side_px * grid.pixel_m >= _REGION_M]
    if len(wide):
        wide = wide.sort_values(ascending=False, kind="stable")
        names = [f"{name} (about {side_km / 2:.0f} km)" for name, side_km in wide.items()]
        told.append(
            f"{len(wide):,} of {len(chips):,} polygons are {_REGION_M // 2000} km wide and more, a region (a basin, a "
            f"concession) rather than a mine: {_listed(names)}; leave them out, or put the mines in them in their place"
        )
    return told


def of_polygons(polygons: gpd.GeoDataFrame) -> list[str]:
    """A caution, if there is reason for it, about polygons that nobody has drawn around mines.

    Args:
        polygons: columns ``id`` and ``geometry``, any CRS.
    """
    # Conformal, so that a square stays one.
    shapes = polygons.geometry.to_crs(CRS).to_numpy()
    simple = np.flatnonzero(shapely.get_num_coordinates(shapes) <= _MOST_CORNERS)
    boxes = shapely.oriented_envelope(shapes[simple])
    rectangular = simple[shapely.area(shapes[simple]) >= _RECTANGLE_FILL * shapely.area(boxes)]
    if len(rectangular) < _FEWEST_RECTANGLES or 2 * len(rectangular) < len(shapes):
        return []
    names = polygons["id"].to_numpy(dtype=str)[rectangular]
    return [
        f"{len(rectangular):,} of {len(shapes):,} polygons are rectangles, cells of a grid or search areas rather than "
        f"outlines of mines: {_listed(names)}; everything inside them counts as mine"
    ]


def of_labels_to_be(plan: gpd.GeoDataFrame, labels: gpd.GeoDataFrame) -> list[str]:
    """Cautions about the masks that will be drawn: nearly all mine, or of a polygon that vanishes in them.

    Args:
        plan: from ``plan_windows`` or ``full_resolution``.
        labels: the polygons that are to be drawn, any CRS.
    """
    whole = plan[plan["id"] == plan["polygon"]]
    names = whole["id"].to_numpy(dtype=str)
    told = _nearly_all_mine(names, _covered_share(whole, labels), "will be")
    pixel_m2 = whole.geometry.area.to_numpy() / CHIP_PX**2
    area_m2 = labels.set_index("id").geometry.to_crs(CRS).area.reindex(names).to_numpy()
    small = area_m2 < pixel_m2
    if small.any():
        told.append(
            f"{int(small.sum()):,} of {len(names):,} polygons are smaller than a pixel of their mask and may vanish in "
            f"it: {_listed(names[small])}"
        )
    return told


def of_labels(windows: gpd.GeoDataFrame) -> list[str]:
    """Cautions about the masks of the label year; none where there are no masks.

    Args:
        windows: from ``chips.dataset.cut_windows``.
    """
    masks = windows[(windows["status"] == WRITTEN) & windows["mine_share"].notna()]
    if masks.empty:
        return []
    share = masks["mine_share"].to_numpy()
    if not share.any():
        return [
            f"no pixel of the {len(masks):,} masks is mine, there is nothing to learn from: do the polygons lie where "
            "the imagery shows something, and are they larger than a pixel?"
        ]
    told = ["every pixel of the masks is mine, there is nothing to tell it from"] if (share == 1).all() else []
    # Chips of full resolution cut from a large window may be all mine, or hold none.
    whole = masks[masks["id"] == masks["polygon"]]
    names, share = whole["id"].to_numpy(dtype=str), whole["mine_share"].to_numpy()
    told += _nearly_all_mine(names, share, "are")
    if (share == 0).any():
        told.append(
            f"{int((share == 0).sum()):,} of {len(whole):,} masks hold no pixel of mine though a polygon lies in their "
            f"middle, which is smaller than a pixel or without data: {_listed(names[share == 0])}"
        )
    return told


def _nearly_all_mine(names: np.ndarray, share: np.ndarray, verb: str) -> list[str]:
    full = share >= _NEARLY_ALL
    if not full.any():
        return []
    listed = [f"{name} ({of:.1%})" for name, of in zip(names[full], share[full], strict=True)]
    return [
        f"{int(full.sum()):,} of {len(names):,} masks {verb} nearly all mine ({_NEARLY_ALL:.0%} of their pixels and "
        f"more): {_listed(listed)}; an outline of a mine fills a quarter of its window at most, so polygons that fill "
        "all of it are cells, concessions or a basin"
    ]


def _covered_share(plan: gpd.GeoDataFrame, labels: gpd.GeoDataFrame) -> np.ndarray:
    """The share of windows that polygons cover, (n,) float64, exact where it may be nearly all; 0 elsewhere."""
    shapes, squares = labels.geometry.to_crs(CRS).to_numpy(), plan.geometry.to_numpy()
    window, polygon = shapely.STRtree(shapes).query(squares)
    area, most = shapely.area(squares), np.zeros(len(squares))
    np.add.at(most, window, shapely.area(shapes)[polygon])
    share = np.zeros(len(squares))
    for position in np.flatnonzero(most >= _NEARLY_ALL * area):
        near = shapely.intersection(shapes[polygon[window == position]], squares[position])
        share[position] = shapely.area(shapely.union_all(near)) / area[position]
    return share


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
