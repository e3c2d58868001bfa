"""Looks: what a satellite saw of a window on one day of the season, in one scene or several that meet there."""

from __future__ import annotations

import argparse
import calendar
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import shapely

from segmentation.imagery.stac.bands import baseline

if TYPE_CHECKING:
    import pystac

_LEAP_YEAR = 2000


@dataclass(frozen=True)
class Season:
    """Days of every year, both ends included.

    Attributes:
        first: ``MM-DD``.
        last: ``MM-DD``; where it comes before ``first``, the season began the year before.
    """

    first: str
    last: str

    def of(self, year: int) -> tuple[date, date]:
        """First and last day of the season that ends in a year; 29 February is the 28th where there is none."""
        return _day(self.first, year - (self.first > self.last)), _day(self.last, year)

    def __str__(self) -> str:
        return f"{self.first}/{self.last}"


# The study's: its mosaics show June to November.
STUDY_SEASON = Season("06-01", "11-30")


def season(text: str) -> Season:
    """An argparse type: ``MM-DD/MM-DD``."""
    match = re.fullmatch(r"(\d\d-\d\d)/(\d\d-\d\d)", text)
    if match is None or not all(_is_day(part) for part in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is no season such as 06-01/11-30 (first and last month-day)")
    return Season(*match.groups())


def _is_day(month_day: str) -> bool:
    """Whether some year has such a day."""
    try:
        _day(month_day, _LEAP_YEAR)
    except ValueError:
        return False
    return True


def _day(month_day: str, year: int) -> date:
    month, day = map(int, month_day.split("-"))
    if (month, day) == (2, 29) and not calendar.isleap(year):
        day = 28
    return date(year, month, day)


@dataclass(frozen=True)
class SceneSelection:
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
    looks = []
    for day, found in by_day.items():
        cloud = float(np.mean([cloud_percent(scene) for scene in found]))
        looks.append(Look(day, tuple(sorted(found, key=_newest_first)), cloud))
    return sorted(looks, key=lambda look: (look.cloud, look.day))


def _touches(scene: pystac.Item, window: shapely.Geometry) -> bool:
    return scene.geometry is None or shapely.make_valid(shapely.geometry.shape(scene.geometry)).intersects(window)


def seen_at(scene: pystac.Item) -> datetime:
    """When a scene was taken, or begun.

    Raises:
        ValueError: it does not say.
    """
    when = scene.datetime or scene.common_metadata.start_datetime
    if when is None:
        raise ValueError(f"scene {scene.id} has neither datetime nor start_datetime")
    return when


def bounds_of(scene: pystac.Item) -> tuple[float, float, float, float]:
    """West, south, east and north of a scene in degrees: of its bbox, or of its outline where it has none of four.

    Raises:
        ValueError: it says neither.
    """
    if scene.bbox is not None and len(scene.bbox) == 4:
        west, south, east, north = scene.bbox
    elif scene.geometry is not None:
        west, south, east, north = shapely.geometry.shape(scene.geometry).bounds
    else:
        raise ValueError(f"scene {scene.id} has neither bbox nor geometry")
    return west, south, east, north


def cloud_percent(scene: pystac.Item) -> float:
    """Cloud cover in percent; collections that do not say it are taken as clear."""
    return float(scene.properties.get("eo:cloud_cover") or 0.0)


def _newest_first(scene: pystac.Item) -> tuple[float, str]:
    return -(baseline(scene) or 0.0), scene.id
