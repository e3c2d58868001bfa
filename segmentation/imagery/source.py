"""Imagery sources: where the pixels of windows come from.

A source makes the pixels of windows available (with progress, resumable) and names a reader that worker processes
use to read one window. ``options`` makes the one that the user names: Planet's basemaps (``planet``), Sentinel-2's
cloudless mosaics (``sentinel2``), scenes of a STAC API (``stac``) or the user's own files (``files``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

# Worker processes read with what this module describes, and need neither geopandas nor requests for it.
if TYPE_CHECKING:
    from segmentation.core.workspace import Workspace
    from segmentation.geo.grid import Grid, Windows
    from segmentation.imagery.web.traffic import Traffic
    from segmentation.windows.record import Footprint


class WindowReader(Protocol):
    """Reads one window; small and picklable."""

    def read(self, col: int, row: int, side_px: int) -> Pixels:
        """Read a window of the grid onto 512 x 512 pixels."""


@dataclass(frozen=True)
class Prepared:
    """A window whose imagery is there, or known to be missing.

    Attributes:
        position: of the window among those asked for.
        problem: why it cannot be read (``NOT_COVERED`` or ``FAILED``), None where it can.
    """

    position: int
    problem: str | None = None


@dataclass(frozen=True)
class Forecast:
    """What it would take to have the imagery of some windows.

    Attributes:
        unit: what a piece is called, see ``Footprint``.
        pieces: needed in all.
        covered: of these, on disk.
        not_covered: known not to exist.
        requests: to the server whose rate is limited, at least.
        piece_bytes: mean size of what is fetched of a piece that is missing.
        kept_bytes: mean size of what is kept of it in the end; None for all.
        on_disk_bytes: what stays in the end of the pieces that are on disk.
        spared: pieces that are not there and that only finished windows lie on.
        at_hand: see ``Footprint``.
    """

    unit: str
    pieces: int
    covered: int
    not_covered: int
    requests: int
    piece_bytes: float
    kept_bytes: float | None = None
    on_disk_bytes: float = 0.0
    spared: int = 0
    at_hand: int | None = None

    @property
    def missing(self) -> int:
        """Pieces to fetch."""
        return self.pieces - self.covered - self.not_covered - self.spared

    @property
    def download_bytes(self) -> float:
        """To fetch in all."""
        return self.missing * self.piece_bytes

    @property
    def disk_bytes(self) -> float:
        """On disk in the end."""
        return self.on_disk_bytes + self.missing * (self.piece_bytes if self.kept_bytes is None else self.kept_bytes)


class ImagerySource(Protocol):
    """Where pixels come from.

    A source that exists is ready: whatever is asked of it first, it finds out what it needs by itself, and asks no
    server for what is on disk.

    Attributes:
        grid: the pixel grid of its level; windows are planned on it.
    """

    grid: Grid

    def settings(self) -> dict[str, str | int]:
        """What the chips made from this source depend on; always ``imagery``, ``mosaic`` (its name) and ``level``."""

    def forecast(self, windows: Windows, left: np.ndarray | None = None) -> Forecast:
        """What it would take to have the imagery of windows; asks no server.

        Args:
            windows: all that are planned.
            left: (n,) bool, those that are not finished yet; None for all.
        """

    def connect(self, windows: Windows) -> None:
        """Fail early: make sure that the source can serve these windows, before anything is written."""

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Make pixels available; every window comes out once, when its imagery is there or known to be missing."""

    def reader(self) -> WindowReader:
        """What reads a prepared window."""

    def release(self, positions: Sequence[int]) -> None:
        """Windows, by their position in ``prepare``, whose pixels are not needed any more; called from any thread."""

    def mark_damaged(self, path: Path) -> None:
        """Note that a file which this source keeps cannot be read: ``prepare`` is to make it again."""

    def close(self) -> None:
        """No window will be asked for or released any more."""

    def footprint(self, windows: Windows) -> Footprint:
        """What is known of the imagery under windows."""

    @property
    def traffic(self) -> Traffic | None:
        """What has gone over the wire so far; None for a source without one."""


@dataclass(frozen=True)
class OfferedSource:
    """A source of imagery as a command offers it.

    Attributes:
        title: of its options in the help.
        add_options: adds its own options to a group of a parser and returns them.
        make: makes it from the command line; what has to end with the run goes onto the stack.
    """

    title: str
    add_options: Callable[[argparse._ArgumentGroup], list[argparse.Action]]
    make: Callable[[argparse.Namespace, Workspace, ExitStack], ImagerySource]


@dataclass(frozen=True)
class Pixels:
    """What an imagery source shows of one window, on the chip's 512 x 512 pixels.

    Attributes:
        reflectance: (bands, 512, 512) float32, surface reflectance 0 to 1 (more over bright cloud), bands in the
            order red, green, blue and, where the source has it, near infrared. 0 where not valid.
        valid: (512, 512) bool.
    """

    reflectance: np.ndarray
    valid: np.ndarray
