"""What several tests share: real quads, real polygon files."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from helpers.models import trained
from helpers.step_1 import YEAR, Done
from rasterio import Affine
from rasterio.windows import Window

import segmentation_dataset_generation as script
from segmentation.core import cli
from segmentation.predict.runs import ModelRun

# The tests' own requests go to this machine alone, whatever proxies and logins it is used to; those of the product are
# tested with some in tests/imagery/test_sessions.py.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1,::1"
os.environ["NETRC"] = os.devnull

# The imagery's grid in figures, apart from the code under test: level 15, quads of 4096 pixels.
HALF_WORLD_M = 20037508.34
PIXEL_M = 2 * HALF_WORLD_M / 2**23
QUAD_PX, N_QUADS = 4096, 2048

# World pixel of the north-west corner of quad 680-1018, on the Amazon.
AMAZON_COL, AMAZON_ROW = 680 * QUAD_PX, (N_QUADS - 1 - 1018) * QUAD_PX

REAL_POLYGONS = Path(__file__).resolve().parents[2] / "shared" / "data" / "mining_polygons_combined_demo.gpkg"


def quad_transform(x: int, y: int) -> Affine:
    west, north = x * QUAD_PX * PIXEL_M - HALF_WORLD_M, HALF_WORLD_M - (N_QUADS - 1 - y) * QUAD_PX * PIXEL_M
    return Affine(PIXEL_M, 0, west, 0, -PIXEL_M, north)


def write_quad(path: Path, x: int, y: int, patches: dict[tuple[int, int], np.ndarray] | None = None, **changed) -> Path:
    """A quad as Planet serves it: what no patch covers is no data (and takes no space in the file).

    Args:
        path: of the GeoTIFF.
        x: of the quad, eastwards.
        y: of the quad, northwards.
        patches: (bands, h, w) pixel values by the row and column of their first pixel in the quad.
        changed: entries of rasterio's profile that differ from a good quad's.
    """
    profile = {
        "driver": "GTiff",
        "width": QUAD_PX,
        "height": QUAD_PX,
        "count": 5,
        "dtype": "uint16",
        "crs": "EPSG:3857",
        "transform": quad_transform(x, y),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "lzw",
        "sparse_ok": True,
    } | changed
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile) as quad:
        for (row, col), values in (patches or {}).items():
            quad.write(values, window=Window(col, row, values.shape[2], values.shape[1]))
    return path


def paint(folder: Path, col: int, row: int, values: np.ndarray, **changed) -> list[Path]:
    """Write all quads under a picture whose first pixel is the world's pixel ``col, row``."""
    bands, height, width = values.shape
    written = []
    for qx in range(col // QUAD_PX, (col + width - 1) // QUAD_PX + 1):
        for north in range(row // QUAD_PX, (row + height - 1) // QUAD_PX + 1):
            left, top = max(col, qx * QUAD_PX), max(row, north * QUAD_PX)
            right, bottom = min(col + width, (qx + 1) * QUAD_PX), min(row + height, (north + 1) * QUAD_PX)
            part = values[:, top - row : bottom - row, left - col : right - col]
            y = N_QUADS - 1 - north
            patches = {(top - north * QUAD_PX, left - qx * QUAD_PX): part}
            written.append(write_quad(folder / f"{qx}-{y}.tif", qx, y, patches, count=bands, **changed))
    return written


def world_to_mercator(col: float, row: float) -> tuple[float, float]:
    return col * PIXEL_M - HALF_WORLD_M, HALF_WORLD_M - row * PIXEL_M


# Files that take a minute and more; see ``together``.
_LONGEST = ("test_end_to_end.py", "test_plug.py", "test_alignment.py", "test_train.py", "test_predictor.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the others in the order that they have anyway."""
    rank = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """How ``pytest --numprocesses N`` shares the tests out."""
    from together import Together

    return Together(config, log)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20190601)


@pytest.fixture(scope="session")
def trained_model(tmp_path_factory) -> ModelRun:
    """A small SegFormer that has learned to find ``models.picture``'s blobs: some seconds, once for all tests."""
    return trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def vector_file(tmp_path) -> Iterator:
    """Writes geometries to a vector file: ``vector_file([polygon], id=[7])``."""

    def write(geometries, name="polygons.gpkg", crs="EPSG:4326", **columns) -> Path:
        path = tmp_path / name
        gpd.GeoDataFrame(columns, geometry=list(geometries), crs=crs).to_file(path)
        return path

    return write


@pytest.fixture
def step_1(monkeypatch, capsys) -> Callable[..., Done]:
    """Step 1 as it is typed, in this process: ``step_1(data root, *options, year=2019)``."""

    def typed(root: Path, *options, year: int = YEAR) -> Done:
        words = ("step_1", f"-year={year}", "--data-root", root, "--workers=1", "--quiet", *options)
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as left:
            cli.run(script.main, script.arguments())
        told = capsys.readouterr()
        return Done(left.value.code, told.out + told.err)

    return typed
