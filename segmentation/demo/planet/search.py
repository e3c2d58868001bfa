"""What the stand-in's searches ask for: quads in a box or a geometry, scenes by a filter."""

from __future__ import annotations

import json
import math

import numpy as np
import shapely

from segmentation.demo.landscape.districts import GRID
from segmentation.demo.planet.catalogue import COVERED_ROWS, quad_bbox
from segmentation.demo.planet.exchange import Refusal, api_error
from segmentation.demo.planet.scenes import item_type
from segmentation.geo.grid import HALF_WORLD_M, lonlat_to_mercator

_TOUCH = 1e-6  # in quads: a box that only touches a quad does not reach into it
_MAX_LATITUDE = 85.0


def quads_within(bbox: str) -> list[tuple[int, int]]:
    """Covered quads that a box meets, given as ``minlon,minlat,maxlon,maxlat``; a box without size is a point."""
    try:
        minlon, minlat, maxlon, maxlat = (float(value) for value in bbox.split(","))
    except ValueError:
        raise Refusal(400, api_error("", bbox="must be minlon,minlat,maxlon,maxlat")) from None
    return _quads_of_bounds(minlon, minlat, maxlon, maxlat)


def _quads_of_bounds(minlon: float, minlat: float, maxlon: float, maxlat: float) -> list[tuple[int, int]]:
    lat = np.clip([minlat, maxlat], -_MAX_LATITUDE, _MAX_LATITUDE)
    mx, my = lonlat_to_mercator(np.clip([minlon, maxlon], -180, 180), lat)
    first_x, last_x = _span((np.asarray(mx) + HALF_WORLD_M) / GRID.quad_m)
    first_y, last_y = _span((np.asarray(my) + HALF_WORLD_M) / GRID.quad_m)
    columns = range(max(0, first_x), min(GRID.n_quads - 1, last_x) + 1)
    rows = range(max(COVERED_ROWS[0], first_y), min(COVERED_ROWS[-1], last_y) + 1)
    return [(x, y) for y in rows for x in columns]


def _span(edges: np.ndarray) -> tuple[int, int]:
    first = math.floor(edges[0] + _TOUCH)
    return first, max(first, math.ceil(edges[1] - _TOUCH) - 1)


def quads_meeting(body: bytes) -> list[tuple[int, int]]:
    """Covered quads that a bare GeoJSON geometry meets."""
    try:
        shape = shapely.from_geojson(body)
        if json.loads(body)["type"] in ("Feature", "FeatureCollection"):
            raise ValueError
    except (ValueError, KeyError, TypeError, shapely.errors.GEOSException):
        raise Refusal(400, api_error("the body must be a GeoJSON geometry")) from None
    shapely.prepare(shape)
    return [(x, y) for x, y in _quads_of_bounds(*shape.bounds) if shape.intersects(shapely.box(*quad_bbox(x, y)))]


def asked_scenes(body: bytes) -> list[str]:
    """Ids of the scenes that a metadata search asks for and that pass its filter, in the order asked."""
    try:
        search = json.loads(body)
        types, node = search["item_types"], search["filter"]
        ids = dict.fromkeys(_named_ids(node))
        return [scene for scene in ids if item_type(scene) in types and _passes(node, scene)]
    except (ValueError, KeyError, TypeError):
        raise Refusal(400, api_error("the body must hold item_types and a filter")) from None


def _named_ids(node: dict) -> list[str]:
    if node["type"] in ("AndFilter", "OrFilter"):
        return [scene for part in node["config"] for scene in _named_ids(part)]
    is_id = node["type"] == "StringInFilter" and node["field_name"] == "id"
    return node["config"] if is_id else []


def _passes(node: dict, scene: str) -> bool:
    kind, config = node["type"], node["config"]
    if kind == "AndFilter":
        return all(_passes(part, scene) for part in config)
    if kind == "OrFilter":
        return any(_passes(part, scene) for part in config)
    if kind == "NotFilter":
        return not _passes(config, scene)
    if kind == "StringInFilter":
        return {"id": scene, "item_type": item_type(scene)}.get(node["field_name"]) in config
    return True  # ranges, dates and places are not told apart here
