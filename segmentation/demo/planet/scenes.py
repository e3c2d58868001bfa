"""Invented satellite scenes behind the quads, with the cloud figures that scene metadata carry."""

from __future__ import annotations

import numpy as np

from segmentation.demo.landscape.noise import seed_of
from segmentation.demo.planet.catalogue import StandinMosaic

_SCENES_PER_QUAD = 4
_LAST_SHORT_ID_YEAR = 2019  # later ids carry hundredths of a second


def scenes_of(mosaic: StandinMosaic, x: int, y: int) -> list[str]:
    """Ids of the scenes that contribute to a quad; neighbouring quads share some of them."""
    return [_scene(mosaic, (x + 2 * k) // 3, y // 3, k) for k in range(_SCENES_PER_QUAD)]


def _scene(mosaic: StandinMosaic, strip_x: int, strip_y: int, k: int) -> str:
    rng = np.random.default_rng(seed_of(mosaic.name, strip_x, strip_y, k))
    year, month = mosaic.first_month
    month += int(rng.integers(0, mosaic.months))
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    day, hour, minute, second = rng.integers((1, 9, 0, 0), (29, 17, 60, 60))
    moment = f"{year}{month:02d}{day:02d}_{hour:02d}{minute:02d}{second:02d}"
    if year < _LAST_SHORT_ID_YEAR and rng.random() < 0.1:
        return f"{moment}_{rng.integers(1000000, 9999999)}_RapidEye-{rng.integers(1, 6)}"
    satellite = f"{rng.integers(0x0E00, 0x10FF):04x}"
    if year <= _LAST_SHORT_ID_YEAR:
        return f"{moment}_{satellite}"
    return f"{moment}_{rng.integers(0, 100):02d}_{satellite}"


def item_type(scene: str) -> str:
    """The API's type of a scene."""
    return "REOrthoTile" if "RapidEye" in scene else "PSScene"


def scene_feature(scene: str, data_url: str) -> dict:
    """A scene as the metadata search describes it: a GeoJSON feature whose figures follow from its id alone."""
    rng = np.random.default_rng(seed_of("scene", scene))
    cloud, haze, shadow = (int(v) for v in np.minimum(rng.exponential((14, 6, 4)), (70, 20, 9)))
    date = scene[:8]
    acquired = f"{date[:4]}-{date[4:6]}-{date[6:8]}T12:00:00.000Z"
    figures = {
        "cloud_cover": cloud / 100,
        "cloud_percent": cloud,
        "heavy_haze_percent": haze,
        "light_haze_percent": haze // 2,
        "shadow_percent": shadow,
        "snow_ice_percent": 0,
        "clear_percent": max(0, 100 - cloud - haze - shadow),
        "visible_percent": max(0, 100 - cloud),
    }
    if item_type(scene) == "REOrthoTile":
        figures = {"cloud_cover": cloud / 100}
    return {
        "type": "Feature",
        "id": scene,
        "geometry": None,
        "_links": {"_self": f"{data_url}/item-types/{item_type(scene)}/items/{scene}"},
        "_permissions": [],
        "assets": [],
        "properties": {"acquired": acquired, "published": acquired, "item_type": item_type(scene), **figures},
    }
