"""Imagery sources: where the pixels of windows come from.

A source makes the pixels of windows available (with progress, resumable) and names a reader that worker processes
use to read one window. ``planet_imagery`` holds the source so far: Planet's basemap quads, cached whole.
"""

from __future__ import annotations

from collections.abc import Iterator
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

    def footprint(self) -> gpd.GeoDataFrame:
        """What ``prepare`` came across: ``quad``, ``mosaic``, ``status``, ``reason``, the square (EPSG:3857)."""
