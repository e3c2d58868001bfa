"""Files of ours that are there but cannot be read: named, and made again."""

import shutil

import numpy as np
import pytest
import rasterio
import shapely
from helpers.own_rasters import bell_raster
from helpers.step_1 import digests_under
from rasterio import Affine

from segmentation.chips.chip import read_chip, write_chip
from segmentation.chips.cutting import DAMAGED, CutJob, cut
from segmentation.chips.mask import read_mask, write_mask
from segmentation.core.errors import DamagedFile
from segmentation.geo.geotiffs import damage
from segmentation.geo.grid import Grid
from segmentation.imagery.cache import COVERED, PieceRecord, TileCache
from segmentation.imagery.stac.cache import CompositeCache, CompositeReader, CompositeRecord

CHIP = Affine(4.78, 0, -6e6, 0, -4.78, -2e5)


@pytest.fixture
def chip(tmp_path, rng):
    path = tmp_path / "chip.tif"
    write_chip(path, rng.integers(1, 255, (4, 512, 512)).astype("uint8"), CHIP, {})
    return path


def cut_off(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def zeroed(path, share):
    content = path.read_bytes()
    kept = int(len(content) * share)
    path.write_bytes(content[:kept] + bytes(len(content) - kept))


def test_a_whole_file_has_no_damage(chip, tmp_path):
    assert damage(chip) is None
    write_mask(tmp_path / "mask.tif", np.zeros((512, 512), "uint8"), CHIP)
    assert damage(tmp_path / "mask.tif") is None


@pytest.mark.parametrize("harm", [cut_off, zeroed])
@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.3, 0.7, 0.999])
def test_a_file_that_ends_early_is_damaged(chip, harm, share):
    harm(chip, share)
    assert damage(chip)
    with pytest.raises(DamagedFile, match=r"chip\.tif is damaged \(.+\); run step 1 for its year again"):
        read_chip(chip)


def test_a_block_that_was_never_written_is_damage(tmp_path):
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=512,
        height=512,
        count=1,
        dtype="uint8",
        crs="EPSG:3857",
        transform=CHIP,
        compress="deflate",
        sparse_ok=True,
    ) as file:
        file.write(np.ones((1, 4, 512), "uint8"), window=((0, 4), (0, 512)))
    with rasterio.open(path) as file:
        assert not file.read(1)[100].any(), "GDAL takes it for no data"
    assert "blocks are missing" in damage(path)
    assert damage(path, sparse=True) is None


def test_a_wrong_bit_is_damage(chip):
    content = bytearray(chip.read_bytes())
    content[len(content) // 2] ^= 1
    chip.write_bytes(content)
    assert damage(chip)


@pytest.fixture
def made(tmp_path, step_1, vector_file):
    """Step 1's files of a year with three windows, and the command that makes them: ``made()``."""
    raster = bell_raster(tmp_path / "scene.tif", "EPSG:3857", -60.0, -3.0, 9.55, 1500)
    places = [shapely.Point(-60.0 + shift, -3.0).buffer(0.001) for shift in (-0.03, 0, 0.03)]
    typed = ("--polygons", vector_file(places, id=["1", "2", "3"]), "--imagery", raster)

    def run():
        return step_1(tmp_path / "data", *typed)

    assert run().status == 0
    return tmp_path / "data", run


def test_step_1_names_and_makes_anew_what_is_damaged(made):
    root, run = made
    whole = digests_under(root)
    chip, mask = (next((root / "segmentation").rglob(name)) for name in ("img_dir/*/2.tif", "ann_dir/*/3.tif"))
    record = next(root.rglob("windows.gpkg"))
    cut_off(chip, 0.5)
    mask.write_bytes(b"")
    cut_off(record, 0.5)
    done = run()
    assert done.status == 0, done.printed
    assert [done.printed.count(f"{path} is damaged") for path in (chip, mask, record)] == [1, 1, 1]
    assert digests_under(root) == whole


def test_imagery_of_ours_that_is_damaged_is_doubted_not_removed(tmp_path):
    cache = TileCache(tmp_path)
    path = cache.path("20MQA")
    path.write_bytes(b"half")
    cache.keep("20MQA", PieceRecord("mosaic", COVERED, size=4, blocks=[1, 2]))
    assert cache.is_complete("20MQA", [1])
    cache.mark_damaged(path)
    assert not cache.is_complete("20MQA", [1])
    assert path.exists()


def test_a_damaged_composite_is_found_and_made_again(tmp_path, rng):
    store, square = CompositeCache(tmp_path), (0, 0, 512)
    size = store.write(square, rng.random((4, 512, 512), "float32"), Grid(14))
    store.keep(square, CompositeRecord(COVERED, size=size))
    path = tmp_path / "0-0-512.tif"
    zeroed(path, 0.5)
    assert store.is_complete(square), "its size says nothing"
    outcome = cut(CutJob("w", *square, tmp_path / "c.tif", None, np.array([]), CompositeReader(tmp_path), Grid(14), {}))
    assert (outcome.status, outcome.damage.path) == (DAMAGED, path)
    store.mark_damaged(path)
    assert not store.is_complete(square)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95, 0.999])
def test_a_mask_that_has_lost_but_its_colours_or_its_place_is_damaged(tmp_path, share):
    write_mask(tmp_path / "7.tif", np.zeros((512, 512), "uint8"), CHIP)
    shutil.copyfile(tmp_path / "7.tif", tmp_path / "8.tif")
    cut_off(tmp_path / "8.tif", share)
    assert not read_mask(tmp_path / "7.tif").any()
    with pytest.raises(DamagedFile, match="run step 1 for the label year again"):
        read_mask(tmp_path / "8.tif")
