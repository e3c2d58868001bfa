"""Fingerprints follow what files hold, not what a file system says of them; what cannot be meant is said."""

import os
import re
import shutil

import numpy as np
import pytest
import rasterio
from helpers.own_rasters import write_raster
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.windows import Window

from segmentation.core.errors import PipelineError
from segmentation.imagery.files import content as raster_content
from segmentation.imagery.files.content import examine, sample_windows
from segmentation.imagery.files.plausibility import require_reflectance, warn_of_fill
from segmentation.imagery.rasters.description import describe
from segmentation.imagery.rasters.scales import Reflectance

UTM, HERE = "EPSG:32721", Affine(10, 0, 300_000, 0, -10, 9_400_000)
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}


def scene(rng, side=200, bands=3):
    """Ground: reflectance x 10,000 from 300 to 3,000, no pixel 0."""
    return rng.integers(300, 3000, (bands, side, side)).astype("uint16")


def fingerprint(path, **told):
    return examine(describe(path, **told)[0]).fingerprint


def judged(path, **told):
    """What is made of one file; raises or warns."""
    raster, _ = describe(path, **told)
    contents = {path: examine(raster)}
    require_reflectance(contents, {path: raster})
    warn_of_fill({path: contents[path].fills}, contents, {path: raster})
    return contents[path]


@pytest.fixture(params=[10**9, 3 * 64 * 64], ids=["whole", "sampled"])
def sample_px(request, monkeypatch):
    """Files that are looked at whole, and files of which a sample is."""
    monkeypatch.setattr(raster_content, "SAMPLE_PX", request.param)
    return request.param


def test_a_file_that_is_touched_copied_or_looked_at_keeps_its_fingerprint(tmp_path, rng, sample_px):
    path = write_raster(tmp_path / "a.tif", scene(rng, 500), HERE, UTM, **TILED)
    before = fingerprint(path)
    os.utime(path, (1, 1))
    assert fingerprint(path) == before
    copy = shutil.copyfile(path, tmp_path / "of another name.tif")
    assert fingerprint(copy) == before
    # Statistics and overviews, as viewers make them.
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><Metadata/></PAMDataset>")
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.nearest)
    assert fingerprint(path) == before


@pytest.mark.parametrize(("row", "col"), [(0, 0), (499, 499), (200, 300), (100, 450)])
def test_a_single_other_pixel_changes_the_fingerprint_wherever_it_lies(tmp_path, rng, sample_px, row, col):
    path = write_raster(tmp_path / "a.tif", np.full((3, 500, 500), 900, "uint16"), HERE, UTM, **TILED)
    before = fingerprint(path)
    with rasterio.open(path, "r+") as file:
        file.write(np.full((3, 1, 1), 901, "uint16"), window=Window(col, row, 1, 1))
    assert fingerprint(path) != before


def test_how_a_file_is_read_belongs_to_its_fingerprint(tmp_path, rng):
    path = write_raster(tmp_path / "a.tif", scene(rng), HERE, UTM, nodata=0)
    others = [
        fingerprint(path),
        fingerprint(path, bands=("3", "2", "1")),
        fingerprint(path, reflectance=Reflectance(2e-4)),
        fingerprint(path, no_data=65535),
    ]
    with rasterio.open(path, "r+") as file:
        file.transform = Affine.translation(10, 0) @ HERE
    others.append(fingerprint(path))
    with rasterio.open(path, "r+") as file:
        file.crs = "EPSG:32722"
    others.append(fingerprint(path))
    assert len(set(others)) == len(others)


def test_a_vrt_counts_with_what_it_is_made_of(tmp_path, rng):
    path = write_raster(tmp_path / "in" / "a.tif", scene(rng), HERE, UTM)
    vrt = tmp_path / "a.vrt"
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band}"><Description>{name}</Description><Scale>0.0001</Scale>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">in/a.tif</SourceFilename><SourceBand>{band}</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="200" ySize="200"/><DstRect xOff="0" yOff="0" xSize="200" ySize="200"/>'
        "</SimpleSource></VRTRasterBand>"
        for band, name in enumerate(("red", "green", "blue"), 1)
    )
    place = ", ".join(map(str, HERE.to_gdal()))
    vrt.write_text(
        f'<VRTDataset rasterXSize="200" rasterYSize="200"><SRS>{UTM}</SRS><GeoTransform>{place}</GeoTransform>'
        f"{bands}</VRTDataset>"
    )
    before = fingerprint(vrt)
    os.utime(path, (1, 1))
    os.utime(vrt, (1, 1))
    assert fingerprint(vrt) == before
    with rasterio.open(path, "r+") as file:
        file.write(np.full((3, 1, 1), 7, "uint16"), window=Window(99, 99, 1, 1))
    assert fingerprint(vrt) != before


@pytest.mark.parametrize(
    "layout",
    [TILED, {}, {"tiled": True, "blockxsize": 256, "blockysize": 16}, {"compress": "lzw", "blockysize": 500}],
    ids=["tiles", "rows", "wide tiles", "one block"],
)
def test_a_sample_is_small_and_reaches_every_corner(tmp_path, rng, monkeypatch, layout):
    path = write_raster(tmp_path / "a.tif", scene(rng, 500), HERE, UTM, **layout)
    monkeypatch.setattr(raster_content, "SAMPLE_PX", 16 * 64 * 64)
    with rasterio.open(path) as file:
        windows = sample_windows(file)
        seen = np.zeros(file.shape, bool)
        for window in windows:
            seen[window.toslices()] = True
    assert seen.mean() < 0.5
    assert seen[0, 0]
    assert seen[0, -1]
    assert layout.get("blockysize") == 500 or (seen[-1, 0] and seen[-1, -1])


def filled(rng, value, dtype="uint16", scale=1.0):
    """A scene whose right third is one value in all bands."""
    values = (scene(rng) * scale).astype(dtype)
    values[:, :, 140:] = value
    return values


@pytest.mark.parametrize(
    ("values", "made", "said"),
    [
        ({"value": 0}, {}, r"--nodata 0 \(none says so\)"),
        ({"value": 0, "dtype": "int16"}, {"nodata": -9999}, r"--nodata 0 \(no data is -9999 there\)"),
        ({"value": 65535}, {}, "--nodata 65535"),
        ({"value": 65535}, {"nodata": 0}, r"--nodata 65535 \(no data is 0 there\)"),
        ({"value": -32768, "dtype": "int16"}, {"nodata": 0}, "--nodata=-32768 "),
        ({"value": 255, "dtype": "uint8", "scale": 0.05}, {"scale": 0.002, "nodata": 0}, "--nodata 255"),
        ({"value": -9999, "dtype": "float32", "scale": 1e-4}, {"scale": 0.999}, "--nodata=-9999 "),
        ({"value": 0, "dtype": "float32", "scale": 1e-4}, {"scale": 0.999, "nodata": np.nan}, "--nodata 0"),
        ({"value": 1e20, "dtype": "float32"}, {"nodata": 0}, r"--nodata 1e\+20"),
        ({"value": np.finfo("float32").min, "dtype": "float32"}, {"nodata": 0}, r"--nodata=-3\.40282347e\+38 "),
    ],
)
def test_fill_that_counts_as_ground_is_said(tmp_path, rng, caplog, values, made, said):
    path = write_raster(tmp_path / "a.tif", filled(rng, **values), HERE, UTM, **made)
    content = judged(path)
    assert "1 of 1 files have pixels that are" in caplog.text
    assert "a.tif 30%" in caplog.text
    (warning,) = caplog.messages
    assert pytest.approx(0.3) == max(content.fills.values())
    assert re.search(said, warning), warning
    caplog.clear()
    value = float(re.search(r"--nodata[= ](\S+)", warning)[1])
    assert judged(path, no_data=value).data == 200 * 140
    assert not caplog.messages


@pytest.mark.parametrize(
    ("values", "made"),
    [
        ({"value": 0}, {"nodata": 0}),
        ({"value": np.nan, "dtype": "float32", "scale": 1e-4}, {"scale": 0.999}),
        ({"value": 1234}, {"nodata": 0}),  # a flat roof, a lake: a value like others
    ],
)
def test_what_is_known_to_be_no_data_or_may_be_ground_is_not_warned_of(tmp_path, rng, caplog, values, made):
    judged(write_raster(tmp_path / "a.tif", filled(rng, **values), HERE, UTM, **made))
    assert not caplog.messages


def test_saturated_cloud_in_the_midst_of_a_scene_is_no_fill(tmp_path, rng, caplog):
    values = scene(rng)
    values[:, 50:90, 50:90] = 65535
    judged(write_raster(tmp_path / "a.tif", values, HERE, UTM, nodata=0))
    assert not caplog.messages


@pytest.mark.parametrize(
    ("dtype", "factor", "scale", "message"),
    [
        (
            "uint16",
            1,
            0.9,
            r"a.tif would be white all over: its \w+ band .* by 0.9; .*by 0.0001 the median",
        ),
        ("uint16", 1, 0.01, "white all over.*by 0.0001"),
        ("float32", 1e-4, 1e-4, "black all over.*by 1 the median"),
        ("float32", 1e-2, 1.0, "white all over.*by 0.01 the median"),
        ("uint8", 0.08, 1e-4, "black all over"),
    ],
)
def test_a_scale_that_makes_all_white_or_black_is_refused_with_a_better_one(
    tmp_path, rng, dtype, factor, scale, message
):
    path = write_raster(tmp_path / "a.tif", (scene(rng) * factor).astype(dtype), HERE, UTM, nodata=0)
    with pytest.raises(PipelineError, match=message) as told:
        judged(path, reflectance=Reflectance(scale))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("factor", "message"), [(4, "white in more than half of their pixels"), (0.05, "hardly anything brighter")]
)
def test_a_scale_that_may_be_wrong_is_warned_of(tmp_path, rng, caplog, factor, message):
    judged(write_raster(tmp_path / "a.tif", (scene(rng) * factor).astype("uint16"), HERE, UTM, nodata=0))
    assert message in caplog.text


def test_a_file_without_any_data_is_neither_white_nor_black(tmp_path, caplog):
    content = judged(write_raster(tmp_path / "a.tif", np.zeros((3, 50, 50), "uint16"), HERE, UTM, nodata=0))
    assert (content.data, content.percentiles) == (0, None)
    assert not caplog.messages


def test_a_file_that_is_cut_off_is_named(tmp_path, rng):
    path = write_raster(tmp_path / "a.tif", scene(rng), HERE, UTM, **TILED)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(PipelineError, match=r"a.tif cannot be read as a raster"):
        judged(path)
