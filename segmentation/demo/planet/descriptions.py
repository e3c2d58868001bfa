"""Mosaics, series and quads in the words of the API's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from segmentation.demo.landscape.districts import GRID
from segmentation.demo.planet.catalogue import (
    COVERED_ROWS,
    Series,
    StandinMosaic,
    is_downloadable,
    percent_covered,
    quad_bbox,
)
from segmentation.geo.grid import QUAD_PX, quad_name

PREFIX, DATA_PREFIX = "/basemaps/v1", "/data/v1"
# Planet's JSON gives the exact resolution, though its files use the rounded one.
_RESOLUTION_M = 4.777314267823516


@dataclass
class Links:
    """Makes the API's absolute URLs.

    Attributes:
        key: the key that they carry.
        host: scheme, host and port of the API, known once it listens.
    """

    key: str
    host: str = ""

    def url(self, path: str, **query: object) -> str:
        """An absolute URL that carries the key, query keys in alphabetical order."""
        return f"{self.host}{path}?{urlencode(sorted({**query, 'api_key': self.key}.items()))}"


def mosaic_json(links_to: Links, mosaic: StandinMosaic) -> dict:
    """A mosaic as the API describes it."""
    path = f"{PREFIX}/mosaics/{mosaic.id}"
    first, last = mosaic.acquired
    west, south = quad_bbox(0, COVERED_ROWS[0])[:2]
    east, north = quad_bbox(GRID.n_quads - 1, COVERED_ROWS[-1])[2:]
    return {
        "_links": {
            "_self": links_to.url(path),
            "quads": f"{links_to.url(f'{path}/quads')}&bbox={{lx}},{{ly}},{{ux}},{{uy}}",
            "tiles": f"{links_to.host}/tiles/{mosaic.name}/gmap/{{z}}/{{x}}/{{y}}.png?api_key={links_to.key}",
        },
        "bbox": [west, south, east, north],
        "coordinate_system": "EPSG:3857",
        "datatype": "uint16",
        "first_acquired": first,
        "grid": {"quad_size": QUAD_PX, "resolution": _RESOLUTION_M},
        "id": mosaic.id,
        "interval": mosaic.interval,
        "item_types": ["PSScene", "REOrthoTile"],
        "last_acquired": last,
        "level": GRID.level,
        "name": mosaic.name,
        "product_type": "timelapse",
        "quad_download": True,
    }


def series_json(links_to: Links, series: Series) -> dict:
    """A series as the API describes it."""
    path = f"{PREFIX}/series/{series.id}"
    links = {"_self": links_to.url(path), "mosaics": links_to.url(f"{path}/mosaics")}
    return {"_links": links, "id": series.id, "interval": series.interval, "name": series.name}


def quad_json(links_to: Links, mosaic: StandinMosaic, x: int, y: int, *, minimal: bool = False) -> dict:
    """A quad as the API describes it; without a download link where the key may not have it."""
    name = quad_name(x, y)
    path = f"{PREFIX}/mosaics/{mosaic.id}/quads/{name}"
    links = {"_self": links_to.url(path), "items": links_to.url(f"{path}/items")}
    if is_downloadable(x, y):
        links["download"] = links_to.url(f"{path}/full")
    row = GRID.n_quads - 1 - y
    links["thumbnail"] = f"{links_to.host}/tiles/{mosaic.name}/gmap/11/{x}/{row}.png?api_key={links_to.key}"
    if minimal:
        return {"_links": links, "id": name}
    covered = percent_covered(mosaic, x, y)
    return {"_links": links, "bbox": quad_bbox(x, y), "id": name, "percent_covered": covered}
