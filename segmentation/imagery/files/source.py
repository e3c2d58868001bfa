"""The user's own rasters as an imagery source: GeoTIFFs, COGs, VRTs, folders of them, quads from earlier downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from rasterio import Affine

from segmentation.core.errors import PipelineError
from segmentation.core.progress import progress
from segmentation.geo.grid import CHIP_PX, CRS, Grid, Windows, boxes, mercator_to_lonlat
from segmentation.imagery.cache import COVERED, NOT_COVERED
from segmentation.imagery.files.content import Content, by_time_of_change, examine
from segmentation.imagery.files.plausibility import (
    larger_shares,
    require_reflectance,
    warn_of_fill,
    warn_of_other_bands,
)
from segmentation.imagery.files.reader import RasterReader
from segmentation.imagery.rasters.bands import COLOURS
from segmentation.imagery.rasters.description import Raster, describe, read_layout
from segmentation.imagery.rasters.finding import find_files, require_one_kind
from segmentation.imagery.rasters.places import nearest_level, on_world_map
from segmentation.imagery.rasters.scales import Reflectance
from segmentation.imagery.source import Forecast, Prepared
from segmentation.windows.record import Footprint

_UNIT = "file"
_NAMED = 3
# Windows under which files are looked at before anything is cut, all files together; one of each file at least.
_LOOKED_AT = 64
_AS_DESCRIBED = "as the files say"


class RasterImagery:
    """Raster files that lie where they lie, of any CRS, resolution and data type.

    Args:
        paths: files, or folders of them; where several show a pixel, the first of them counts (in the order given,
            within a folder by name).
        bands: see ``description.describe``.
        reflectance: see ``description.describe``.
        level: of the grid; None for the one nearest to the finest file.
        no_data: see ``description.describe``.
        kept: settings of an earlier run for the same year. Where it read the same files, these keep the name and the
            fingerprint that it gave them: they may lie in another folder now, or have been fingerprinted otherwise.
        quiet: no progress bars.

    Raises:
        PipelineError: a file is missing, cannot be read or does not say enough, or they differ in their bands.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        bands: Sequence[str] | None = None,
        reflectance: Reflectance | None = None,
        level: int | None = None,
        no_data: float | None = None,
        kept: Mapping[str, str | int] | None = None,
        quiet: bool = False,
    ):
        files = find_files(paths)
        with progress(total=2 * len(files), desc="files", unit="file", quiet=quiet, leave=False) as bar:
            layouts = {}
            for path in files:
                layouts[path] = read_layout(path)
                bar.update()
            require_one_kind(layouts, paths)
            rasters, places = [], []
            for path in files:
                raster, place = describe(path, bands, reflectance, no_data)
                rasters.append(raster)
                places.append(place)
                bar.update()
        if bands:
            warn_of_other_bands(rasters, layouts)
        _require_same_bands(rasters)
        self._rasters = tuple(rasters)
        finest_m = min(place.pixel_3857_m for place in places)
        self.grid = Grid(nearest_level(finest_m) if level is None else level)
        self._file, self._outlines = on_world_map([place.outline for place in places])
        self._tree = shapely.STRtree(self._outlines)
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        self._given_name = ", ".join(path.resolve().name for path in paths[:_NAMED]) + more
        self._as_told = {
            "band_choice": ",".join(bands) if bands else _AS_DESCRIBED,
            "reflectance_scale": str(reflectance) if reflectance else _AS_DESCRIBED,
        }
        if no_data is not None:
            self._as_told["no_data"] = f"{no_data:g}"
        self._kept = dict(kept or {})
        self._quiet = quiet

    @property
    def traffic(self) -> None:
        """Nothing goes over a wire."""
        return

    def settings(self) -> dict[str, str | int]:
        """The files by number and fingerprint (of what they hold), how they are read, and the level."""
        return {
            "imagery": "files",
            "mosaic": self._name,
            "level": self.grid.level,
            "bands": " ".join(COLOURS[: len(self._rasters[0].bands)]),
            "files": self._files,
            **self._as_told,
        }

    @cached_property
    def _contents(self) -> list[Content]:
        """What the files hold, each looked at once."""
        bar = progress(
            self._rasters,
            total=len(self._rasters),
            desc="looking at files",
            unit="file",
            quiet=self._quiet,
            leave=False,
        )
        return [examine(raster) for raster in bar]

    @cached_property
    def _files(self) -> str:
        """Number and fingerprint of the files, or what an earlier run has called the same ones."""
        digest = hashlib.sha256("\n".join(content.fingerprint for content in self._contents).encode())
        now = f"{len(self._rasters)}, {digest.hexdigest()[:16]}"
        before = str(self._kept.get("files"))
        earlier_kind = f"{len(self._rasters)}, {by_time_of_change(self._rasters)}"
        return before if before in {now, earlier_kind} else now

    @property
    def _name(self) -> str:
        """What the files are called together."""
        return str(self._kept["mosaic"]) if self._kept.get("files") == self._files else self._given_name

    def forecast(self, windows: Windows, left: np.ndarray | None = None) -> Forecast:
        """All files are there."""
        needed = len(self._touched(windows)["name"].unique())
        at_hand = len(self._rasters)
        return Forecast(_UNIT, needed, covered=needed, not_covered=0, requests=0, piece_bytes=0, at_hand=at_hand)

    def connect(self, windows: Windows) -> None:
        """Look at the files that windows touch: whether they can be meant as they are read.

        Raises:
            PipelineError: of a new year no window is touched by any file; or a file would be white or black all over.
        """
        touched = self._touched(windows)
        if touched.empty and len(windows) and not self._kept:
            raise PipelineError(
                f"none of the {len(self._rasters)} files touches any of the {len(windows):,} windows: the files lie "
                f"{_extent(shapely.bounds(self._outlines))}, the windows {_extent(self.grid.window_bounds(windows))}; "
                "check --polygons, --imagery and the files' CRS"
            )
        used = np.unique(touched["file"])
        rasters = {self._rasters[file].path: self._rasters[file] for file in used}
        contents = {self._rasters[file].path: self._contents[file] for file in used}
        require_reflectance(contents, rasters)
        shares = {path: content.fills for path, content in contents.items()}
        for file, chips in self._chips_to_look_at(windows, touched).items():
            path = self._rasters[file].path
            shares[path] = larger_shares(shares[path], self._rasters[file], chips)
        warn_of_fill(shares, contents, rasters)

    def _chips_to_look_at(self, windows: Windows, touched: pd.DataFrame) -> dict[int, list[Affine]]:
        """By file, the transforms of some chips that it touches, spread evenly: what lies under them matters most."""
        by_file = touched.groupby("file")["window"]
        each = max(1, _LOOKED_AT // max(by_file.ngroups, 1))
        chips = {}
        for file, positions in by_file:
            some = positions.to_numpy()[:: -(-len(positions) // each)].tolist()
            chips[file] = [
                self.grid.window_transform(windows.col[at], windows.row[at], windows.side_px[at] // CHIP_PX)
                for at in some
            ]
        return chips

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Every window at once; those that no file touches are not covered."""
        covered = np.isin(np.arange(len(windows)), self._touched(windows)["window"])
        for position, touched in enumerate(covered.tolist()):
            yield Prepared(position, None if touched else NOT_COVERED)

    def reader(self) -> RasterReader:
        """Reads windows from the files."""
        return RasterReader(self.grid, self._rasters, self._file, shapely.bounds(self._outlines))

    def release(self, positions: Sequence[int]) -> None:
        """Files stay."""

    def mark_damaged(self, path: Path) -> None:
        """The user's own files are not made again."""

    def close(self) -> None:
        """Nothing is left open here."""

    def footprint(self, windows: Windows) -> Footprint:
        """A piece a file that windows touch, in the order in which they count."""
        touched = self._touched(windows)
        needed = np.unique(touched["file"])
        pieces = gpd.GeoDataFrame(
            {
                "name": np.array([str(self._rasters[file].path) for file in needed], object),
                "mosaic": np.full(len(needed), self._name, object),
                "status": COVERED,
                "reason": "",
            },
            geometry=[shapely.union_all(self._outlines[self._file == file]) for file in needed],
            crs=CRS,
        )
        return Footprint(_UNIT, pieces, touched[["window", "name"]], at_hand=len(self._rasters))

    def _touched(self, windows: Windows) -> pd.DataFrame:
        """``window``, ``file`` (positions) and ``name`` of the files that windows touch, in order, a row a pair."""
        window, part = self._tree.query(boxes(self.grid.window_bounds(windows)), predicate="intersects")
        pairs = np.unique(np.column_stack([window, self._file[part]]), axis=0)
        names = np.array([str(raster.path) for raster in self._rasters], object)
        return pd.DataFrame({"window": pairs[:, 0], "file": pairs[:, 1], "name": names[pairs[:, 1]]})


def _require_same_bands(rasters: Sequence[Raster]) -> None:
    with_nir = [len(raster.bands) == len(COLOURS) for raster in rasters]
    if any(with_nir) and not all(with_nir):
        raise PipelineError(
            f"{rasters[with_nir.index(True)].path} has a near infrared band, {rasters[with_nir.index(False)].path} has "
            "none: leave it out everywhere with --bands RED,GREEN,BLUE"
        )


def _extent(bounds_3857: np.ndarray) -> str:
    """Bounds (n, 4) in EPSG:3857 all together, in words and degrees."""
    west, south = mercator_to_lonlat(bounds_3857[:, 0].min(), bounds_3857[:, 1].min())
    east, north = mercator_to_lonlat(bounds_3857[:, 2].max(), bounds_3857[:, 3].max())
    return f"from {west:.2f}, {south:.2f} to {east:.2f}, {north:.2f} degrees"
