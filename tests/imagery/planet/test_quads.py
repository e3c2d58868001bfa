"""Quads: what is refused, and windows read against plain numpy on the picture the quads were painted with."""

import contextlib

import numpy as np
import pytest
import rasterio
from helpers.quads import AMAZON_COL, AMAZON_ROW, QUAD_PX, paint, quad_transform, write_quad
from rasterio import Affine

from segmentation.geo.grid import Grid, Windows
from segmentation.imagery.planet.quads import QuadReader, check_layout, check_quad, reading_order

GRID = Grid()
X, Y = 680, 1018


def picture(rng, height, width, valid_share=1.0, bands=5):
    """Random DN in the file's order: blue, green, red, NIR and, with five bands, alpha."""
    values = rng.integers(1, 12_000, (bands, height, width)).astype("uint16")
    seen = rng.random((height, width)) < valid_share
    if bands == 5:
        values[4] = np.where(seen, 65535, 0)
    else:
        values *= seen
    return values


def as_read(values):
    """What a reader should make of painted values: red, green, blue, NIR reflectance and validity."""
    seen = values[4] > 0 if len(values) == 5 else values[:4].any(axis=0)
    return np.where(seen, values[[2, 1, 0, 3]], 0) / 10_000, seen


@pytest.mark.parametrize("bands", [4, 5])
def test_a_good_quad_is_accepted(tmp_path, rng, bands):
    check_quad(
        write_quad(tmp_path / "q.tif", X, Y, {(0, 0): picture(rng, 64, 64, bands=bands)}, count=bands), GRID, X, Y
    )


def test_a_quad_whose_origin_is_rounded_as_planets_own_is_accepted(tmp_path):
    rounded = Affine(4.77731426716, 0, -6731350.457964594, 0, -4.77731426716, -97839.39618517831)
    check_quad(write_quad(tmp_path / "q.tif", X, Y, transform=rounded), GRID, X, Y)


# Half the width of Web Mercator's world with all of its digits; Planet's grid rounds it to 20037508.34.
EXACT_HALF_WORLD_M = np.pi * 6378137


@pytest.mark.parametrize(("x", "y"), [(X, Y), (0, 0), (0, 2047), (2047, 0), (2047, 2047)])
def test_a_quad_of_the_exact_web_mercator_grid_is_accepted_wherever_it_lies(tmp_path, x, y):
    pixel = 2 * EXACT_HALF_WORLD_M / 2**23
    west, north = x * QUAD_PX * pixel - EXACT_HALF_WORLD_M, EXACT_HALF_WORLD_M - (2047 - y) * QUAD_PX * pixel
    write_quad(tmp_path / "q.tif", x, y, transform=Affine(pixel, 0, west, 0, -pixel, north))
    with rasterio.open(tmp_path / "q.tif") as quad:
        check_layout(quad, GRID, x, y)


@pytest.mark.parametrize(("off_px", "accepted"), [(0.0004, True), (0.009, True), (0.011, False), (0.5, False)])
@pytest.mark.parametrize("direction", [(1, 0), (0, -1), (-1, 1)])
def test_a_hundredth_of_a_pixel_is_the_tolerance(tmp_path, off_px, accepted, direction):
    moved = quad_transform(X, Y) @ Affine.translation(off_px * direction[0], off_px * direction[1])
    refused = contextlib.nullcontext() if accepted else pytest.raises(ValueError, match="m off the quad grid")
    with rasterio.open(write_quad(tmp_path / "q.tif", X, Y, transform=moved)) as quad, refused:
        check_layout(quad, GRID, X, Y)


def test_web_mercator_by_another_name_is_accepted(tmp_path):
    with rasterio.open(write_quad(tmp_path / "q.tif", X, Y, crs="ESRI:102100")) as quad:
        check_layout(quad, GRID, X, Y)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 4095}, "4095 x 4096 pixels"),
        ({"width": 512, "height": 512}, "512 x 512 pixels"),
        ({"count": 3}, "3 bands"),
        ({"count": 6}, "6 bands"),
        ({"dtype": "uint8"}, "bands of uint8"),
        ({"dtype": "float32"}, "bands of float32"),
        ({"crs": "EPSG:4326"}, "CRS EPSG:4326"),
        ({"crs": None}, "CRS None"),
        ({"transform": quad_transform(X, Y) @ Affine.translation(1, 0)}, "4.777 m off"),
        ({"transform": quad_transform(X, Y) @ Affine.translation(0, -1)}, "4.777 m off"),
        ({"transform": quad_transform(X, Y) @ Affine.scale(1.00001)}, "m off the quad grid"),
        ({"transform": quad_transform(X, Y - 1)}, "m off the quad grid"),
    ],
)
def test_a_file_that_is_not_this_quad_is_refused(tmp_path, changed, message):
    path = write_quad(tmp_path / "q.tif", X, Y, **changed)
    with pytest.raises(ValueError, match=message):
        check_quad(path, GRID, X, Y)


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.01])
def test_a_truncated_quad_is_refused(tmp_path, rng, kept):
    path = write_quad(tmp_path / "q.tif", X, Y, {(1024, 1024): picture(rng, 512, 512)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match="."):
        check_quad(path, GRID, X, Y)


@pytest.mark.parametrize("content", [b"<!doctype html><title>Sign in</title>", b"", b"II*\0"])
def test_a_body_that_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "q.tif").write_bytes(content)
    with pytest.raises(ValueError, match="."):
        check_quad(tmp_path / "q.tif", GRID, X, Y)


@pytest.mark.parametrize(
    ("col", "row", "n_quads"),
    [(700, 300, 1), (QUAD_PX - 200, 300, 2), (700, QUAD_PX - 511, 2), (QUAD_PX - 256, QUAD_PX - 1, 4)],
)
@pytest.mark.parametrize("bands", [4, 5])
def test_a_window_shows_the_very_pixels_of_its_quads(tmp_path, rng, col, row, n_quads, bands):
    values = picture(rng, 512, 512, 0.8, bands)
    assert len(paint(tmp_path, AMAZON_COL + col, AMAZON_ROW + row, values)) == n_quads
    pixels = QuadReader(tmp_path, GRID).read(AMAZON_COL + col, AMAZON_ROW + row, 512)
    reflectance, valid = as_read(values)
    assert pixels.reflectance.dtype == np.float32
    np.testing.assert_allclose(pixels.reflectance, reflectance, rtol=1e-6)
    np.testing.assert_array_equal(pixels.valid, valid)


def test_a_quad_that_is_missing_is_no_data(tmp_path, rng):
    values = picture(rng, 512, 512)
    west, _ = paint(tmp_path, AMAZON_COL + QUAD_PX - 200, AMAZON_ROW, values)
    west.unlink()
    pixels = QuadReader(tmp_path, GRID).read(AMAZON_COL + QUAD_PX - 200, AMAZON_ROW, 512)
    assert not pixels.valid[:, :200].any()
    assert not pixels.reflectance[:, :, :200].any()
    assert pixels.valid[:, 200:].all()


def test_transparent_pixels_are_no_data_whatever_their_values(tmp_path, rng):
    values = picture(rng, 512, 512)
    values[4, :100] = 0
    values[:4, 100:200] = 0  # black but opaque: deep shadow, valid
    values[4, 200:300] = 1
    paint(tmp_path, AMAZON_COL, AMAZON_ROW, values)
    pixels = QuadReader(tmp_path, GRID).read(AMAZON_COL, AMAZON_ROW, 512)
    assert not pixels.valid[:100].any()
    assert not pixels.reflectance[:, :100].any()
    assert pixels.valid[100:].all()


@pytest.mark.parametrize(("factor", "bands"), [(2, 4), (2, 5), (3, 5)])
def test_a_larger_window_is_the_mean_of_the_valid_pixels(tmp_path, rng, factor, bands):
    side = 512 * factor
    col, row = AMAZON_COL + QUAD_PX - 700, AMAZON_ROW + QUAD_PX - 300
    values = picture(rng, side, side, 0.5, bands)
    values[:, :200, :300] = 0
    paint(tmp_path, col, row, values)
    pixels = QuadReader(tmp_path, GRID).read(col, row, side)

    reflectance, seen = as_read(values)
    blocks = (512, factor, 512, factor)
    n_seen = seen.reshape(blocks).sum(axis=(1, 3))
    masked = np.ma.masked_array(reflectance, np.broadcast_to(~seen, reflectance.shape)).reshape(4, *blocks)
    np.testing.assert_array_equal(pixels.valid, n_seen >= factor**2 / 2)
    assert 0 < pixels.valid.mean() < 1, "the case must have both"
    expected = np.where(pixels.valid, masked.mean(axis=(2, 4)).filled(0), 0)
    np.testing.assert_allclose(pixels.reflectance, expected, rtol=1e-5)


def test_bright_cloud_keeps_its_value(tmp_path):
    values = np.full((5, 1024, 1024), 65535, "uint16")
    paint(tmp_path, AMAZON_COL, AMAZON_ROW, values)
    pixels = QuadReader(tmp_path, GRID).read(AMAZON_COL, AMAZON_ROW, 1024)
    np.testing.assert_allclose(pixels.reflectance, 6.5535, rtol=1e-5)


def test_a_very_large_window_has_no_seams(tmp_path, rng):
    """A window of 5,120 px is read in strips: random pixels from north to south show whether one is lost or moved."""
    factor, side = 10, 5_120
    column = picture(rng, side, factor * 3)
    paint(tmp_path, AMAZON_COL + 40 * factor, AMAZON_ROW + 100, column)
    pixels = QuadReader(tmp_path, GRID).read(AMAZON_COL, AMAZON_ROW + 100, side)
    reflectance, _ = as_read(column)
    expected = reflectance.reshape(4, 512, factor, 3, factor).mean(axis=(2, 4))
    np.testing.assert_allclose(pixels.reflectance[:, :, 40:43], expected, rtol=1e-5)
    assert pixels.valid.sum() == 3 * 512


def test_a_quad_that_is_replaced_is_read_anew(tmp_path):
    reader = QuadReader(tmp_path, GRID)
    for dn in (1000, 2000):
        (path,) = paint(tmp_path / "new", AMAZON_COL, AMAZON_ROW, np.full((5, 512, 512), dn, "uint16"))
        path.rename(tmp_path / path.name)
        assert reader.read(AMAZON_COL, AMAZON_ROW, 512).reflectance[0, 0, 0] == pytest.approx(dn / 10_000)


def test_windows_are_read_quad_by_quad(rng):
    col, row = rng.integers(0, 6 * QUAD_PX, (2, 500))
    order = reading_order(Windows(col, row, np.full(500, 512)))
    assert sorted(order.tolist()) == list(range(500))
    quads = np.column_stack([row // QUAD_PX, col // QUAD_PX])[order]
    changes = (np.diff(quads, axis=0) != 0).any(axis=1).sum()
    assert changes == len(np.unique(quads, axis=0)) - 1


@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_a_single_damaged_byte_in_a_deflate_quad_is_noticed(tmp_path, rng, interleave):
    """GDAL reads half of such files without complaint."""
    patch = {(1024, 2048): picture(rng, 512, 512)}
    options = {"compress": "deflate", "predictor": 2, "interleave": interleave}
    path = write_quad(tmp_path / "q.tif", X, Y, patch, **options)
    check_quad(path, GRID, X, Y)
    whole = path.read_bytes()
    # The painted blocks lie behind the directory and fill nearly all of the file.
    for place in rng.integers(len(whole) // 10, len(whole) - len(whole) // 10, 12):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"."):
            check_quad(path, GRID, X, Y)
