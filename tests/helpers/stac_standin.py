"""A STAC API and the storage of its scenes on this machine, for tests: a real API server, files by range requests.

The ground of every scene is the same; scenes differ in how they store it, in their clouds and in their days.
"""

import json
import re
import socket
import struct
import subprocess
import sysconfig
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from rasterio import Affine
from rasterio.features import rasterize

COLLECTION = "sentinel-2-l2a"
# Scene classes.
VEGETATION, CLOUD, SHADOW = 4, 9, 3
# Reflectance of red, green, blue and near infrared.
FOREST, BARE_GROUND = np.array([0.05, 0.06, 0.04, 0.30]), np.array([0.36, 0.32, 0.28, 0.44])
WATER, CLOUD_TOP = np.array([0.02, 0.03, 0.015, 0.01]), np.array([0.9, 0.9, 0.9, 0.9])
EARTH_SEARCH = ("red", "green", "blue", "nir", "scl")
PLANETARY_COMPUTER = ("B04", "B03", "B02", "B08", "SCL")
PIXEL_M = 10
# Of the ground, in reflectance: files are then larger than their heads.
NOISE = 0.001
_FINER = 5

_STARTS_S = 20


@dataclass(frozen=True)
class Tile:
    """Where scenes lie: a square in UTM."""

    epsg: int
    west: float
    north: float
    side_px: int

    @property
    def transform(self):
        return Affine(PIXEL_M, 0, self.west, 0, -PIXEL_M, self.north)

    def outline(self):
        """In degrees."""
        side_m = self.side_px * PIXEL_M
        square = shapely.box(self.west, self.north - side_m, self.west + side_m, self.north)
        to_degrees = Transformer.from_crs(self.epsg, 4326, always_xy=True)
        return shapely.transform(shapely.segmentize(square, side_m / 4), to_degrees.transform, interleaved=False)


@dataclass(frozen=True)
class Scene:
    """One scene.

    Attributes:
        day: ``YYYY-MM-DD``.
        cloud: percent, by its metadata.
        baseline: of the processing.
        shift: what its DN are raised by.
        listed: offset by its metadata, None where it lists none.
        taken_off: what its metadata says of the offset, None where it says nothing.
        clouds: share of the tile, from the west, that its classes call cloud, and that is white.
        haze: added to reflectance everywhere and not noticed by the classes.
        assets: names of red, green, blue, near infrared and classes.
        tile: number of the tile.
        time: of the day.
    """

    day: str
    cloud: float = 1.0
    baseline: str = "02.14"
    shift: int = 0
    listed: float | None = 0.0
    taken_off: bool | None = None
    clouds: float = 0.0
    haze: float = 0.0
    assets: tuple = EARTH_SEARCH
    tile: int = 0
    time: str = "08:30:00"

    @property
    def name(self):
        return f"S2A_{self.tile}_{self.day.replace('-', '')}_{self.baseline.replace('.', '')}_{self.cloud:g}_L2A"


def ground_of(tile, shape_3857):
    """Reflectance (4, h, w) of forest with a strip of water in the west, and bare ground in a shape."""
    side = tile.side_px
    to_utm = Transformer.from_crs(3857, tile.epsg, always_xy=True)
    shape = shapely.transform(shape_3857, to_utm.transform, interleaved=False)
    fine = tile.transform @ Affine.scale(1 / _FINER)
    share = rasterize([shape], (side * _FINER, side * _FINER), transform=fine)
    share = share.reshape(side, _FINER, side, _FINER).mean(axis=(1, 3), dtype="float64")
    ground = FOREST[:, None, None] + (BARE_GROUND - FOREST)[:, None, None] * share
    ground[:, :, : side // 50] = WATER[:, None, None]
    return ground + np.random.default_rng(1).uniform(-NOISE, NOISE, ground.shape)


def write_scene(folder, tile, scene, ground, url):
    """The files of a scene, which are to be served at an address; its item."""
    place = folder / scene.name
    place.mkdir(parents=True)
    covered = int(scene.clouds * tile.side_px)
    values = np.clip(np.rint((ground + scene.haze) * 1e4), 1, None)
    values[:, :, :covered] = (CLOUD_TOP * 1e4)[:, None, None]
    classes = np.full((tile.side_px // 2,) * 2, VEGETATION, "uint8")
    classes[:, : covered // 2] = CLOUD
    profile = {"driver": "GTiff", "crs": f"EPSG:{tile.epsg}", "nodata": 0, "count": 1, "tiled": True}
    profile |= {"blockxsize": 256, "blockysize": 256, "compress": "deflate", "predictor": 2, "zlevel": 1}
    for name, band in zip(scene.assets, [*(values + scene.shift), classes], strict=True):
        pixel = Affine.scale(tile.side_px / band.shape[0])
        dtype = "uint8" if band is classes else "uint16"
        shape = {"width": band.shape[1], "height": band.shape[0], "transform": tile.transform @ pixel}
        with rasterio.open(place / f"{name}.tif", "w", dtype=dtype, **profile, **shape) as file:
            file.write(band.astype(dtype), 1)
            file.build_overviews([2, 4], rasterio.enums.Resampling.nearest)
    return _item(tile, scene, url)


def _item(tile, scene, url):
    outline = tile.outline()
    described = {"data_type": "uint16", "nodata": 0, "spatial_resolution": PIXEL_M}
    if scene.listed is not None:
        described |= {"scale": 0.0001, "offset": scene.listed}
    flag = {} if scene.taken_off is None else {"earthsearch:boa_offset_applied": scene.taken_off}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            f"https://stac-extensions.github.io/{name}/schema.json"
            for name in ("eo/v1.1.0", "projection/v1.1.0", "raster/v1.1.0")
        ],
        "id": scene.name,
        "collection": COLLECTION,
        "bbox": list(outline.bounds),
        "geometry": shapely.geometry.mapping(outline),
        "properties": {
            "datetime": f"{scene.day}T{scene.time}Z",
            "constellation": "Sentinel 2" if scene.assets == PLANETARY_COMPUTER else "sentinel-2",
            "eo:cloud_cover": scene.cloud,
            "proj:epsg": tile.epsg,
            "s2:processing_baseline": scene.baseline,
            **flag,
        },
        "links": [],
        "assets": {
            name: {
                "href": f"{url}/{scene.name}/{name}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "raster:bands": [described if name != scene.assets[-1] else {"data_type": "uint8", "nodata": 0}],
            }
            for name in scene.assets
        },
    }


@dataclass
class Storage:
    """Serves the files of a folder in parts, and access tokens if it wants them.

    Attributes:
        folder: of the files.
        signature: what has to stand in the query of an address; None where anybody may read.
        gives: the signature of the tokens that it gives; None for the one that it wants.
        broken: how many requests for a path are answered before it is 503 for ever.
        faults: used up one a request for a file: a status, ``reset``, or None for none.
        asked: method and path with query of every request, for files and for tokens.
        logins: that came with requests.
        sent: bytes of files.
    """

    folder: Path
    signature: str | None = None
    gives: str | None = None
    broken: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    logins: list = field(default_factory=list)
    sent: int = 0

    def __post_init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def sas_url(self):
        return f"{self.url}/api/sas/v1/token/{COLLECTION}"

    def calm(self):
        """Forget what happened, and let everything go well."""
        for gone in (self.asked, self.logins, self.broken, self.faults):
            gone.clear()
        self.signature = self.gives = None

    def files_asked(self):
        return [path for _, path in self.asked if "/token/" not in path]

    def _handler(storage):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self._serve(with_body=False)

            def do_GET(self):
                self._serve(with_body=True)

            def _serve(self, with_body):
                storage.asked.append((self.command, self.path))
                storage.logins += filter(None, [self.headers.get("Authorization"), self.headers.get("X-Login")])
                parts = urlsplit(self.path)
                if "/token/" in parts.path:
                    query = f"se=2099&sig={storage.gives or storage.signature}"
                    token = {"msft:expiry": "2099-01-01T00:00:00Z", "token": query}
                    return self._answer(200, json.dumps(token).encode())
                if parts.path in storage.broken:
                    storage.broken[parts.path] -= 1
                    if storage.broken[parts.path] < 0:
                        return self._answer(503)
                fault = storage.faults.pop(0) if storage.faults else None
                if fault is not None:
                    return self._reset() if fault == "reset" else self._answer(fault)
                if storage.signature and parse_qs(parts.query).get("sig") != [storage.signature]:
                    return self._answer(403)
                path = storage.folder / parts.path.lstrip("/")
                return self._file(path.read_bytes(), with_body) if path.is_file() else self._answer(404)

            def _file(self, content, with_body):
                span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                if not span:
                    return self._answer(200, content, with_body=with_body)
                first, last = int(span[1]), min(int(span[2]), len(content) - 1)
                headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
                return self._answer(206, content[first : last + 1], headers, with_body)

            def _answer(self, status, body=b"", headers=None, with_body=True):
                self.send_response(status)
                for name, value in {
                    "Accept-Ranges": "bytes",
                    "Content-Length": str(len(body)),
                    **(headers or {}),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                if with_body:
                    storage.sent += len(body)
                    self.wfile.write(body)

            def _reset(self):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True

            def log_message(self, *_):
                pass

        return Handler


def server_program():
    """The STAC API server's program, None where it is not installed."""
    program = Path(sysconfig.get_path("scripts")) / "rustac"
    return program if program.exists() else None


@contextmanager
def stac_api(folder, items):
    """A STAC API with one collection of items while the block lasts; its address."""
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "description": "drawn for tests",
        "license": "CC0-1.0",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2015-01-01T00:00:00Z", None]]},
        },
        "links": [],
    }
    files = {"collection.json": collection, "items.json": {"type": "FeatureCollection", "features": items}}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    paths = [folder / name for name in (files if items else ["collection.json"])]
    command = [server_program(), "serve", "--addr", address, *paths]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _await(f"http://{address}/")
            yield f"http://{address}"
        finally:
            process.terminate()


def _await(url):
    for _ in range(_STARTS_S * 50):
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, ConnectionError):
            time.sleep(0.02)
    raise AssertionError(f"nothing answers at {url}")
