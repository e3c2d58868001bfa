"""The data workspace: the only place that knows its paths, keeps its settings and locks its years."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from segmentation.core.errors import PipelineError
from segmentation.core.files import make_folder, read_json, write_json
from segmentation.core.process import leftovers

REPOSITORY = Path(__file__).resolve().parents[2]
DATA_ROOT = REPOSITORY / "segmentation" / "data"
DEMO_ROOT = DATA_ROOT / "demo"
SPLITS = ("train", "val", "test")
# How names of polygons end that are not a run's own: the panel's, and those that have a suffix.
_OTHER_POLYGONS = re.compile(r"_postprocessed$|__[A-Za-z0-9-]+$")


@dataclass(frozen=True)
class YearFolder:
    """The files of one year.

    Attributes:
        year: the year.
        path: its dataset, ``segmentation/YEAR/`` in the workspace, laid out as MMSegmentation reads it.
        quads: where its quads are cached, a folder a mosaic.
    """

    year: int
    path: Path
    quads: Path

    def chip(self, split: str, window_id: str) -> Path:
        """The image of a window: 512 x 512, uint8 GeoTIFF."""
        return self.path / "img_dir" / split / f"{window_id}.tif"

    def mask(self, split: str, window_id: str) -> Path:
        """The label mask of a window: 512 x 512, uint8 GeoTIFF."""
        return self.path / "ann_dir" / split / f"{window_id}.tif"

    def probability(self, run: str, window_id: str) -> Path:
        """The predicted probability of mine of a window, for one model run (``MODEL_ITER``)."""
        return self.path / "probabilities" / run / f"{window_id}.tif"

    def kept_runs(self) -> list[str]:
        """The model runs (``MODEL_ITER``) whose probabilities are there, all or some."""
        return sorted({path.parent.name for path in self.path.glob("probabilities/*/*.tif")})

    @property
    def windows(self) -> Path:
        """What was looked at: one row a window."""
        return self.path / "windows.gpkg"

    @property
    def settings(self) -> Path:
        """What the year's chips were made from."""
        return self.path / "settings.json"

    def predicted(self, run: str, suffix: str | None = None) -> Path:
        """The year's predicted polygons, for one model run (``MODEL_ITER``).

        Those made with other settings, beside them, have a suffix (letters, digits, hyphens) by which they are told
        apart from every run.
        """
        ending = f"__{suffix}" if suffix else ""
        return self.path / "gpkg" / f"global_mining_polygons_predicted_{self.year}_{run}{ending}.gpkg"

    def postprocessed(self, run: str) -> Path:
        """Those of them that the panel's temporal filter keeps."""
        return self.path / "gpkg" / f"global_mining_polygons_predicted_{self.year}_{run}_postprocessed.gpkg"

    def evaluation(self, run: str, what: str) -> Path:
        """The folder of what a model run (``MODEL_ITER``) was found to be worth on some of the year's windows."""
        return self.path / "evaluation" / run / what

    def holds_chips(self) -> bool:
        """Whether any chip has been cut: if not, the year's settings and windows stand for nothing."""
        return any(self.path.glob("img_dir/*/*.tif"))

    def is_being_worked_on(self) -> bool:
        """Whether some process holds the year."""
        if not self.path.exists():
            return False
        try:
            with FileLock(self.path / ".lock").acquire(timeout=0):
                return False
        except Timeout:
            return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the year for one process; also clears what interrupted ones left half-written, see ``leftovers``.

        Raises:
            PipelineError: another process works on this year, or the folder cannot be written.
        """
        make_folder(self.path)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise PipelineError(
                f"{self.year} is being worked on by another process (lock {self.path / '.lock'}); "
                "wait for it or stop it"
            ) from None
        try:
            leftovers.clear(self.path.rglob(f"{leftovers.PREFIX}*"))
            # Other workspaces may share the imagery, through a link too.
            for pattern in (f"{leftovers.PREFIX}*", f"*/{leftovers.PREFIX}*"):
                leftovers.clear(self.quads.glob(pattern))
            yield
        finally:
            lock.release()


@dataclass(frozen=True)
class Workspace:
    """All paths under one data root, by default ``segmentation/data/`` of the repository."""

    root: Path = DATA_ROOT

    @property
    def polygons(self) -> Path:
        """The literature polygons that step 1 reads by default."""
        return self.root / "segmentation" / "mining_polygons_combined.gpkg"

    def year(self, year: int) -> YearFolder:
        """The files of one year."""
        return YearFolder(year, self.root / "segmentation" / str(year), self.root / "tiff_tiles" / str(year))

    def panel(self, run: str) -> Path:
        """The folder of all years together, for one model run (``MODEL_ITER``)."""
        return self.root / "segmentation" / "panel" / run

    def runs(self, year: int) -> list[str]:
        """The model runs (``MODEL_ITER``) whose polygons of a year are there, under their plain name."""
        known = self.year(year).predicted("*")
        before, after = known.name.split("*")
        names = (path.name.removeprefix(before).removesuffix(after) for path in known.parent.glob(known.name))
        return sorted(name for name in names if not _OTHER_POLYGONS.search(name))

    def recorded(self, setting: str) -> frozenset[str]:
        """The values that a setting of step 1 has in the years that are there."""
        settings = (read_json(self.year(year).settings) for year in self.years())
        return frozenset(values[setting] for values in settings if setting in values)

    def years(self) -> list[int]:
        """The years that have a folder."""
        folders = (self.root / "segmentation").glob("[12][0-9][0-9][0-9]")
        return sorted(int(folder.name) for folder in folders)


def keep_settings(path: Path, settings: dict, what: str, *, empty: bool = False) -> None:
    """Record what a folder is made from, or make sure that it is still made from the same.

    Args:
        path: of the record.
        settings: what it is made from now.
        what: the folder holds, for the error.
        empty: nothing has been made yet, so that earlier settings, those of a run that failed, bind nobody.

    Raises:
        PipelineError: the folder was made with other settings; mixing the two would go unnoticed later.
    """
    if empty or not path.exists():
        write_json(path, settings)
        return
    before = read_json(path)
    changed = sorted(key for key in before.keys() | settings.keys() if before.get(key) != settings.get(key))
    if changed:
        was = ", ".join(f"{key} was {before.get(key)}, is now {settings.get(key)}" for key in changed)
        raise PipelineError(
            f"{what} in {path.parent} was made with other settings ({was}); "
            "remove that folder or choose another --data-root"
        )
