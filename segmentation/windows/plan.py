"""The plan of a year's windows: a square around every polygon, on the imagery's pixel grid, with its split."""

from __future__ import annotations

import hashlib
import logging

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import CHIP_PX, CRS, Grid, Windows, boxes
from segmentation.windows.splits import SEED, assign_splits, split_windows

_log = logging.getLogger(__name__)

# A window wider than this (313 km at the equator) holds no single mine; its polygon is most likely broken.
LARGEST_PX = 65_536


def plan_windows(
    polygons: gpd.GeoDataFrame, grid: Grid, test_ids: frozenset[str] = frozenset(), seed: int = SEED
) -> gpd.GeoDataFrame:
    """One centred window a polygon, with its split.

    Args:
        polygons: columns ``id`` and ``geometry``, any CRS.
        grid: the imagery's pixel grid.
        test_ids: ids of the polygons that are to be the test split.
        seed: of the random order in which groups are split.

    Returns:
        A row a polygon in the same order, EPSG:3857: ``id``, ``polygon`` (its id), ``split``, ``group`` (windows that
        overlap share one), ``col``, ``row``, ``side_px`` (see ``Windows``), and the square as ``geometry``.

    Raises:
        PipelineError: a polygon is too large for one window.
    """
    ids = polygons["id"].to_numpy(dtype=str)
    bounds_3857 = polygons.to_crs(CRS).bounds.to_numpy()
    windows = grid.windows_around(bounds_3857)
    _refuse_huge(ids, windows.side_px)
    splits = split_windows(ids, windows, test_ids, seed)
    return gpd.GeoDataFrame(
        {
            "id": ids,
            "polygon": ids,
            "split": splits.split,
            "group": splits.group,
            "col": windows.col,
            "row": windows.row,
            "side_px": windows.side_px,
        },
        geometry=boxes(grid.window_bounds(windows)),
        crs=CRS,
    )


def _refuse_huge(ids: np.ndarray, side_px: np.ndarray) -> None:
    huge = side_px > LARGEST_PX
    if huge.any():
        raise PipelineError(
            f"polygon '{ids[huge][0]}' needs a window of {side_px[huge][0]} px, more than {LARGEST_PX}; "
            f"split or remove it ({int(huge.sum())} such polygons)"
        )


def full_resolution(plan: gpd.GeoDataFrame, grid: Grid) -> gpd.GeoDataFrame:
    """Cut windows larger than a chip into chips of full resolution, named ``ID_row_column``.

    They keep their window's polygon, group and split, so that nothing leaks between splits.

    Args:
        plan: from ``plan_windows``.
        grid: the imagery's pixel grid.

    Raises:
        PipelineError: a chip's name would be that of another polygon's.
    """
    chips_across = (plan["side_px"] // CHIP_PX).to_numpy()
    chips_in = chips_across**2
    # Of every chip: its window, its number within the window, row by row, and its row and column there.
    window = np.repeat(np.arange(len(plan)), chips_in)
    first = np.cumsum(chips_in) - chips_in
    number = np.arange(len(window)) - first[window]
    row, col = np.divmod(number, chips_across[window])

    chips = plan.iloc[window].reset_index(drop=True)
    place = "_" + pd.Series(row).astype(str) + "_" + pd.Series(col).astype(str)
    chips["id"] = chips["id"].where(chips_across[window] == 1, chips["id"] + place)
    again = chips["id"].duplicated()
    if again.any():
        raise PipelineError(
            f"chip '{chips.loc[again, 'id'].iloc[0]}' of a large window has the name of another polygon; "
            "rename that polygon"
        )
    chips = chips.assign(col=chips["col"] + CHIP_PX * col, row=chips["row"] + CHIP_PX * row, side_px=CHIP_PX)
    return chips.set_geometry(boxes(grid.window_bounds(as_windows(chips))), crs=CRS)


def as_windows(plan: gpd.GeoDataFrame) -> Windows:
    """The squares of a plan as arrays."""
    return Windows(
        col=plan["col"].to_numpy("int64"),
        row=plan["row"].to_numpy("int64"),
        side_px=plan["side_px"].to_numpy("int64"),
    )


def splits_fingerprint(plan: gpd.GeoDataFrame) -> str:
    """SHA-256 over ids and splits: changes when the seed or the chosen test polygons do."""
    lines = plan["id"] + " " + plan["split"]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def keep_former_splits(
    plan: gpd.GeoDataFrame, recorded: frozenset[str], test_ids: frozenset[str], seed: int
) -> gpd.GeoDataFrame:
    """The plan with the splits of a workspace from before dominant groups went to train, if its years have those.

    A polygon has the same split in every year, so such a workspace keeps its splits, with a warning.

    Args:
        plan: from ``plan_windows`` or ``full_resolution``.
        recorded: fingerprints of the splits of the workspace's years.
        test_ids: as in ``plan_windows``.
        seed: likewise.
    """
    if not recorded or splits_fingerprint(plan) in recorded:
        return plan
    polygons = plan.drop_duplicates("polygon")
    ids, groups = polygons["polygon"].to_numpy(dtype=str), polygons["group"].to_numpy()
    former = assign_splits(ids, groups, test_ids, seed, dominant_to_train=False)
    split_of = dict(zip(ids, former, strict=True))
    kept = plan.assign(split=plan["polygon"].map(split_of))
    if splits_fingerprint(kept) not in recorded:
        return plan
    _log.warning(
        "this workspace keeps the splits that it was made with; another --data-root gets those that leave the "
        "largest group of overlapping windows to train on"
    )
    return kept
