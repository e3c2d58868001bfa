"""The windows of a year: planned around the polygons, and kept as ``windows.gpkg``, the record of what was seen."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from segmentation.core.errors import DamagedFile, PipelineError
from segmentation.geo.geopackage import Layer, read_metadata, write_geopackage
from segmentation.geo.grid import CHIP_PX, CRS, Grid, Windows, boxes
from segmentation.windows.splits import SEED, assign_splits, overlap_groups
from segmentation.windows.statuses import WRITTEN

# A window wider than this (313 km at the equator) holds no single mine; its polygon is most likely broken.
LARGEST_PX = 65_536

# The layer of windows.gpkg with the valid ground of windows that are valid in part.
VALID_GROUND = "valid_ground"


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
    windows = grid.windows_around(polygons.to_crs(CRS).bounds.to_numpy())
    large = windows.side_px > LARGEST_PX
    if large.any():
        raise PipelineError(
            f"polygon '{ids[large][0]}' needs a window of {windows.side_px[large][0]} px, more than {LARGEST_PX}; "
            f"split or remove it ({int(large.sum())} such polygons)"
        )
    groups = overlap_groups(windows)
    return gpd.GeoDataFrame(
        {
            "id": ids,
            "polygon": ids,
            "split": assign_splits(ids, groups, test_ids, seed),
            "group": groups,
            "col": windows.col,
            "row": windows.row,
            "side_px": windows.side_px,
        },
        geometry=boxes(grid.window_bounds(windows)),
        crs=CRS,
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
    across = (plan["side_px"] // CHIP_PX).to_numpy()
    chips = plan.loc[np.repeat(plan.index, across**2)].reset_index(drop=True)
    first = np.cumsum(across**2) - across**2
    within, wide = np.arange(len(chips)) - np.repeat(first, across**2), np.repeat(across, across**2)
    row, col = np.divmod(within, wide)
    suffix = np.where(wide > 1, "_" + row.astype(str).astype(object) + "_" + col.astype(str).astype(object), "")
    chips["id"] = chips["id"] + suffix
    if chips["id"].duplicated().any():
        again = chips.loc[chips["id"].duplicated(), "id"].iloc[0]
        raise PipelineError(f"chip '{again}' of a large window has the name of another polygon; rename that polygon")
    chips = chips.assign(col=chips["col"] + CHIP_PX * col, row=chips["row"] + CHIP_PX * row, side_px=CHIP_PX)
    return chips.set_geometry(boxes(grid.window_bounds(as_windows(chips))), crs=CRS)


def as_windows(plan: gpd.GeoDataFrame) -> Windows:
    """The squares of a plan as arrays."""
    return Windows(*(plan[name].to_numpy("int64") for name in ("col", "row", "side_px")))


def splits_fingerprint(plan: gpd.GeoDataFrame) -> str:
    """SHA-256 over ids and splits: changes when the seed or the chosen test polygons do."""
    return hashlib.sha256("\n".join(plan["id"] + " " + plan["split"]).encode()).hexdigest()


def written_fingerprint(windows: gpd.GeoDataFrame) -> str:
    """Which windows there are and which of them were written, in short: their numbers and the head of a SHA-256.

    Polygons carry it in their metadata, so that they are not held against windows that they were not looked for in.
    """
    places = windows[["id", "col", "row", "side_px", "status"]].astype(str)
    digest = hashlib.sha256("\n".join(places.agg(" ".join, axis=1)).encode()).hexdigest()
    written = int((windows["status"] == WRITTEN).sum())
    return f"{written:,} of {len(windows):,} written, sha256 {digest[:12]}"


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
    kept = plan.assign(split=plan["polygon"].map(dict(zip(ids, former, strict=True))))
    if splits_fingerprint(kept) not in recorded:
        return plan
    logging.getLogger(__name__).warning(
        "this workspace keeps the splits that it was made with; another --data-root gets those that leave the "
        "largest group of overlapping windows to train on"
    )
    return kept


def quads_by_window(windows: Windows, grid: Grid) -> pd.DataFrame:
    """The quads that windows touch: ``window`` (its position) and ``name`` of the quad, a row a pair."""
    window, x, y = grid.quads_of(windows)
    return pd.DataFrame({"window": window, "name": np.char.add(np.char.add(x.astype(str), "-"), y.astype(str))})


def write_windows(
    path: Path,
    windows: gpd.GeoDataFrame,
    footprint: Footprint,
    grid: Grid,
    settings: dict[str, str | int],
    *,
    ground: gpd.GeoDataFrame,
) -> None:
    """Keep what was looked at: the windows with their status, the pieces of imagery under them, their valid ground.

    The second layer is named after what a piece is: ``quads``, ``files``, ``tiles``. All layers are in EPSG:3857.

    Args:
        path: of ``windows.gpkg``.
        windows: from ``chips.dataset.cut_windows``.
        footprint: from the imagery source.
        grid: of the imagery.
        settings: of the imagery source; they become the file's metadata, with ``written_fingerprint``.
        ground: from ``chips.dataset.cut_windows``: ``id`` and valid ground of the windows that are valid in part. Those
            that are valid as a whole need none, their ground is their square.
    """
    unit = footprint.unit
    touched = footprint.touched.merge(footprint.pieces[["name", "mosaic"]], on="name", how="left")
    by_window = touched.groupby("window")
    every = np.arange(len(windows))
    table = windows.assign(
        written=windows["status"] == WRITTEN,
        mosaic=by_window["mosaic"]
        .agg(lambda names: " ".join(sorted(set(names.dropna()))))
        .reindex(every, fill_value="")
        .array,
        **{f"{unit}s": by_window["name"].agg(" ".join).reindex(every, fill_value="").array},
        pixel_3857_m=windows["side_px"] / CHIP_PX * grid.pixel_m,
    )
    layers = [
        Layer("windows", table, "Polygon", style="windows"),
        Layer(f"{unit}s", footprint.pieces.rename(columns={"name": unit}), "Polygon", style="quads"),
        Layer(VALID_GROUND, ground, style="valid_ground"),
    ]
    metadata = {key: str(value) for key, value in settings.items()}
    write_geopackage(path, layers, metadata | {"windows": written_fingerprint(windows)})


def read_windows(path: Path, year: int) -> gpd.GeoDataFrame:
    """The windows of a year, as step 1 left them.

    Raises:
        PipelineError: step 1 has not been run for this year, or the file is none of step 1.
        DamagedFile: the file cannot be read.
    """
    if not path.exists():
        raise PipelineError(
            f"no windows of {year} at {path}: run segmentation_dataset_generation.py -year={year} first"
        )
    try:
        return gpd.read_file(path, layer="windows")
    except DataLayerError as error:
        raise PipelineError(f"cannot read the windows of {year} from {path}: {error}") from None
    except (DataSourceError, FeatureError) as error:
        remedy = f"run segmentation_dataset_generation.py -year={year} again, which makes it anew"
        raise DamagedFile(path, str(error), remedy) from None


def read_grid(path: Path) -> Grid:
    """The pixel grid on which the windows of a ``windows.gpkg`` lie."""
    return Grid(int(read_metadata(path)["level"]))


@dataclass(frozen=True)
class Footprint:
    """The pieces of imagery under some windows.

    Attributes:
        unit: what a piece is called: ``quad``, ``file``, ``tile``.
        pieces: a row a piece: ``name``, ``mosaic`` (what it is a piece of), ``status`` and ``reason`` (see
            ``imagery.cache``), whatever else is known of it, and its outline (EPSG:3857).
        touched: ``window`` (its position) and the ``name`` of a piece under it, a row a pair.
        at_hand: number of pieces that the user has named, needed or not; None for a source that looks for its own.
    """

    unit: str
    pieces: gpd.GeoDataFrame
    touched: pd.DataFrame
    at_hand: int | None = None
