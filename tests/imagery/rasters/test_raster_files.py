"""Which files a folder of imagery stands for: hidden ones out, links followed once, what does not belong refused."""

import numpy as np
import pytest
from helpers.own_rasters import write_raster
from rasterio import Affine

from segmentation.core.errors import PipelineError
from segmentation.imagery.rasters.description import read_layout
from segmentation.imagery.rasters.finding import Layout, find_files, require_one_kind

UTM, HERE = "EPSG:32721", Affine(10, 0, 300_000, 0, -10, 9_400_000)
USABLE_DATA = ("clear", "snow", "shadow", "light_haze", "heavy_haze", "cloud", "confidence", "udm1")


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names_in(folder):
    return [path.relative_to(folder).as_posix() for path in find_files([folder])]


def raster(path, bands=4, dtype="uint16", names=None):
    return write_raster(path, np.ones((bands, 8, 8), dtype), HERE, UTM, names)


def check(folder, *named):
    files = find_files([folder, *named])
    require_one_kind({path: read_layout(path) for path in files}, [folder, *named])


def test_folders_are_searched_in_the_order_of_names(tmp_path):
    touch(tmp_path / "in", "b/2.tif", "b/1.TIF", "a.vrt", "notes.txt", ".partial-3.tif")
    touch(tmp_path, "z.img")
    found = find_files([tmp_path / "z.img", tmp_path / "in", tmp_path / "in" / "b" / "2.tif"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "z.img",
        "in/a.vrt",
        "in/b/1.TIF",
        "in/b/2.tif",
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(PipelineError, match=r"no .tif, .tiff, .vrt file in .*empty"):
        find_files([tmp_path / "empty"])
    with pytest.raises(PipelineError, match=r"names no source and there is no file or folder .*sentinel9"):
        find_files([tmp_path / "sentinel9"])


def test_hidden_folders_and_those_of_the_system_are_left_out_and_said(tmp_path, caplog):
    hidden = (".Trash-0/files", ".ipynb_checkpoints", "2019/.snapshot", "$RECYCLE.BIN", "@eaDir", "lost+found")
    touch(tmp_path, "2019/scene.tif", *(f"{folder}/scene.tif" for folder in hidden))
    assert names_in(tmp_path) == ["2019/scene.tif"]
    assert "6 hidden folders" in caplog.text
    assert ".Trash-0" in caplog.text
    # A folder that is named itself is meant.
    assert find_files([tmp_path / ".ipynb_checkpoints"]) == [tmp_path / ".ipynb_checkpoints" / "scene.tif"]


def test_links_are_followed_once_and_not_in_circles(tmp_path):
    touch(tmp_path, "elsewhere/deep/b.tif", "in/here/a.tif")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "in" / "also").symlink_to(tmp_path / "in" / "here")
    (tmp_path / "in" / "here" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "out").symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "deep" / "round").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "c.tif").symlink_to(tmp_path / "in" / "here" / "a.tif")
    assert names_in(tmp_path / "in") == ["again/b.tif", "c.tif"]


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    touch(tmp_path, "a.tif")
    (tmp_path / "b.tif").symlink_to(tmp_path / "unmounted" / "b.tif")
    with pytest.raises(PipelineError, match=r"b.tif links to a file that is not there"):
        find_files([tmp_path])


def test_rasters_of_other_formats_are_not_passed_over_in_silence(tmp_path, caplog):
    touch(tmp_path, "a.tif", "b.jp2", "c.img")
    assert names_in(tmp_path) == ["a.tif"]
    assert "2 files that are no .tif" in caplog.text
    assert "b.jp2, c.img" in caplog.text


@pytest.mark.parametrize(
    ("name", "made", "message"),
    [
        ("x_3B_udm2.tif", {"bands": 8, "dtype": "uint8"}, r"x_3B_udm2.tif: Planet's mask .*\*_SR.tif"),
        ("x_3B_UDM.tif", {"bands": 1, "dtype": "uint8"}, "x_3B_UDM.tif: Planet's mask"),
        ("x_usable.tif", {"bands": 8, "dtype": "uint16", "names": USABLE_DATA}, "x_usable.tif: Planet's mask"),
        (
            "x_SCL.tif",
            {"bands": 1, "dtype": "uint8"},
            "x_SCL.tif: does not fit .*1 band of uint8; .* 4 bands",
        ),
        ("x_mask.tif", {"bands": 4}, "its name says that it is no imagery"),
        ("dem.tif", {"bands": 1, "dtype": "float32"}, "dem.tif: does not fit"),
        ("elevation.tif", {"bands": 1, "dtype": "float32"}, "elevation.tif: does not fit"),
        ("look.tif", {"bands": 3, "dtype": "uint8"}, r"look.tif: does not fit .*3 bands of uint8"),
        ("x_preview.tif", {"bands": 4}, "x_preview.tif: does not fit"),
        ("eight.tif", {"bands": 8}, "eight.tif: does not fit"),
    ],
)
def test_what_lies_beside_scenes_is_no_scene(tmp_path, name, made, message):
    for scene in ("a_SR.tif", "b_SR.tif"):
        raster(tmp_path / scene)
    check(tmp_path)
    raster(tmp_path / name, **made)
    with pytest.raises(PipelineError, match=message) as told:
        check(tmp_path)
    assert "\n" not in str(told.value)


def test_one_scene_is_enough_to_tell_its_mask(tmp_path):
    raster(tmp_path / "x_SR.tif")
    raster(tmp_path / "x_udm2.tif", 8, "uint8")
    with pytest.raises(PipelineError, match=r"x_udm2.tif: Planet's mask of usable data.*--imagery .*/x_SR.tif"):
        check(tmp_path)


def test_files_named_one_by_one_are_taken_at_their_word_but_for_planets_masks(tmp_path):
    scene = raster(tmp_path / "in" / "a.tif")
    check(tmp_path / "in", raster(tmp_path / "b.tif", 3, "uint8"), raster(tmp_path / "c_mask.tif"), scene)
    with pytest.raises(PipelineError, match="Planet's mask"):
        check(tmp_path / "in", raster(tmp_path / "x_udm2.tif", 8, "uint8"))


def test_alpha_and_near_infrared_make_no_other_kind(tmp_path):
    for bands in (3, 4, 5):
        raster(tmp_path / "in" / f"{bands}.tif", bands)
    four = Layout(4, ("uint16",), ("",) * 4)
    assert four.resembles(Layout(5, ("uint16",), ("",) * 5))
    assert not four.resembles(Layout(1, ("uint16",), ("",)))
    assert not four.resembles(Layout(8, ("uint16",), ("",) * 8))


def test_folders_of_masks_alone_fit_each_other_by_name(tmp_path):
    for name in ("a_mask.tif", "b_mask.tif"):
        raster(tmp_path / name)
    check(tmp_path)
