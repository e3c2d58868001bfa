"""The valid ground of a year's windows: from ``windows.gpkg``, or where that does not hold it, from chips beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.errors import RasterioError

from segmentation.core.errors import PipelineError
from segmentation.core.process.cores import usable_cores
from segmentation.core.process.workers import map_ahead, worker_pool
from segmentation.core.progress import progress
from segmentation.core.workspace import YearFolder
from segmentation.windows.ground import valid_ground
from segmentation.windows.record import VALID_GROUND, read_windows
from segmentation.windows.statuses import WRITTEN

# Below this, starting processes costs more than they save.
_FEW_RASTERS = 100
# A raster belongs to a window if its valid share is the recorded one to less than a pixel of 512 x 512.
_SAME_SHARE = 1e-6
# Edges that two windows share were computed from either side. Rounded to tenths of millimetres, they coincide.
_DECIMALS = 4


@dataclass(frozen=True)
class YearGround:
    """The windows of a year that were looked at: n of them.

    Attributes:
        windows: those written, EPSG:3857: ``mosaic`` and the square.
        valid: (n,) their valid ground, EPSG:3857; None where it is not known.
        notes: what there is to say about where it comes from.
    """

    windows: gpd.GeoDataFrame
    valid: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Partly:
    """A window that is valid in part, of which ``windows.gpkg`` does not know where: what shows it."""

    rasters: tuple[Path, ...]
    valid_share: float


def read_ground(path: Path, year: int, *, quiet: bool = False) -> YearGround:
    """The windows of a year and their valid ground.

    Args:
        path: of the year's ``windows.gpkg``; chips and probabilities are looked for beside it where it was written
            before it held the valid ground.
        year: of the imagery.
        quiet: no progress bar.

    Raises:
        PipelineError: the file is not there or is no ``windows.gpkg``, or a chip is damaged.
    """
    windows = _read_windows(path, year)
    seen = windows[windows["status"] == WRITTEN].reset_index(drop=True)
    squares = _rounded(seen.geometry.to_numpy())
    partly = np.flatnonzero(~(seen["valid_share"].to_numpy("float64") >= 1))  # also where nobody noted the share
    valid = squares.copy()
    notes: tuple[str, ...] = ()
    if len(partly):
        kept = _kept_ground(path)
        if kept is None:
            valid[partly], notes = _derive(seen.iloc[partly], YearFolder(year, path.parent, path.parent), quiet=quiet)
        else:
            valid[partly] = kept.reindex(seen["id"].to_numpy()[partly]).to_numpy()
    missing = int(shapely.is_missing(valid).sum())
    if missing:
        notes += (
            f"{year}: where {missing:,} windows that are valid in part show anything is not in {path}, and no chips "
            "or probabilities of theirs lie beside it: they count as not observed; run step 1 for that year again",
        )
    return YearGround(seen[["mosaic", "geometry"]].set_geometry(squares, crs=seen.crs), _rounded(valid), notes)


def _read_windows(path: Path, year: int) -> gpd.GeoDataFrame:
    try:
        windows = read_windows(path, year)
    except (DataSourceError, DataLayerError) as error:
        raise PipelineError(f"cannot read the windows of {year} from {path}: {error}") from None
    if missing := {"status", "valid_share", "mosaic"} - set(windows.columns):
        raise PipelineError(f"{path} is no windows.gpkg of step 1: it lacks {', '.join(sorted(missing))}")
    return windows


def _rounded(shapes_3857: np.ndarray) -> np.ndarray:
    return shapely.transform(shapes_3857, lambda xy: np.round(xy, _DECIMALS))


def _kept_ground(path: Path) -> gpd.GeoSeries | None:
    """The valid ground by window id that step 1 kept; None in a file from before it did."""
    if VALID_GROUND not in pyogrio.list_layers(path)[:, 0]:
        return None
    kept = gpd.read_file(path, layer=VALID_GROUND)
    return kept.set_index("id").geometry


def _derive(partly: gpd.GeoDataFrame, folder: YearFolder, *, quiet: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """The valid ground of windows from their chips or probabilities, None where there are none, and what to say."""
    valid = np.full(len(partly), None, dtype=object)
    if not {"id", "split"} <= set(partly.columns):
        return valid, ()
    runs = sorted({probability.parent for probability in (folder.path / "probabilities").rglob("*.tif")})
    todo = []
    for name, split, share in zip(partly["id"], partly["split"], partly["valid_share"], strict=True):
        probabilities = [run / f"{name}.tif" for run in runs]
        todo.append(_Partly((folder.chip(split, name), *probabilities), float(share)))
    found_in_order = _in_processes(_ground_of, todo, f"valid ground of {folder.year}", quiet=quiet)
    for row, ground in enumerate(found_in_order):
        valid[row] = ground
    found = int((~shapely.is_missing(valid)).sum())
    if not found:
        return valid, ()
    note = (
        f"{folder.year}: windows.gpkg is from before it kept where windows are valid; taken from {found:,} chips "
        "or probabilities (step 1 for that year again keeps it)"
    )
    return valid, (note,)


def _in_processes(
    work: Callable[[_Partly], shapely.Geometry | None], items: list[_Partly], what: str, *, quiet: bool
) -> Iterator[shapely.Geometry | None]:
    bar = progress(total=len(items), desc=what, unit="window", quiet=quiet)
    with bar:
        if len(items) < _FEW_RASTERS:
            for item in items:
                yield work(item)
                bar.update()
            return
        workers = usable_cores()
        with worker_pool(workers) as pool:
            for result in map_ahead(pool, work, items, waiting=64 * workers):
                yield result
                bar.update()


def _ground_of(window: _Partly) -> shapely.Geometry | None:
    """The valid ground by the first raster that is there and is of this very window; None without one."""
    for path in window.rasters:
        if not path.exists():
            continue
        valid, transform = _valid_pixels(path)
        if abs(valid.mean() - window.valid_share) < _SAME_SHARE:
            return valid_ground(valid, transform)
    return None


def _valid_pixels(path: Path) -> tuple[np.ndarray, rasterio.Affine]:
    """Where a chip or a file of probabilities has data, (512, 512) bool, and its transform.

    Each says itself what stands for no data. A pixel of a chip has data if any of its bands has.
    """
    try:
        with rasterio.open(path) as file:
            bands, no_data, transform = file.read(), file.nodata, file.transform
    except RasterioError as error:
        raise PipelineError(f"{path} is damaged ({error}); remove it and run the step that made it again") from None
    return (bands != no_data).any(axis=0), transform
