"""Chips as GeoTIFFs, and as stock MMSegmentation and GDAL read them."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from segmentation.chips.chip import read_valid, write_chip
from segmentation.geo.grid import Grid
from segmentation.imagery.reflectance import BAND_SCALES, PUBLISHED, encode
from segmentation.imagery.source import Pixels

TRANSFORM = Grid().window_transform(2_785_280, 4_214_784, 2)


def pixels_of(rng, bands=4):
    """Reflectance from shadow to bright tailings, a quarter of it without data."""
    valid = np.ones((512, 512), bool)
    valid[:256, :256] = False
    reflectance = rng.uniform(0, 0.5, (bands, 512, 512)).astype("float32")
    return Pixels(np.where(valid, reflectance, 0), valid)


@pytest.fixture(params=[4, 3], ids=["with NIR", "without NIR"])
def pixels(request, rng):
    return pixels_of(rng, request.param)


@pytest.fixture
def chip(tmp_path, pixels):
    path = tmp_path / "img_dir" / "train" / "17.tif"
    write_chip(path, encode(pixels), TRANSFORM, {"WINDOW": "17", "MOSAIC": "planet_medres"})
    return path


def test_reflectance_comes_back_within_half_a_step(chip, pixels):
    with rasterio.open(chip) as file:
        dn, scales, offsets = file.read(), np.array(file.scales), np.array(file.offsets)
    back = dn * scales[:, None, None] + offsets[:, None, None]
    steps = np.broadcast_to(scales[:, None, None], back.shape)
    off = np.abs(back - pixels.reflectance)[:, pixels.valid]
    assert (off <= steps[:, pixels.valid] / 2 + 1e-6).all()


def test_no_data_is_zero_and_nothing_else_is(chip, pixels):
    with rasterio.open(chip) as file:
        dn = file.read()
        assert set(file.nodatavals) == {0}
    assert (dn[:, ~pixels.valid] == 0).all()
    assert (dn[:, pixels.valid] > 0).all()
    np.testing.assert_array_equal(read_valid(chip), pixels.valid)


def test_the_dark_and_the_bright_end_are_cut_not_wrapped():
    reflectance = np.zeros((4, 512, 512), "float32")
    reflectance[:, 0, :4] = [-0.05, 0.0, 6.5, np.inf]
    dn = encode(Pixels(reflectance, np.ones((512, 512), bool)))
    assert dn.dtype == np.uint8
    assert dn[:, 0, :4].tolist() == [[1, 1, 255, 255]] * 4


def test_bright_tailings_stay_below_saturation():
    bright = Pixels(np.full((4, 512, 512), 0.40, "float32"), np.ones((512, 512), bool))
    assert encode(bright).max() < 255
    assert len(BAND_SCALES) == 4


def test_the_file_says_what_it_is(chip, pixels):
    bands = len(pixels.reflectance)
    with rasterio.open(chip) as file:
        assert (file.count, file.width, file.height, set(file.dtypes)) == (bands, 512, 512, {"uint8"})
        assert file.crs.to_epsg() == 3857
        assert file.transform == TRANSFORM
        assert file.descriptions == ("Red", "Green", "Blue", "NIR")[:bands]
        assert file.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert ColorInterp.alpha not in file.colorinterp
        assert file.tags()["MOSAIC"] == "planet_medres"
        structure = file.tags(ns="IMAGE_STRUCTURE")
        assert (structure["COMPRESSION"], structure["INTERLEAVE"]) == ("DEFLATE", "PIXEL")


def test_a_chip_is_a_single_file(chip):
    """No side-car that would be lost when a chip is copied, and nothing half-written."""
    assert [path.name for path in chip.parent.iterdir()] == ["17.tif"]


def test_the_same_pixels_give_the_same_bytes(chip, pixels, tmp_path):
    write_chip(tmp_path / "again.tif", encode(pixels), TRANSFORM, {"WINDOW": "17", "MOSAIC": "planet_medres"})
    assert (tmp_path / "again.tif").read_bytes() == chip.read_bytes()


def test_stock_mmsegmentation_reads_a_chip_as_blue_green_red(chip, pixels):
    transforms = pytest.importorskip("mmcv.transforms")
    image = transforms.LoadImageFromFile()({"img_path": str(chip)})["img"]
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, encode(pixels)[[2, 1, 0]].transpose(1, 2, 0))


def test_stock_mmsegmentation_reads_the_near_infrared_unchanged(tmp_path, rng):
    transforms = pytest.importorskip("mmcv.transforms")
    pixels = pixels_of(rng)
    write_chip(tmp_path / "c.tif", encode(pixels), TRANSFORM, {})
    image = transforms.LoadImageFromFile(color_type="unchanged")({"img_path": str(tmp_path / "c.tif")})["img"]
    np.testing.assert_array_equal(image, encode(pixels)[[2, 1, 0, 3]].transpose(1, 2, 0))


@pytest.mark.parametrize("dn", [0, 1, 128, 256, 257, 1000, 3000, 6553, 10000, 65535])
def test_the_published_encoding_wraps_as_16_bit_numbers_do(dn):
    reflectance = np.full((3, 512, 512), dn * 1e-4, "float32")
    encoded = encode(Pixels(reflectance, np.ones((512, 512), bool)), PUBLISHED)
    wrapped = np.uint16([255]) * np.uint16([dn])
    assert np.unique(encoded).tolist() == [int(wrapped[0]) // 256]


def test_the_published_encoding_claims_no_reflectance(tmp_path, pixels):
    write_chip(tmp_path / "p.tif", encode(pixels, PUBLISHED), TRANSFORM, {}, PUBLISHED)
    with rasterio.open(tmp_path / "p.tif") as chip:
        assert chip.scales == (1.0,) * chip.count
        assert chip.offsets == (0.0,) * chip.count
