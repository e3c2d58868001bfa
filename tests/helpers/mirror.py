"""A mirror of Sentinel-2's quarterly mosaics with tiles drawn for the tests, as a process of its own.

``python tests/helpers/mirror.py FOLDER`` prints ``ready URL`` when it listens, and ends when its standard input closes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import requests
from helpers.own_rasters import bell, mercator, pixel_centres
from pyproj import Transformer
from rasterio import Affine
from rasterio.shutil import copy
from rasterio.windows import Window

from segmentation.core.workspace import REPOSITORY
from segmentation.demo.planet.exchange import LOOPBACK, Refusal, Request, Response, serve
from segmentation.demo.planet.faults import COUNTS_PATH, Faults, disturb

TILE_PX, BLOCK_PX = 10_008, 1024
# How bright a bell is in each band, of what it is in red.
BANDS = {"B04": 1.0, "B03": 0.9, "B02": 0.8, "B08": 0.7}
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass(frozen=True)
class Drawn:
    """A tile to draw: its name, place (EPSG code, metres of the north-west corner) and the bell in it (degrees)."""

    name: str
    epsg: int
    left: float
    top: float
    lon: float
    lat: float


def draw_tile(folder: Path, drawn: Drawn, around_m: float = 3600, cog: bool = False) -> None:
    """Write a tile's four files as the mirror has them; pixels far from the bell are without data.

    Args:
        folder: of the quarter.
        drawn: what and where.
        around_m: how far from the bell there is data.
        cog: as Cloud Optimized GeoTIFFs with overviews, as the mirror's are; they take long, so all bands are the same.
    """
    x, y = Transformer.from_crs("EPSG:4326", drawn.epsg, always_xy=True).transform(drawn.lon, drawn.lat)
    col, row, reach = (int(of / 10) for of in (x - drawn.left, drawn.top - y, around_m))
    left, top = max(0, col - reach), max(0, row - reach)
    part = Window(left, top, min(TILE_PX, col + reach) - left, min(TILE_PX, row + reach) - top)
    transform = Affine(10, 0, drawn.left, 0, -10, drawn.top)
    places = pixel_centres(transform @ Affine.translation(left, top), part.height, part.width)
    to_map = Transformer.from_crs(drawn.epsg, "EPSG:3857", always_xy=True)
    values = bell(*to_map.transform(*places), mercator(drawn.lon, drawn.lat))
    profile = {
        "driver": "GTiff",
        "width": TILE_PX,
        "height": TILE_PX,
        "count": 1,
        "dtype": "int16",
        "nodata": -32768,
        "crs": f"EPSG:{drawn.epsg}",
        "transform": transform,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "compress": "deflate",
        "predictor": 2,
        "sparse_ok": True,
    }
    (folder / drawn.name).mkdir(parents=True, exist_ok=True)
    # Real reflectance has noise, which is what its bytes are made of.
    noise = np.random.default_rng(1).normal(0, 3, values.shape)
    paths = {band: folder / drawn.name / f"{band}.tif" for band in BANDS}
    for band, share in BANDS.items():
        with rasterio.open(paths[band], "w", **profile) as file:
            file.write(np.rint(values * share * 10_000 + noise).astype("int16"), 1, window=part)
    if cog:
        options = {"compress": "DEFLATE", "predictor": "STANDARD", "blocksize": BLOCK_PX, "sparse_ok": "YES"}
        copy(paths["B04"], paths["B02"], driver="COG", overview_count=5, resampling="NEAREST", **options)
        for band in ("B03", "B04", "B08"):
            shutil.copyfile(paths["B02"], paths[band])


@dataclass(frozen=True)
class Files:
    """Answers with the files of a folder, whole or in parts."""

    folder: Path

    def __call__(self, request: Request) -> Response:
        if request.headers.get("user-agent", "").startswith("Python-urllib"):
            raise Refusal(403, {"message": "Forbidden"})
        path = self.folder / request.path.lstrip("/")
        if not path.is_file():
            raise Refusal(404, {"message": "NoSuchKey"})
        size = path.stat().st_size
        span = _RANGE.fullmatch(request.headers.get("range", ""))
        if span is None:
            return Response(200, {"Accept-Ranges": "bytes"}, file=path, last_byte=size - 1)
        first, last = int(span[1]), min(int(span[2]), size - 1)
        return Response(
            206, {"Content-Range": f"bytes {first}-{last}/{size}"}, file=path, first_byte=first, last_byte=last
        )


@contextmanager
def mirror(folder: Path, faults: Faults | None = None) -> Iterator[str]:
    """Serve a folder while the block lasts; its address."""
    told = (faults or Faults()).to_json()
    command = [sys.executable, __file__, str(folder), "--faults", told]
    environment = {"PYTHONPATH": os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests")))}
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, env=environment, text=True
        ) as process,
    ):
        try:
            word, _, url = process.stdout.readline().strip().partition(" ")
            assert word == "ready", complaints.seek(0) or complaints.read()
            yield url
        finally:
            process.stdin.close()


def asked(url: str) -> dict[str, int]:
    """Requests so far by path."""
    return requests.get(url + COUNTS_PATH, timeout=10).json()["requests"]["storage"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faults", type=Faults.from_json, default=Faults())
    options = parser.parse_args()
    answer = disturb({"storage": Files(options.folder)}, options.faults, "no key")["storage"]
    print("ready", f"http://{LOOPBACK}:{serve(answer).server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
