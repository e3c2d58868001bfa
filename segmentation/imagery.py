"""Imagery sources: where the pixels of windows come from.

A source makes the pixels of windows available (with progress, resumable) and names a reader that worker processes
use to read one window. ``planet_imagery`` holds the source so far: Planet's basemap quads, cached whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import geopandas as gpd

from segmentation.grid import Grid, Windows
from segmentation.quads import Pixels


class WindowReader(Protocol):
    """Reads one window; small and picklable."""

    def read(self, col: int, row: int, side_px: int) -> Pixels:
        """Read a window of the grid onto 512 x 512 pixels."""


@dataclass(frozen=True)
class Prepared:
    """A window whose imagery is settled.

    Attributes:
        position: of the window among those asked for.
        problem: why it cannot be read (``NOT_COVERED`` or ``FAILED``), None where it can.
    """

    position: int
    problem: str | None = None


class ImagerySource(Protocol):
    """Where pixels come from."""

    grid: Grid

    def settings(self) -> dict[str, str | int]:
        """What the chips made from this source depend on."""

    def connect(self, windows: Windows) -> None:
        """Fail early: make sure that the source can serve these windows, before anything is written."""

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Make pixels available; every window comes out once, in the order in which they are settled."""

    def reader(self) -> WindowReader:
        """What reads a prepared window."""

    def release(self, positions: Sequence[int]) -> None:
        """Windows, by their position in ``prepare``, whose pixels are not needed any more; called from any thread."""

    def close(self) -> None:
        """No window will be asked for or released any more."""

    def footprint(self, windows: Windows) -> gpd.GeoDataFrame:
        """What is known of the imagery of windows: ``quad``, ``mosaic``, ``status``, ``reason``, square (EPSG:3857)."""
