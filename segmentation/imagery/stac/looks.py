"""Looks: what a satellite saw of a window on one day, in one scene or several that meet there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pystac
import shapely

from segmentation.imagery.stac.bands import baseline
from segmentation.imagery.stac.seasons import Season


@dataclass(frozen=True)
class Choice:
    """Which scenes make a composite.

    Attributes:
        season: of the year.
        looks: at every pixel, at most; their median counts.
        max_cloud: percent; scenes with more are left out.
    """

    season: Season
    looks: int = 5
    max_cloud: float = 80.0


@dataclass(frozen=True)
class Look:
    """Scenes of one day.

    Attributes:
        day: by the sun.
        scenes: those of the newest processing first; where they overlap, the first counts.
        cloud: mean cloud cover of the scenes, percent.
    """

    day: date
    scenes: tuple[pystac.Item, ...]
    cloud: float


def looks_at(bounds_4326: np.ndarray, scenes: Iterable[pystac.Item], max_cloud: float = 100.0) -> list[Look]:
    """The looks at a window, the least cloudy first, then the earliest.

    Args:
        bounds_4326: (4,) of the window: west, south, east, north in degrees.
        scenes: those of its surroundings.
        max_cloud: scenes with more cloud (percent) are left out.
    """
    window = shapely.box(*bounds_4326)
    # The sun moves 15 degrees an hour.
    to_local = timedelta(hours=float(bounds_4326[0] + bounds_4326[2]) / 2 / 15)
    by_day: dict[date, list[pystac.Item]] = defaultdict(list)
    for scene in scenes:
        if cloud_percent(scene) <= max_cloud and _touches(scene, window):
            by_day[(seen_at(scene) + to_local).date()].append(scene)
    looks = [
        Look(day, tuple(sorted(found, key=_newest)), float(np.mean([cloud_percent(scene) for scene in found])))
        for day, found in by_day.items()
    ]
    return sorted(looks, key=lambda look: (look.cloud, look.day))


def _touches(scene: pystac.Item, window: shapely.Geometry) -> bool:
    return scene.geometry is None or shapely.make_valid(shapely.geometry.shape(scene.geometry)).intersects(window)


def seen_at(scene: pystac.Item) -> datetime:
    """When a scene was taken, or begun."""
    return scene.datetime or scene.common_metadata.start_datetime


def cloud_percent(scene: pystac.Item) -> float:
    """Cloud cover in percent; collections that do not say it are taken as clear."""
    return float(scene.properties.get("eo:cloud_cover") or 0.0)


def _newest(scene: pystac.Item) -> tuple[float, str]:
    return -(baseline(scene) or 0.0), scene.id
