"""``windows.gpkg``: what was looked at in a year, its windows, the imagery under them and their valid ground."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from segmentation.core.errors import DamagedFile, PipelineError
from segmentation.geo.geopackage import Layer, read_metadata, write_geopackage
from segmentation.geo.grid import CHIP_PX, Grid, Windows
from segmentation.windows.statuses import WRITTEN

# The layer of windows.gpkg with the valid ground of windows that are valid in part.
VALID_GROUND = "valid_ground"


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


def quads_by_window(windows: Windows, grid: Grid) -> pd.DataFrame:
    """The quads that windows touch: ``window`` (its position) and ``name`` of the quad, a row a pair."""
    window, x, y = grid.quads_of(windows)
    x_dash = np.char.add(x.astype(str), "-")
    return pd.DataFrame({"window": window, "name": np.char.add(x_dash, y.astype(str))})


def write_windows(
    path: Path,
    windows: gpd.GeoDataFrame,
    footprint: Footprint,
    grid: Grid,
    settings: Mapping[str, str | int],
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

    Raises:
        PipelineError: the file cannot be written.
    """
    layer_of_pieces = f"{footprint.unit}s"
    touched = footprint.touched.merge(footprint.pieces[["name", "mosaic"]], on="name", how="left")
    pieces_of = touched.groupby("window")["name"].agg(" ".join)
    mosaics_of = touched.groupby("window")["mosaic"].agg(_each_once)
    every_window = np.arange(len(windows))
    table = windows.assign(
        written=windows["status"] == WRITTEN,
        mosaic=mosaics_of.reindex(every_window, fill_value="").array,
        **{layer_of_pieces: pieces_of.reindex(every_window, fill_value="").array},
        pixel_3857_m=windows["side_px"] / CHIP_PX * grid.pixel_m,
    )
    layers = [
        Layer("windows", table, "Polygon", style="windows"),
        Layer(layer_of_pieces, footprint.pieces.rename(columns={"name": footprint.unit}), "Polygon", style="quads"),
        Layer(VALID_GROUND, ground, style="valid_ground"),
    ]
    metadata = {key: str(value) for key, value in settings.items()}
    write_geopackage(path, layers, metadata | {"windows": written_fingerprint(windows)})


def _each_once(names: pd.Series) -> str:
    """Names in order, with blanks between them; those that are not known left out."""
    return " ".join(sorted(set(names.dropna())))


def written_fingerprint(windows: gpd.GeoDataFrame) -> str:
    """Which windows there are and which of them were written, in short: their numbers and the head of a SHA-256.

    Polygons carry it in their metadata, so that they are not held against windows that they were not looked for in.
    """
    places = windows[["id", "col", "row", "side_px", "status"]].astype(str)
    lines = places.agg(" ".join, axis=1)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    written = int((windows["status"] == WRITTEN).sum())
    return f"{written:,} of {len(windows):,} written, sha256 {digest[:12]}"


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
    """The pixel grid on which the windows of a ``windows.gpkg`` lie.

    Raises:
        PipelineError: the file cannot be read, or does not say its grid.
    """
    level = read_metadata(path).get("level", "")
    if not level.isdecimal():
        raise PipelineError(f"{path} does not say on which grid its windows lie: run step 1 of that year again")
    return Grid(int(level))
