"""Scenes as a catalogue describes them: those that say what composites need, and a word for the others."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pystac
import shapely

from segmentation.imagery.stac.looks import cloud_percent, seen_at

_NAMED = 3
# What parsing a description may raise where a catalogue leaves things out or writes them differently.
_MALFORMED = (pystac.errors.STACError, ValueError, TypeError, KeyError, AttributeError, OverflowError)

log = logging.getLogger(__name__)


def read_scenes(described: Iterable[dict[str, Any]]) -> list[pystac.Item]:
    """The usable ones among scenes, each once, by their ids; those left out are counted and named in a warning.

    Args:
        described: as the API gives them.
    """
    scenes: dict[str, pystac.Item] = {}
    left_out: dict[str, set[str]] = defaultdict(set)
    for description in described:
        name = str(description.get("id", "unnamed"))
        try:
            scene = pystac.Item.from_dict(_with_end(description), preserve_dict=False)
            problem = _problem(scene)
        except _MALFORMED as error:
            problem = f"cannot be understood ({type(error).__name__})"
        if problem:
            left_out[problem].add(name)
        else:
            scenes[name] = scene
    for problem, names in left_out.items():
        some = ", ".join(sorted(names)[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        log.warning("%d scenes are left out: their description %s (%s)", len(names), problem, some)
    return [scenes[name] for name in sorted(scenes)]


def _with_end(description: dict[str, Any]) -> dict[str, Any]:
    """A description that says when its scene begins says when it ends: that is more than anybody asks here."""
    properties = dict(description["properties"])
    begins = properties.get("start_datetime")
    if properties.get("datetime") is None and begins is not None:
        properties.setdefault("end_datetime", begins)
    return description | {"properties": properties}


def _problem(scene: pystac.Item) -> str | None:
    """Why a scene cannot be used, None if it can."""
    if not scene.id:
        return "has no id"
    if _lacks_time(scene):
        return "has no time, neither datetime nor start_datetime"
    if _lacks_outline(scene):
        return "has no outline, neither geometry nor bbox"
    if not _is_number(scene.properties.get("eo:cloud_cover")) or not math.isfinite(cloud_percent(scene)):
        return "has a cloud cover that is no number"
    return None


def _lacks_time(scene: pystac.Item) -> bool:
    try:
        seen_at(scene)
    except _MALFORMED:
        return True
    return False


def _lacks_outline(scene: pystac.Item) -> bool:
    if scene.geometry is None:
        return scene.bbox is None or len(scene.bbox) != 4
    try:
        return shapely.geometry.shape(scene.geometry).is_empty
    except (*_MALFORMED, shapely.errors.ShapelyError):
        return True


def _is_number(value: Any) -> bool:
    try:
        float(value or 0.0)
    except (TypeError, ValueError):
        return False
    return True
