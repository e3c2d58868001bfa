"""A disk without room: one line, nothing left behind, and the same command goes on once there is room."""

import errno
import gc
import os
import sys
from contextlib import contextmanager, suppress

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from helpers.own_rasters import bell_raster
from helpers.step_1 import digests_under, partial_files
from rasterio import Affine
from rasterio.windows import Window

from segmentation.chips.chip import write_chip
from segmentation.chips.mask import write_mask
from segmentation.core import files
from segmentation.core.errors import DiskFull, PipelineError
from segmentation.core.figures import pyplot, save_png
from segmentation.core.files import whole_file, write_json
from segmentation.geo.formats import FORMATS, write_polygons
from segmentation.geo.geopackage import Layer
from segmentation.geo.geotiffs import check_written, damage, written_by_gdal
from segmentation.geo.grid import Grid
from segmentation.imagery.stac.cache import CompositeCache
from segmentation.panel.tables import write_table
from segmentation.predict.probability import write_probability

resource = pytest.importorskip("resource")

CHIP = Affine(4.78, 0, -6e6, 0, -4.78, -2e5)


@contextmanager
def room_for(size: int):
    """No file may grow beyond some bytes, as if the disk were full then; processes started meanwhile are held to it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def noise(*shape, dtype="uint8"):
    return np.random.default_rng(7).integers(1, 250, shape).astype(dtype)


def polygons(count=3000):
    squares = shapely.box(np.arange(count) * 0.01, 0, np.arange(count) * 0.01 + 0.005, 0.005)
    return gpd.GeoDataFrame({"id": np.arange(count)}, geometry=squares, crs="EPSG:4326")


def picture(path):
    figure, axis = pyplot().subplots()
    axis.imshow(noise(100, 100))
    save_png(figure, path, dpi=100)


def composite(path):
    CompositeCache(path.parent).write((0, 0, 512), noise(4, 512, 512) / np.float32(1000), Grid(14))


WRITERS = {
    "chip": lambda path: write_chip(path, noise(4, 512, 512), CHIP, {"WINDOW": "7"}),
    "mask": lambda path: write_mask(path, noise(512, 512), CHIP),
    "probability": lambda path: write_probability(path, noise(512, 512), CHIP),
    "composite": composite,
    "settings": lambda path: write_json(path, {str(number): number for number in range(500)}),
    "table": lambda path: write_table(path, pd.DataFrame({"value": np.random.default_rng(7).normal(size=2000)}), {}),
    "picture": picture,
    **{
        name: lambda path, name=name: write_polygons(path, Layer("mines", polygons(), "Polygon"), {"a": "b"}, [name])
        for name in FORMATS
    },
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_write_without_room_leaves_nothing_that_the_collector_trips_over(tmp_path, monkeypatch, what):
    tripped = []
    monkeypatch.setattr(sys, "unraisablehook", tripped.append)
    with room_for(100), pytest.raises(PipelineError, match="disk full") as told:
        WRITERS[what](tmp_path / "it.tif")
    told.value.itself = told.value  # whatever the error's traceback holds goes in no order of its own
    del told
    gc.collect()
    assert not tripped


@pytest.mark.parametrize("what", WRITERS)
def test_no_file_gets_its_name_without_its_content(tmp_path, what):
    write = WRITERS[what]
    write(tmp_path / "whole" / "it.tif")
    whole = digests_under(tmp_path / "whole")
    size = max(path.stat().st_size for path in (tmp_path / "whole").iterdir())
    target = tmp_path / "full" / "it.tif"
    for room in {0, size // 3, 2 * size // 3, size - 1}:
        with room_for(room), pytest.raises(PipelineError, match="disk full") as told:
            write(target)
        assert "\n" not in str(told.value)
        left = digests_under(target.parent)
        assert left.items() <= whole.items(), "of several files those that had room are whole"
        assert len(left) < len(whole)
        assert not partial_files(tmp_path)
    write(target)
    assert digests_under(target.parent) == whole


def test_a_full_disk_is_told_apart_from_other_failures(tmp_path):
    with (
        pytest.raises(DiskFull, match=r"disk full at .*a\.txt \(No space left on device\): make room"),
        whole_file(tmp_path / "a.txt"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(PermissionError), whole_file(tmp_path / "a.txt"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    assert list(tmp_path.iterdir()) == []


def test_what_the_disk_says_last_counts_too(tmp_path, monkeypatch):
    def fail(file):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(DiskFull, match="disk full at"), whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_sync_is_no_reason_to_fail(tmp_path, monkeypatch):
    def fail(file):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(files.os, "fsync", fail)
    with whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("a")
    assert (tmp_path / "a.txt").read_text() == "a"


def test_blocks_that_gdal_could_not_write_are_missed(tmp_path):
    import rasterio

    from segmentation.imagery.rasters.blocks import sparse_blocks

    where = {"crs": "EPSG:3857", "transform": CHIP}
    profile = {"width": 2048, "height": 2048, "count": 1, "dtype": "uint16", **where, **sparse_blocks(256)}
    places = [(1, Window(256 * n, 256 * n, 256, 256)) for n in range(8)]

    def write(path):
        with written_by_gdal(path), rasterio.open(path, "w", **profile) as file:
            for _, place in places:
                file.write(noise(256, 256, dtype="uint16") * 77, 1, window=place)
        check_written(path, places)

    write(tmp_path / "whole.tif")
    size = (tmp_path / "whole.tif").stat().st_size
    for room in np.linspace(0, size - 1, 9).astype(int).tolist():
        with room_for(room), pytest.raises(DiskFull, match="full"):
            write(tmp_path / "cut.tif")
        with suppress(FileNotFoundError):
            (tmp_path / "cut.tif").unlink()


@pytest.fixture
def scene(tmp_path, vector_file):
    """A raster with a mine in its midst, and the mine's polygon."""
    raster = bell_raster(tmp_path / "scene.tif", "EPSG:3857", -60.0, -3.0, 9.55, 900)
    mine = vector_file([shapely.Point(-60.0, -3.0).buffer(0.001)], id=["7"])
    return raster, mine


def test_step_1_goes_on_once_there_is_room(tmp_path, step_1, scene):
    raster, mine = scene
    typed = ("--polygons", mine, "--imagery", raster)
    full = tmp_path / "full"
    with room_for(2_000):
        done = step_1(full, *typed)
    assert done.status == 2, done.printed
    assert "error: disk full at" in done.printed
    assert ".tif (" in done.printed
    assert not partial_files(full)
    assert step_1(full, *typed).status == 0
    rasters = sorted(path.relative_to(full / "segmentation/2019").parts[0] for path in full.rglob("7.tif"))
    assert rasters == ["ann_dir", "img_dir"]
    assert [damage(path) for path in full.rglob("7.tif")] == [None, None]
