"""Chips from the user's own rasters: known shapes land where they lie, no data stays out, files fill each other."""

import hashlib
import os
import pickle
import re
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from helpers.own_rasters import bell, bell_raster, mercator, pixel_centres, write_raster
from helpers.quads import AMAZON_COL, AMAZON_ROW, paint
from rasterio import Affine
from rasterio.windows import Window

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import CHIP_PX, HALF_WORLD_M, Grid, Windows, boxes
from segmentation.imagery.cache import NOT_COVERED
from segmentation.imagery.files.source import RasterImagery
from segmentation.imagery.planet.quads import QuadReader
from segmentation.imagery.rasters.scales import Reflectance
from segmentation.imagery.rasters.warping import ChipCanvas
from segmentation.imagery.reflectance import PUBLISHED, encode
from segmentation.windows.record import write_windows

UTM = "EPSG:32721"
LON, LAT = -57.1, -5.2


def window_around(grid, x_3857, y_3857, side_px=CHIP_PX):
    """Column and row of a window around a place, off its middle, inside the world."""
    col = int((x_3857 + HALF_WORLD_M) / grid.pixel_m) - side_px // 2 + 40
    row = int((HALF_WORLD_M - y_3857) / grid.pixel_m) - side_px // 2 - 25
    return min(max(col, 0), grid.world_px - side_px), row


def read(source, col, row, side_px=CHIP_PX):
    return pickle.loads(pickle.dumps(source.reader())).read(col, row, side_px)


@pytest.mark.parametrize(
    ("crs", "lon", "lat", "pixel", "size", "level", "turn"),
    [
        pytest.param(UTM, LON, LAT, 10, 700, 14, 0, id="utm"),
        pytest.param(UTM, -53.99, -9.2, 10, 700, 14, 0, id="zone edge"),
        pytest.param(UTM, LON, LAT, 10, 700, 14, 30, id="rotated"),
        pytest.param(UTM, LON, LAT, 30, 300, 15, 0, id="much coarser"),
        pytest.param(UTM, LON, LAT, 4, 1200, 13, 0, id="finer, in strips"),
        pytest.param("EPSG:4326", LON, LAT, 1e-4, 700, 14, 0, id="degrees"),
        pytest.param("EPSG:6933", LON, LAT, 10, 700, 14, 0, id="equal-area"),
        pytest.param("EPSG:32660", 179.99, 10, 10, 700, 14, 0, id="antimeridian, utm"),
        pytest.param("EPSG:4326", 180.01, 10, 1e-4, 700, 14, 0, id="antimeridian, degrees"),
    ],
)
def test_a_known_shape_lands_where_it_lies(tmp_path, crs, lon, lat, pixel, size, level, turn):
    source = RasterImagery([bell_raster(tmp_path / "a.tif", crs, lon, lat, pixel, size, turn)], level=level, quiet=True)
    centre = mercator((lon + 180) % 360 - 180, lat)
    col, row = window_around(source.grid, *centre)
    pixels = read(source, col, row)
    x, y = pixel_centres(source.grid.window_transform(col, row), CHIP_PX, CHIP_PX)
    seen, brightness = pixels.valid, pixels.reflectance[0] - 0.1
    bright = seen & (brightness > 0.02)
    off_px = [
        (np.average(where[bright], weights=brightness[bright]) - there) / source.grid.pixel_m
        for where, there in zip((x, y), centre, strict=True)
    ]
    # The window cuts the bell where it lies at the antimeridian: its other half is on the other side of the world.
    if abs(centre[0]) < HALF_WORLD_M - 1000:
        assert np.abs(off_px).max() < 0.05
    assert seen.sum() > 50_000
    tolerance = 0.006 if pixel == 30 or level == 13 else 0.001
    np.testing.assert_allclose(pixels.reflectance[0][seen], bell(x, y, centre)[seen], atol=tolerance)


def test_both_sides_of_the_antimeridian_are_seen(tmp_path):
    source = RasterImagery([bell_raster(tmp_path / "a.tif", "EPSG:32660", 180, 10, 10, 700)], quiet=True)
    grid, row = source.grid, window_around(source.grid, *mercator(180, 10))[1]
    for col in (0, grid.world_px - CHIP_PX):
        pixels = read(source, col, row)
        x, y = pixel_centres(grid.window_transform(col, row), CHIP_PX, CHIP_PX)
        assert 0.5 < pixels.valid.mean() < 0.8
        expected = bell(x, y, mercator(180, 10))[pixels.valid]
        np.testing.assert_allclose(pixels.reflectance[0][pixels.valid], expected, atol=0.001)


@pytest.fixture
def quads(tmp_path, rng):
    """Two quads that meet in the middle of a picture, with and without data."""
    picture = rng.integers(1, 9000, (5, 1100, 1100), dtype="uint16")
    picture[4] = np.where(rng.random((1100, 1100)) < 0.9, 65535, 0)
    paint(tmp_path / "quads", AMAZON_COL + 4096 - 550, AMAZON_ROW + 1000, picture)
    return tmp_path / "quads"


@pytest.mark.parametrize(
    ("col", "side_px", "tolerance"), [(-500, 512, 0), (-256, 512, 0), (-540, 1024, 2e-7), (-540, 512, 0)]
)
def test_quads_as_files_give_what_quads_give(quads, col, side_px, tolerance):
    at = AMAZON_COL + 4096 + col, AMAZON_ROW + 1010, side_px
    source = RasterImagery([quads], quiet=True)
    assert source.grid == Grid(15)
    ours, theirs = read(source, *at), QuadReader(quads).read(*at)
    np.testing.assert_array_equal(ours.valid, theirs.valid)
    np.testing.assert_allclose(ours.reflectance, theirs.reflectance, rtol=0, atol=tolerance)


def test_quads_a_hair_off_the_grid_give_what_quads_give(tmp_path, rng):
    picture = rng.integers(1, 9000, (5, 600, 600), dtype="uint16")
    (path,) = paint(tmp_path, AMAZON_COL + 100, AMAZON_ROW + 100, picture)
    there = AMAZON_COL + 120, AMAZON_ROW + 130, CHIP_PX
    on_the_grid = QuadReader(tmp_path).read(*there)
    with rasterio.open(path, "r+") as file:
        file.transform = Affine.translation(0.0028, -0.0028) @ file.transform
    read_as_file = read(RasterImagery([path], quiet=True), *there)
    np.testing.assert_array_equal(read_as_file.reflectance, on_the_grid.reflectance)
    np.testing.assert_array_equal(read_as_file.valid, on_the_grid.valid)


def patch(path, value, size=400, east=0, north=0, pixel=10, **made):
    """A square of one value whose north-west corner lies so many pixels off the middle."""
    x, y = 709_000 + (east - size // 2) * pixel, 9_425_000 + (north + size // 2) * pixel
    values = np.full((3, size, size), value, made.pop("dtype", "uint16"))
    if "hole" in made:
        values[:, :, size // 2 :] = made.pop("hole")
    return write_raster(path, values, Affine(pixel, 0, x, 0, -pixel, y), UTM, **made)


def chip_of(paths, level=14, **options):
    source = RasterImagery(paths, level=level, quiet=True, **options)
    return read(source, *window_around(source.grid, *world_of(source)))


def world_of(source):
    minx, miny, maxx, maxy = source.reader().bounds_3857[0]
    return (minx + maxx) / 2, (miny + maxy) / 2


@pytest.mark.parametrize("pixel", [10, 4], ids=["finer chip", "coarser chip"])
@pytest.mark.parametrize(
    ("hole", "made"),
    [
        (0, {"nodata": 0}),
        (-32768, {"nodata": -32768, "dtype": "int16"}),
        (np.nan, {"nodata": np.nan, "dtype": "float32"}),
        (np.nan, {"dtype": "float64"}),
        (9000, {"mask": True}),
        (9000, {"alpha": True}),
    ],
    ids=["zero", "negative", "nan", "nan unsaid", "mask", "alpha"],
)
def test_no_data_never_enters_a_value(tmp_path, pixel, hole, made):
    mask, alpha = "mask" in made, "alpha" in made
    made = {name: value for name, value in made.items() if name not in {"mask", "alpha"}}
    path = patch(tmp_path / "a.tif", 5000, hole=hole, size=4000 // pixel, pixel=pixel, **made)
    if mask:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            file.write_mask(file.read(1) == 5000)
    if alpha:
        with rasterio.open(path) as file:
            values, place = file.read(), file.transform
        values = np.concatenate([values, np.where(values[:1] == 5000, 255, 0).astype("uint16")])
        write_raster(path, values, place, UTM, ("red", "green", "blue", None), photometric="RGB", alpha="YES")
    pixels = chip_of([path])
    assert 0.2 < pixels.valid.mean() < 0.4
    np.testing.assert_allclose(pixels.reflectance[:, pixels.valid], 0.5, atol=1e-6)
    assert not pixels.reflectance[:, ~pixels.valid].any()


def test_a_dark_band_is_data_where_zero_is_no_data(tmp_path):
    path = patch(tmp_path / "a.tif", 500, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.write(np.zeros((400, 400), "uint16"), 1)
    pixels = chip_of([path])
    assert pixels.valid.mean() > 0.5
    assert not pixels.reflectance[0].any()
    assert (pixels.reflectance[1][pixels.valid] > 0).all()


@pytest.mark.parametrize(
    ("no_data", "dtype"),
    [
        (255, "uint8"),
        (0, "uint8"),
        (65535, "uint16"),
        (0, "uint16"),
        (-32768, "int16"),
        (32767, "int16"),
        (0, "float32"),
    ],
)
def test_one_band_with_a_value_that_light_can_give_cuts_nothing_out(tmp_path, no_data, dtype):
    scale = 0.0016 if dtype == "uint8" else 1e-4
    value = 100 if dtype == "uint8" else 3000
    path = patch(tmp_path / "a.tif", value, hole=no_data, nodata=no_data, dtype=dtype, scale=scale)
    with rasterio.open(path, "r+") as file:
        one_band = file.read(1)
        one_band[:, :100] = no_data
        file.write(one_band, 1)
    pixels = chip_of([path])
    assert 0.2 < pixels.valid.mean() < 0.4  # as without the band, see above
    reflectance = pixels.reflectance[:, pixels.valid]
    np.testing.assert_allclose(reflectance[1:], value * scale, atol=1e-6)
    # At its dark end a band shows black, and no negative number that darkens its neighbours; where it changes between
    # two pixels, interpolation goes a little beyond both.
    low, high = sorted((value * scale, max(no_data, 0) * scale))
    beyond = 0.15 * (high - low)
    assert low - beyond < reflectance[0].min() < low + beyond
    assert high - beyond < reflectance[0].max() < high + beyond


def test_one_band_with_a_value_that_ground_may_have_cuts_nothing_out(tmp_path):
    path = patch(tmp_path / "a.tif", 3000, hole=10_000, nodata=10_000)
    with rasterio.open(path, "r+") as file:
        file.write(np.full((400, 100), 10_000, "uint16"), 1, window=Window(0, 0, 100, 400))
    assert 0.2 < chip_of([path]).valid.mean() < 0.4


@pytest.mark.parametrize("no_data", [-9999, 1e20, -3.4028234663852886e38])
def test_one_band_with_a_value_that_no_light_can_give_is_no_data(tmp_path, no_data):
    path = patch(tmp_path / "a.tif", 0.3, nodata=no_data, dtype="float32", scale=0.999)
    with rasterio.open(path, "r+") as file:
        one_band = file.read(2)
        one_band[:, 200:] = no_data
        file.write(one_band, 2)
    pixels = chip_of([path])
    assert 0.2 < pixels.valid.mean() < 0.4
    np.testing.assert_allclose(pixels.reflectance[:, pixels.valid], 0.3 * 0.999, atol=1e-6)


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_never_reaches_a_chip(tmp_path, hole):
    path = patch(tmp_path / "a.tif", 0.3, dtype="float32", scale=0.999)
    with rasterio.open(path, "r+") as file:
        one_band = file.read(3)
        one_band[:, 200:] = hole
        file.write(one_band, 3)
    pixels = chip_of([path])
    assert np.isfinite(pixels.reflectance).all()
    assert 0.2 < pixels.valid.mean() < 0.4
    with np.errstate(all="raise"):
        assert (encode(pixels)[:, pixels.valid] == 151).all()
        encode(pixels, PUBLISHED)


def test_numbers_that_overflow_on_the_way_to_reflectance_are_no_data():
    mosaic = ChipCanvas(3)
    values = np.full((3, 512, 512), 0.3, "float32")
    values[1, :, :100] = np.inf
    mosaic.add(slice(0, 512), values, np.ones((512, 512), "float32"))
    pixels = mosaic.pixels()
    assert not pixels.valid[:, :100].any()
    assert pixels.valid[:, 100:].all()
    assert np.isfinite(pixels.reflectance).all()


def test_bands_of_a_vrt_may_say_different_values_for_no_data(tmp_path):
    path = patch(tmp_path / "in" / "a.tif", 3000, hole=0)
    with rasterio.open(path, "r+") as file:
        second = file.read(2)
        second[second == 0] = 65535
        second[:, :100] = 65535  # saturated
        file.write(second, 2)
        place = ", ".join(map(str, file.transform.to_gdal()))
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band}"><NoDataValue>{value}</NoDataValue>'
        f"<Description>{name}</Description><Scale>0.0001</Scale><SimpleSource>"
        f'<SourceFilename relativeToVRT="1">in/a.tif</SourceFilename><SourceBand>{band}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for band, name, value in ((1, "red", 0), (2, "green", 65535), (3, "blue", 0))
    )
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="400" rasterYSize="400"><SRS>{UTM}</SRS><GeoTransform>{place}</GeoTransform>'
        f"{bands}</VRTDataset>"
    )
    pixels = chip_of([vrt])
    assert 0.2 < pixels.valid.mean() < 0.4
    np.testing.assert_allclose(pixels.reflectance[0][pixels.valid], 0.3, atol=1e-6)


def test_the_no_data_value_can_be_given(tmp_path):
    path = patch(tmp_path / "a.tif", 3000, hole=0)
    assert chip_of([path]).valid.mean() > 0.5
    assert 0.2 < chip_of([path], no_data=0).valid.mean() < 0.4
    # What the file says counts no more.
    said = patch(tmp_path / "b.tif", 3000, hole=0, nodata=0)
    assert chip_of([said], no_data=65535).valid.mean() > 0.5
    decimal = patch(tmp_path / "c.tif", 0.3, hole=0.1, nodata=0.1, dtype="float32", scale=0.999)
    assert chip_of([decimal], no_data=np.nan).valid.mean() > 0.5


def test_the_first_file_with_data_counts(tmp_path):
    first = patch(tmp_path / "z.tif", 1000, hole=0, nodata=0)
    second = patch(tmp_path / "a.tif", 2000, nodata=0)
    left, right = np.s_[250:300, 60:80], np.s_[250:300, 300:320]
    for order, expected in (((first, second), (0.1, 0.2)), ((second, first), (0.2, 0.2)), ((tmp_path,), (0.2, 0.2))):
        seen = chip_of(order).reflectance[0]
        assert (seen[left].mean(), seen[right].mean()) == pytest.approx(expected)


@pytest.mark.parametrize("level", [14, 16], ids=["coarser chip", "finer chip"])
def test_files_that_meet_leave_no_seam(tmp_path, level):
    for east in (0, 1):
        for north in (0, 1):
            name = f"{east}{north}.tif"
            patch(tmp_path / name, 3000, 1000, 1000 * east - 137, 1000 * north - 251, pixel=4, nodata=0)
    source = RasterImagery([tmp_path], level=level, quiet=True)
    corner = source.reader().bounds_3857[0]
    pixels = read(source, *window_around(source.grid, corner[2], corner[3]))
    assert pixels.valid.all()
    np.testing.assert_allclose(pixels.reflectance, 0.3, atol=1e-6)


def test_windows_that_no_file_touches_are_not_covered(tmp_path):
    source = RasterImagery([patch(tmp_path / "in" / "a.tif", 1000, nodata=0)], quiet=True)
    col, row = window_around(source.grid, *world_of(source))
    windows = Windows(*(np.array(values) for values in ([col, col + 5000], [row, row], [512, 512])))
    assert [item.problem for item in source.prepare(windows)] == [None, NOT_COVERED]
    footprint = source.footprint(windows)
    assert footprint.unit == "file"
    assert footprint.pieces["name"].tolist() == [str(tmp_path / "in" / "a.tif")]
    assert footprint.touched["window"].tolist() == [0]
    assert source.forecast(windows).missing == 0


def test_what_chips_depend_on_is_in_the_settings(tmp_path):
    path = patch(tmp_path / "in" / "a.tif", 1000, nodata=0)
    before = RasterImagery([tmp_path / "in"], quiet=True).settings()
    assert (before["imagery"], before["mosaic"], before["level"]) == ("files", "in", 14)
    assert RasterImagery([tmp_path / "in"], quiet=True).settings() == before
    others = [
        RasterImagery([tmp_path / "in"], bands=("3", "2", "1"), quiet=True).settings(),
        RasterImagery([tmp_path / "in"], reflectance=Reflectance(2e-4), quiet=True).settings(),
        RasterImagery([tmp_path / "in"], level=13, quiet=True).settings(),
    ]
    with rasterio.open(path, "r+") as file:
        file.write(np.full((400, 400), 7, "uint16"), 1)
    others.append(RasterImagery([tmp_path / "in"], quiet=True).settings())
    assert all(other != before for other in others)


def test_a_year_goes_on_with_files_that_were_touched_or_copied(tmp_path):
    path = patch(tmp_path / "in" / "a.tif", 1000, nodata=0)
    first = RasterImagery([tmp_path / "in"], quiet=True).settings()
    os.utime(path, (1, 1))
    assert RasterImagery([tmp_path / "in"], quiet=True, kept=first).settings() == first
    shutil.copytree(tmp_path / "in", tmp_path / "on another disk")
    moved = RasterImagery([tmp_path / "on another disk"], quiet=True, kept=first)
    assert moved.settings() == first
    footprint = moved.footprint(Windows(*(np.array([value]) for value in window_at(moved))))
    assert footprint.pieces["mosaic"].tolist() == ["in"]
    patch(tmp_path / "on another disk" / "a.tif", 1001, nodata=0)
    other = RasterImagery([tmp_path / "on another disk"], quiet=True, kept=first).settings()
    assert (other["files"] != first["files"], other["mosaic"]) == (True, "on another disk")


def test_a_year_of_an_earlier_version_goes_on_while_its_files_keep_their_times(tmp_path):
    path = patch(tmp_path / "in" / "a.tif", 1000, nodata=0)
    known = path.stat()
    read_how = ((1, 2, 3), (1e-4,) * 3, (0.0,) * 3)
    text = f"a.tif {known.st_size} {known.st_mtime_ns} {read_how}\n"
    kept = {"files": f"1, {hashlib.sha256(text.encode()).hexdigest()[:16]}", "mosaic": "in"}
    assert RasterImagery([path], quiet=True, kept=kept).settings() | kept == (
        RasterImagery([path], quiet=True, kept=kept).settings()
    )
    os.utime(path, (1, 1))
    assert RasterImagery([path], quiet=True, kept=kept).settings()["files"] != kept["files"]


def test_fill_under_windows_is_said_however_little_of_the_file_it_is(tmp_path, caplog):
    path = patch(tmp_path / "in" / "a.tif", 1000, size=2100)
    source = RasterImagery([path], quiet=True)
    col, row, side = window_at(source)
    source.connect(Windows(*(np.array([value]) for value in (col, row, side))))
    assert not caplog.messages
    with rasterio.open(path, "r+") as file:
        file.write(np.zeros((3, 150, 150), "uint16"), window=Window(1000, 1000, 150, 150))  # 0.5 % of the file
    source = RasterImagery([path], quiet=True)
    source.connect(Windows(*(np.array([value]) for value in (col, row, side))))
    (message,) = caplog.messages
    assert re.search(
        r"1 of 1 files have pixels that are 0 in all bands and count as ground .a.tif [789]% of", message
    ), message
    assert "--nodata 0" in message


def test_files_that_touch_no_window_of_a_new_year_are_one_line(tmp_path):
    source = RasterImagery([patch(tmp_path / "in" / "a.tif", 1000, nodata=0)], quiet=True)
    col, row, side = window_at(source)
    far = Windows(np.array([col + 5000]), np.array([row]), np.array([side]))
    with pytest.raises(PipelineError, match=r"none of the 1 files touches any of the 1 windows: .* from -55"):
        source.connect(far)
    source.connect(Windows(*(np.array([value]) for value in (col, row, side))))
    # Of a year that has chips, the windows that are left may be those without imagery.
    RasterImagery([tmp_path / "in"], quiet=True, kept=source.settings()).connect(far)
    footprint = source.footprint(far)
    assert footprint.pieces.empty
    squares = boxes(source.grid.window_bounds(far))
    place = {"id": ["far"], "col": far.col, "row": far.row, "side_px": far.side_px}
    lost = gpd.GeoDataFrame({**place, "status": [NOT_COVERED]}, geometry=squares, crs="EPSG:3857")
    write_windows(tmp_path / "windows.gpkg", lost, footprint, source.grid, source.settings(), ground=lost[:0])
    assert gpd.read_file(tmp_path / "windows.gpkg", layer="windows")["files"].tolist() == [""]


def window_at(source):
    return *window_around(source.grid, *world_of(source)), CHIP_PX


def test_files_with_and_without_near_infrared_do_not_mix(tmp_path, caplog):
    patch(tmp_path / "a.tif", 1000)
    write_raster(
        tmp_path / "b.tif", np.ones((4, 8, 8), "uint16"), Affine(10, 0, 7e5, 0, -10, 9e6), UTM, ("b", "g", "r", "nir")
    )
    with pytest.raises(PipelineError, match=r"b.tif has a near infrared band, .*a.tif has none.*--bands"):
        RasterImagery([tmp_path], quiet=True)
    assert RasterImagery([tmp_path], bands=("1", "2", "3"), quiet=True).settings()["bands"] == "red green blue"
    assert "--bands contradicts what files say of 2 bands: band 1 of b.tif, taken for red, is 'b'" in caplog.text


def test_a_file_that_breaks_later_is_named(tmp_path):
    path = patch(tmp_path / "a.tif", 1000)
    source = RasterImagery([path], quiet=True)
    col, row = window_around(source.grid, *world_of(source))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(PipelineError, match=r"a.tif cannot be read .*; repair or remove it"):
        read(source, col, row)
