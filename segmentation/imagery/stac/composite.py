"""Composites: the median of the clear looks at every pixel of a window, in memory that does not grow with looks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pystac

from segmentation.imagery.stac.looks import Look

# Reading ends once this share of a window has all the looks it needs: what is taken for cloud in every look (bright
# roofs, salt, tailings) would keep it going through the whole season.
_ENOUGH = 0.99


class SceneReader(Protocol):
    """Reads what one scene shows of a window."""

    def __call__(self, scene: pystac.Item, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Reflectance (bands, h, w) float32 and where it is clear (h, w) bool; None if no ``wanted`` pixel is."""


@dataclass(frozen=True)
class Composite:
    """What a season shows of a window.

    Attributes:
        reflectance: (bands, h, w) float32, NaN where no look is clear.
        scenes: that gave pixels, in the order in which they were read.
    """

    reflectance: np.ndarray
    scenes: tuple[pystac.Item, ...]


def compose(looks: Iterable[Look], read: SceneReader, *, depth: int, bands: int, side_px: int) -> Composite:
    """The median of the first ``depth`` clear looks at every pixel.

    Args:
        looks: in the order of preference; taken only as long as pixels need more.
        read: reads one scene of the window.
        depth: looks a pixel, at most.
        bands: of the reflectance.
        side_px: of the window's pixels.
    """
    stack = Stack(depth=depth, bands=bands, side_px=side_px)
    gave = []
    for look in looks:
        if stack.is_full:
            break
        fresh = stack.wanted
        for scene in look.scenes:
            got = read(scene, fresh)
            if got is None:
                continue
            reflectance, clear = got
            take = clear & fresh
            stack.put(reflectance, take)
            fresh &= ~take
            gave.append(scene)
    return Composite(stack.median(), tuple(gave))


class Stack:
    """Up to ``depth`` values a pixel, filled one after the other."""

    def __init__(self, *, depth: int, bands: int, side_px: int):
        self._values = np.full((depth, bands, side_px, side_px), np.nan, "float32")
        self._count = np.zeros((side_px, side_px), "int64")

    @property
    def wanted(self) -> np.ndarray:
        """Pixels that need more looks, (h, w) bool."""
        return self._count < len(self._values)

    @property
    def is_full(self) -> bool:
        """Whether all but a few pixels have what they need."""
        return self.wanted.mean() <= 1 - _ENOUGH

    def put(self, reflectance: np.ndarray, take: np.ndarray) -> None:
        """Put values (bands, h, w) into the next free place of the wanted pixels to ``take``, (h, w) bool."""
        rows, cols = np.nonzero(take)
        self._values[self._count[take], :, rows, cols] = reflectance[:, rows, cols].T
        self._count[take] += 1

    def median(self) -> np.ndarray:
        """(bands, h, w) float32, NaN without values."""
        ordered = np.sort(self._values, axis=0)  # puts NaN last
        last = np.maximum(self._count - 1, 0)
        low, high = (np.take_along_axis(ordered, at[None, None], axis=0)[0] for at in (last // 2, (last + 1) // 2))
        return (low + high) / 2
