"""Chips read for a model, in batches: a chip that cannot be read is named, a reader that was ended is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rasterio.errors import RasterioError

from segmentation.chips.chip import read_chip
from segmentation.core.errors import DamagedFile, PipelineError, reason_of
from segmentation.predict.runs import ModelRun

if TYPE_CHECKING:
    from mmengine.dataset import Compose


class Chips:
    """The chips as a dataset for torch's DataLoader, read as the config's test pipeline says."""

    def __init__(self, chips: Sequence[Path], pipeline: Compose, run: ModelRun):
        self._chips, self._pipeline, self._run = chips, pipeline, run

    def __len__(self) -> int:
        return len(self._chips)

    def __getitem__(self, position: int) -> dict | PipelineError:
        """A chip as the model takes it; or what is wrong, as DataLoader would put a traceback around what is raised."""
        chip = self._chips[position]
        try:
            return self._pipeline({"img_path": str(chip)})
        except Exception as error:  # transforms come from any package and raise anything
            return PipelineError(self._why_unreadable(chip, error))

    def _why_unreadable(self, chip: Path, error: Exception) -> str:
        try:
            read_chip(chip)
        except (RasterioError, OSError, DamagedFile):
            return unreadable(chip)
        return f"the test pipeline of {self._run.config} fails on {chip}: {reason_of(error)}"


def unreadable(chip: Path) -> str:
    """What to tell of a chip that is damaged."""
    return f"the chip {chip} cannot be read; remove it and run step 1 of that year again, which cuts it anew"


def collate(samples: Sequence[dict | PipelineError]) -> dict | PipelineError:
    """Samples as a batch; or what is wrong with the first that cannot be read."""
    from mmengine.dataset import pseudo_collate

    wrong = [sample for sample in samples if isinstance(sample, PipelineError)]
    return wrong[0] if wrong else pseudo_collate(samples)


def batches_of(loader: Iterable[dict | PipelineError]) -> Iterator[dict]:
    """The batches of a loader, whose processes are started here, before the first batch is asked for.

    Raises:
        PipelineError: a chip cannot be read, or a process that reads them was ended from outside.
    """
    return _checked(iter(loader))


def _checked(batches: Iterator[dict | PipelineError]) -> Iterator[dict]:
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            # Torch tells this apart by its text alone.
            if "DataLoader worker" not in str(error):
                raise
            raise PipelineError(
                "a process that reads chips was ended from outside; is memory short? "
                "Take fewer --workers and run the same command again: it goes on"
            ) from None
        if isinstance(batch, PipelineError):
            raise batch
        yield batch
