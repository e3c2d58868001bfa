"""Making the composites of windows: search, read, combine, write."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from threading import Event, Lock

import numpy as np
import pystac
import shapely

from segmentation.core.errors import DiskFull, PipelineError
from segmentation.geo.grid import CHIP_PX, QUAD_PX, Grid, Windows, mercator_to_lonlat
from segmentation.imagery.cache import COVERED, FAILED, NOT_COVERED
from segmentation.imagery.rasters.scales import BRIGHTEST, SAY_THE_SCALE
from segmentation.imagery.stac.bands import split_name
from segmentation.imagery.stac.cache import CompositeCache, CompositeRecord, SceneRecord, Square
from segmentation.imagery.stac.catalogue import Catalogue
from segmentation.imagery.stac.composite import compose
from segmentation.imagery.stac.looks import SceneSelection, bounds_of, cloud_percent, looks_at, seen_at
from segmentation.imagery.stac.pixels import ScenePixels
from segmentation.imagery.web.parallel import SharedWork

NO_SCENES = "no scenes in the season"

Cell = tuple[int, int]
log = logging.getLogger(__name__)


class CompositeMaker:
    """Makes composites, from several threads at once; windows that lie together share a search.

    Args:
        catalogue: to search.
        pixels: reads the scenes.
        cache: keeps composites and scenes.
        grid: of the windows.
        selection: which scenes make a composite.
        period: first and last day of the season.
        windows: that are to be made.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        pixels: ScenePixels,
        cache: CompositeCache,
        grid: Grid,
        selection: SceneSelection,
        period: tuple[date, date],
        windows: Windows,
    ):
        self._catalogue, self._pixels, self._cache, self._grid = catalogue, pixels, cache, grid
        self._selection, self._period = selection, period
        self._searches: SharedWork[list[pystac.Item]] = SharedWork()
        self._bounds = dict(zip(squares_of(windows), _bounds_4326(windows, grid), strict=True))
        self._around, self._left = _cells(self._bounds)
        self._lock = Lock()
        self._given_up = Event()

    def make(self, square: Square) -> CompositeRecord:
        """Make a window's composite, unless another process has done so, and keep and say what has become of it.

        Raises:
            GivenUp: nobody waits any more for what another process is making.
        """
        cell = cell_of(square)
        try:
            with self._cache.held(square, self._given_up):
                if not self._cache.is_complete(square):
                    self._cache.keep(square, self._outcome(square, cell))
                return self._cache.record(square)
        finally:
            self._count_down(cell)

    def give_up(self) -> None:
        """Wait no more for what another process is making."""
        self._given_up.set()

    def _outcome(self, square: Square, cell: Cell) -> CompositeRecord:
        """Make a composite and say what has become of it."""
        try:
            scenes = self._searches.result(cell, lambda: self._search(cell))
            return self._make(square, scenes)
        except DiskFull:
            raise
        except PipelineError as error:
            log.warning("window %s: %s", "-".join(map(str, square)), error)
            return CompositeRecord(FAILED, reason=str(error))

    def _make(self, square: Square, scenes: Sequence[pystac.Item]) -> CompositeRecord:
        col, row, side_px = square
        bounds = self._bounds[square]
        looks = looks_at(bounds, scenes, self._selection.max_cloud)
        if not looks:
            return CompositeRecord(NOT_COVERED, reason=NO_SCENES)
        factor = side_px // CHIP_PX
        # Web Mercator stretches by the cosine of the latitude.
        ground_m = factor * self._grid.pixel_m * np.cos(np.radians(bounds[[1, 3]].mean()))
        read = self._pixels.reader(self._grid.window_transform(col, row, factor), float(ground_m))
        composite = compose(
            looks, read, depth=self._selection.looks, bands=len(self._pixels.bands.colours), side_px=CHIP_PX
        )
        _require_reflectance(composite.reflectance)
        for scene in composite.scenes:
            self._cache.keep_scene(scene.id, _scene_record(scene))
        size = self._cache.write(square, composite.reflectance, self._grid)
        return CompositeRecord(COVERED, scenes=[scene.id for scene in composite.scenes], size=size)

    def _search(self, cell: Cell) -> list[pystac.Item]:
        """Scenes around the windows of a cell that have all that is read of them."""
        bands = self._pixels.bands
        needed = {split_name(name)[0] for name in bands.colours}
        if bands.classes:
            needed.add(bands.classes)
        found = self._catalogue.scenes(self._around[cell], *self._period)
        whole = [scene for scene in found if scene.assets.keys() >= needed]
        if len(whole) < len(found):
            log.warning(
                "%d of %d scenes lack %s and are left out",
                len(found) - len(whole),
                len(found),
                " or ".join(sorted(needed)),
            )
        return whole

    def _count_down(self, cell: Cell) -> None:
        """Note that a window of a cell is done; with the last one its scenes are forgotten."""
        with self._lock:
            self._left[cell] -= 1
            if self._left[cell] == 0:
                self._searches.forget(cell)


def _scene_record(scene: pystac.Item) -> SceneRecord:
    """What is told of a scene that gave pixels."""
    has_outline = scene.geometry is not None
    outline = shapely.geometry.shape(scene.geometry) if has_outline else shapely.box(*bounds_of(scene))
    return SceneRecord(seen_at(scene).date().isoformat(), cloud_percent(scene), outline.wkt)


def _require_reflectance(reflectance: np.ndarray) -> None:
    """Make sure that a composite (bands, h, w), NaN without data, is no white all over, as a wrong scale makes it.

    Raises:
        PipelineError: it is.
    """
    seen = reflectance[:, np.isfinite(reflectance).all(axis=0)]
    if not seen.size:
        return
    median = float(np.median(seen, axis=1).max())
    if median > BRIGHTEST:
        raise PipelineError(f"a median reflectance of {median:.3g} is no ground's; {SAY_THE_SCALE}")


def squares_of(windows: Windows) -> list[Square]:
    """Windows as tuples: column, row and side."""
    return list(zip(windows.col.tolist(), windows.row.tolist(), windows.side_px.tolist(), strict=True))


def cell_of(square: Square) -> Cell:
    """The quad of a window's north-west corner: windows that share it are searched for together."""
    return square[0] // QUAD_PX, square[1] // QUAD_PX


def _bounds_4326(windows: Windows, grid: Grid) -> np.ndarray:
    """Bounds of windows in degrees, (n, 4): west, south, east, north."""
    minx, miny, maxx, maxy = grid.window_bounds(windows).T
    west, south = mercator_to_lonlat(minx, miny)
    east, north = mercator_to_lonlat(maxx, maxy)
    return np.column_stack([west, south, east, north])


def _cells(bounds: dict[Square, np.ndarray]) -> tuple[dict[Cell, np.ndarray], Counter[Cell]]:
    """The bounds (degrees) of all windows of a cell together, and their number, by cell."""
    members: dict[Cell, list[np.ndarray]] = defaultdict(list)
    for square, window in bounds.items():
        members[cell_of(square)].append(window)
    around = {
        cell: np.concatenate([np.min(inside, axis=0)[:2], np.max(inside, axis=0)[2:]])
        for cell, inside in members.items()
    }
    return around, Counter({cell: len(inside) for cell, inside in members.items()})
