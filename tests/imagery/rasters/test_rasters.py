"""What raster files say of themselves: bands, scale, place."""

import warnings

import numpy as np
import pytest
import rasterio
import shapely
from helpers.own_rasters import bell_raster, mercator, write_raster
from helpers.quads import HALF_WORLD_M, write_quad
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from segmentation.core.errors import PipelineError
from segmentation.imagery.rasters.description import describe, read_layout
from segmentation.imagery.rasters.places import nearest_level, on_world_map
from segmentation.imagery.rasters.scales import Reflectance

UTM = "EPSG:32721"
HERE = Affine(10, 0, 300_000, 0, -10, 9_400_000)


def raster(path, bands=4, names=None, scale=1e-4, dtype="uint16", **profile):
    return write_raster(path, np.ones((bands, 8, 8), dtype), HERE, UTM, names, scale, **profile)


@pytest.mark.parametrize(
    ("names", "bands"),
    [
        (("Blue", "Green", "Red"), (3, 2, 1)),
        (("blue", "green", "red", "NIR"), (3, 2, 1, 4)),
        (("B02", "B03", "B04", "B08"), (3, 2, 1, 4)),
        (("coastal", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"), (6, 4, 2, 8)),
        (("Near-Infrared", "R", "G", "B"), (2, 3, 4, 1)),
    ],
)
def test_bands_are_known_by_their_descriptions(tmp_path, names, bands):
    assert describe(raster(tmp_path / "a.tif", len(names), names))[0].bands == bands


def test_bands_without_description_are_known_by_their_colours(tmp_path):
    path = raster(tmp_path / "a.tif", 4, photometric="RGB", alpha="NO")
    with rasterio.open(path, "r+") as file:
        file.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
    assert describe(path)[0].bands == (3, 2, 1)
    with rasterio.open(path, "r+") as file:
        file.set_band_description(4, "near infrared")
    assert describe(path)[0].bands == (3, 2, 1, 4)


def test_a_description_counts_more_than_the_colour_that_a_file_was_given_by_default(tmp_path):
    path = raster(tmp_path / "a.tif", 3, ("Blue", "Green", "Red"), photometric="RGB")
    with rasterio.open(path) as file:
        assert file.colorinterp[0] == ColorInterp.red
    assert describe(path)[0].bands == (3, 2, 1)


def test_quads_of_planet_are_known_by_their_layout(tmp_path):
    known, _ = describe(write_quad(tmp_path / "680-1018.tif", 680, 1018))
    assert (known.bands, known.alpha, known.scales) == ((3, 2, 1, 4), 5, (1e-4,) * 4)


def test_bands_can_be_named_by_number_and_description(tmp_path):
    path = raster(tmp_path / "a.tif", 4, ("swir", "x1", "x2", "x3"))
    assert describe(path, ("4", "X2", "2"))[0].bands == (4, 3, 2)
    assert describe(path, ("1", "2", "3", "swir"))[0].bands == (1, 2, 3, 1)


@pytest.mark.parametrize(
    ("made", "asked", "message"),
    [
        ({"bands": 4}, {}, r"does not say which band is red.* --bands .*1 \(gray\), 2 \(undefined\)"),
        (
            {"bands": 3, "names": ("red", "green", "b")},
            {"bands": ("1", "2", "4")},
            "no band '4'; its bands are 1 'red'",
        ),
        ({"bands": 3, "names": ("r", "g", "b")}, {"bands": ("r", "g", "nir")}, "no band 'nir'"),
        ({"bands": 3, "names": ("r", "g", "b"), "scale": None}, {}, "does not say how .* reflectance: .*-scale"),
        ({"bands": 3, "names": ("r", "g", "b"), "scale": None, "dtype": "float32"}, {}, "1 where they are reflectance"),
    ],
)
def test_what_a_file_does_not_say_is_one_line(tmp_path, made, asked, message):
    with pytest.raises(PipelineError, match=message) as told:
        describe(raster(tmp_path / "a.tif", **made), **asked)
    assert "\n" not in str(told.value)


def test_a_file_without_place_or_content_is_refused(tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(PipelineError, match="cannot be read as a raster"):
        describe(tmp_path / "text.tif")
    nowhere = write_raster(tmp_path / "a.tif", np.ones((3, 8, 8), "uint8"), HERE, None)
    with pytest.raises(PipelineError, match="has no CRS"):
        describe(nowhere)


def placed_by(path, transform=None, crs=None, **made):
    """A file that says of its place what it is told to say, no more."""
    profile = {"driver": "GTiff", "count": 3, "height": 8, "width": 8, "dtype": "uint16"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile, **({"transform": transform} if transform else {}), crs=crs) as file:
            file.write(np.ones((3, 8, 8), "uint16"))
            file.descriptions, file.scales = ("red", "green", "blue"), (1e-4,) * 3
            for name, value in made.items():
                setattr(file, name, value)
    return path


POINTS = [GroundControlPoint(row, col, 3e5 + 10 * col, 9.4e6 - 10 * row) for row in (0, 8) for col in (0, 8)]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"gcps": (POINTS, CRS.from_string(UTM))}, "no geotransform, ground control points alone.*-t_srs EPSG:32721"),
        ({"crs": UTM}, "no geotransform: nothing says where each pixel lies; warp it first .gdalwarp"),
        ({"crs": "EPSG:4326"}, "no geotransform"),
        ({}, "no geotransform"),
        ({"crs": UTM, "transform": Affine(0, 0, 3e5, 0, 0, 9.4e6)}, "no geotransform"),
        ({"crs": UTM, "transform": Affine(10, 0, np.nan, 0, -10, 9.4e6)}, "no geotransform"),
        ({"transform": HERE}, "has no CRS; give it one .gdal_edit.py -a_srs EPSG:CODE"),
        (
            {"transform": HERE, "crs": 'LOCAL_CS["mine grid",UNIT["metre",1]]'},
            "its CRS .mine grid. is not tied to the earth.*gdal_edit.py -a_srs",
        ),
        ({"transform": HERE, "crs": "EPSG:4978"}, "is not tied to the earth, or not one of maps"),
        ({"transform": Affine(10, 0, 1e9, 0, -10, 1e9), "crs": UTM}, "does not lie where its CRS is defined"),
        ({"transform": Affine(1, 0, 500, 0, -1, 400), "crs": "EPSG:4326"}, "does not lie where its CRS is defined"),
    ],
)
def test_a_file_that_does_not_say_where_it_lies_is_one_line_with_the_remedy(tmp_path, made, message):
    with pytest.raises(PipelineError, match=message) as told:
        describe(placed_by(tmp_path / "a.tif", **made))
    assert "\n" not in str(told.value)


def test_a_file_from_south_to_north_is_as_good_as_any(tmp_path):
    _, upright = describe(placed_by(tmp_path / "a.tif", Affine(10, 0, 3e5, 0, -10, 9.4e6), UTM))
    _, turned = describe(placed_by(tmp_path / "b.tif", Affine(10, 0, 3e5, 0, 10, 9.4e6 - 80), UTM))
    assert upright.outline.symmetric_difference(turned.outline).area < 1


@pytest.mark.parametrize(
    ("dtype", "given", "message"),
    [
        ("uint16", -9999, r"--nodata -9999: .*a.tif cannot hold that, its values are uint16 \(0 to 65535\)"),
        ("uint8", 300, "cannot hold that"),
        ("uint16", 0.5, "cannot hold that"),
        ("uint16", np.nan, "--nodata nan: .* cannot hold that"),
        ("int16", np.inf, "cannot hold that"),
    ],
)
def test_a_no_data_value_that_a_file_cannot_hold_is_refused(tmp_path, dtype, given, message):
    path = raster(tmp_path / "a.tif", 3, ("r", "g", "b"), dtype=dtype)
    with pytest.raises(PipelineError, match=message):
        describe(path, no_data=given)


def test_of_several_images_in_a_file_none_is_taken_without_a_word(tmp_path):
    path = raster(tmp_path / "a.tif", 3, ("r", "g", "b"))
    raster(path, 3, ("r", "g", "b"), APPEND_SUBDATASET=True)
    for read in (describe, read_layout):
        with pytest.raises(PipelineError, match=r"holds 2 images \(GTIFF_DIR:1:.*gdal_translate"):
            read(path)


@pytest.mark.parametrize("bands", [None, ("1", "1", "1")])
def test_numbers_of_colours_in_a_table_are_no_brightness(tmp_path, bands):
    path = raster(tmp_path / "a.tif", 1, dtype="uint8")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (200, 100, 50, 255)})
    with pytest.raises(PipelineError, match="band 1 holds numbers of colours in a table .a palette.*-expand rgb"):
        describe(path, bands)


def test_complex_numbers_are_refused_not_halved(tmp_path):
    with pytest.raises(PipelineError, match="holds complex64 numbers"):
        describe(raster(tmp_path / "a.tif", 3, ("r", "g", "b"), dtype="complex64"))


@pytest.mark.parametrize(
    ("dtype", "scales", "message"),
    [
        ("uint16", (10_000.0,) * 3, "band 1 would become reflectance by 10000, which no values need: .*0.0001 where"),
        ("uint16", (1e-4, 1.0, 1e-4), "band 2 would become reflectance by 1, but its values are whole numbers"),
        ("float32", (-0.5,) * 3, "which no values need"),
        ("float32", (float("nan"),) * 3, "which no values need"),
    ],
)
def test_scales_of_files_that_cannot_be_meant_are_refused(tmp_path, dtype, scales, message):
    path = raster(tmp_path / "a.tif", 3, ("r", "g", "b"), dtype=dtype)
    with rasterio.open(path, "r+") as file:
        file.scales = scales
    with pytest.raises(PipelineError, match=message):
        describe(path)


def test_the_scale_is_the_files_own_unless_it_is_given(tmp_path):
    path = raster(tmp_path / "a.tif", 3, ("r", "g", "b"))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4, 2e-4, 3e-4), (-0.1, 0, 0)
    own, _ = describe(path)
    assert (own.scales, own.offsets) == ((1e-4, 2e-4, 3e-4), (-0.1, 0, 0))
    given, _ = describe(path, reflectance=Reflectance(0.5, 0.25))
    assert (given.scales, given.offsets) == ((0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("crs", "lon", "lat", "pixel"),
    [("EPSG:32721", -57.1, -5.2, 10), ("EPSG:4326", -57.1, -5.2, 1e-4), ("EPSG:32701", -179.99, -16, 10)],
)
def test_the_outline_lies_around_the_files_middle(tmp_path, crs, lon, lat, pixel):
    _, known = describe(bell_raster(tmp_path / "a.tif", crs, lon, lat, pixel, 64))
    middle = known.outline.centroid
    assert (middle.x, middle.y) == pytest.approx(mercator(lon, lat), abs=8)
    assert nearest_level(known.pixel_3857_m) == 14


@pytest.mark.parametrize("lon", [-180.0, 180.0, 540.0])
def test_a_file_across_the_antimeridian_lies_on_both_sides(tmp_path, lon):
    _, known = describe(bell_raster(tmp_path / "a.tif", "EPSG:4326", lon, 10, 1e-4, 200))
    position, shapes = on_world_map([known.outline])
    assert position.tolist() == [0, 0]
    west, east = (shape.intersection(shapely.box(-HALF_WORLD_M, -1e8, HALF_WORLD_M, 1e8)) for shape in shapes)
    assert west.area + east.area == pytest.approx(known.outline.area)


def test_a_map_of_the_world_lies_on_all_of_it(tmp_path):
    world = Affine(1, 0, -180, 0, -1, 90)
    path = write_raster(tmp_path / "a.tif", np.ones((3, 180, 360), "uint8"), world, "EPSG:4326")
    _, shapes = on_world_map([describe(path)[1].outline])
    assert shapely.union_all(shapes).buffer(1).contains(shapely.box(-2e7, -2e7, 2e7, 2e7))


@pytest.mark.parametrize(("pixel_m", "level"), [(4.777, 15), (10, 14), (11.5, 14), (3, 16), (30, 12), (0.5, 18)])
def test_the_level_is_the_one_with_pixels_of_that_size(pixel_m, level):
    assert nearest_level(pixel_m) == level
