"""Composites on disk: one GeoTIFF a window, with a record of what it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event

import numpy as np

from segmentation.core.files import make_folder
from segmentation.core.journal import Journal
from segmentation.core.process.locks import FolderLocks
from segmentation.geo.geotiffs import new_geotiff, read_whole
from segmentation.geo.grid import CHIP_PX, CRS, Grid
from segmentation.imagery.cache import COVERED, FAILED, NOT_COVERED
from segmentation.imagery.source import Pixels

# As in Copernicus' cloudless mosaics: int16, reflectance x 10000, where 0 is a value and this is not.
_SCALE, _NO_DATA = 1e-4, -32768
_LARGEST = 32767

Square = tuple[int, int, int]


@dataclass(frozen=True)
class CompositeRecord:
    """What is known of a window's composite.

    Attributes:
        status: ``COVERED`` (on disk), ``NOT_COVERED`` or ``FAILED``, see ``imagery.cache``.
        reason: why it is not there.
        scenes: ids of the scenes that gave pixels.
        size: bytes of its file.
    """

    status: str
    reason: str = ""
    scenes: list[str] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True)
class SceneRecord:
    """What ``windows.gpkg`` tells of a scene: its day and cloud cover, and its outline (WKT, EPSG:4326)."""

    day: str
    cloud: float
    outline: str


class CompositeStore:
    """A folder of composites ``COL-ROW-SIDE.tif`` with ``windows.jsonl`` and ``scenes.jsonl``.

    A file that the record does not name, or names with another size, counts as not there. Several processes may fill
    the same folder: each composite is made by one of them.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._locks = FolderLocks(folder)
        self._windows = Journal(folder / "windows.jsonl")
        self._scenes = Journal(folder / "scenes.jsonl")

    def record(self, square: Square) -> CompositeRecord | None:
        """What is known of a window."""
        known = self._windows.get(_name(square))
        return None if known is None else CompositeRecord(**known)

    def is_empty(self) -> bool:
        """Whether nothing is known of any window but failures."""
        return all(self._windows.get(name)["status"] == FAILED for name in self._windows)

    def scene(self, name: str) -> SceneRecord:
        """What is known of a scene that gave pixels."""
        return SceneRecord(**self._scenes.get(name))

    def is_settled(self, square: Square) -> bool:
        """Whether a window need not be asked for: on disk and as it was, or known not to be covered."""
        known = self.record(square)
        if known is None or known.status != COVERED:
            return known is not None and known.status == NOT_COVERED
        path = self.folder / f"{_name(square)}.tif"
        return path.exists() and path.stat().st_size == known.size

    @contextmanager
    def held(self, square: Square, given_up: Event) -> Iterator[None]:
        """Hold a window, to make its composite: another process waits, and then knows what has become of it.

        Args:
            square: to hold.
            given_up: ends the waiting from another thread.

        Raises:
            GivenUp: ``given_up`` was set while another process held the window.
        """
        make_folder(self.folder)
        with self._locks.held(_name(square), given_up):
            # Scenes last: they are kept before the windows that name them.
            self._windows.refresh()
            self._scenes.refresh()
            yield

    def write(self, square: Square, reflectance: np.ndarray, grid: Grid) -> int:
        """Write a composite whole; its size in bytes.

        Args:
            square: column, row and side of the window.
            reflectance: (bands, 512, 512) float32, NaN is no data.
            grid: of the window.
        """
        col, row, side_px = square
        path = self.folder / f"{_name(square)}.tif"
        dn = np.where(np.isnan(reflectance), _NO_DATA, np.clip(np.rint(reflectance / _SCALE), 0, _LARGEST))
        with new_geotiff(
            path,
            driver="GTiff",
            count=len(dn),
            width=CHIP_PX,
            height=CHIP_PX,
            dtype="int16",
            nodata=_NO_DATA,
            crs=CRS,
            transform=grid.window_transform(col, row, side_px // CHIP_PX),
            compress="deflate",
            predictor=2,
            zlevel=1,
            interleave="band",
        ) as file:
            file.write(dn.astype("int16"))
            file.scales = [_SCALE] * len(dn)
        return path.stat().st_size

    def keep(self, square: Square, record: CompositeRecord) -> None:
        """Keep what has become known of a window."""
        self._windows.keep(_name(square), asdict(record))

    def keep_scene(self, name: str, record: SceneRecord) -> None:
        """Keep what is told of a scene."""
        if name not in self._scenes:
            self._scenes.keep(name, asdict(record))

    def doubt(self, path: Path) -> None:
        """A composite turned out to be damaged: it is to be made again."""
        col, row, side_px = map(int, path.stem.split("-"))
        self.keep((col, row, side_px), CompositeRecord(FAILED, reason="damaged on disk"))

    def tidy(self) -> None:
        """Sort the records, so that they do not depend on the order of events."""
        self._windows.tidy()
        self._scenes.tidy()

    def sizes(self, squares: Sequence[Square]) -> list[int]:
        """Bytes of the composites of windows that are on disk."""
        settled = (self.record(square) for square in squares if self.is_settled(square))
        return [record.size for record in settled if record.status == COVERED]


@dataclass(frozen=True)
class CompositeReader:
    """Reads composites; small and picklable, so that every worker process has its own."""

    folder: Path

    def read(self, col: int, row: int, side_px: int) -> Pixels:
        """The composite of a window (grid pixels, see ``Grid``).

        Raises:
            DamagedFile: not all of it can be read.
        """
        path = self.folder / f"{_name((col, row, side_px))}.tif"
        dn = read_whole(path, "remove it and run again to make it anew")
        valid = (dn != _NO_DATA).all(axis=0)
        return Pixels(np.where(valid, dn, 0) * np.float32(_SCALE), valid)


def _name(square: Square) -> str:
    return "-".join(map(str, square))
