"""The parts of the STAC source that need no server: seasons, looks, medians, the meaning of numbers, tokens."""

import argparse
import subprocess
import sys
from datetime import date
from threading import Barrier, Thread

import numpy as np
import pystac
import pytest
from rasterio import Affine
from urllib3 import Retry

import segmentation_dataset_generation as script
from segmentation.core import cli
from segmentation.core.errors import PipelineError
from segmentation.core.journal import Journal
from segmentation.core.workspace import REPOSITORY
from segmentation.imagery.rasters.scales import Reflectance
from segmentation.imagery.stac.bands import Bands, find_bands, listed_reflectance, no_data, pixel_m
from segmentation.imagery.stac.composite import Stack, compose
from segmentation.imagery.stac.looks import STUDY_SEASON, Look, Season, looks_at, season
from segmentation.imagery.stac.offsets import Offsets
from segmentation.imagery.stac.pixels import ScenePixels
from segmentation.imagery.stac.scenes import read_scenes
from segmentation.imagery.stac.tokens import Tokens, token_url
from segmentation.imagery.web.parallel import SharedWork
from segmentation.imagery.web.redaction import without_query

EARTH_SEARCH = ("red", "green", "blue", "nir", "scl", "thumbnail")
PLANETARY_COMPUTER = ("B02", "B03", "B04", "B08", "SCL", "visual")
AMAZON = np.array([-60.0, -5.0, -59.95, -4.95])


def scene(name="scene", assets=EARTH_SEARCH, when="2019-07-01T14:00:00Z", box=(-60.5, -5.5, -59.5, -4.5), **properties):
    """A scene as a catalogue describes it; ``raster`` is what the raster extension says of its assets."""
    raster = properties.pop("raster", {})
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return pystac.Item.from_dict(
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "collection": "sentinel-2-l2a",
            "bbox": list(box),
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"datetime": when, **properties},
            "links": [],
            "assets": {asset: {"href": f"https://host/{asset}.tif", **raster} for asset in assets},
        }
    )


@pytest.mark.parametrize(
    ("text", "year", "first", "last"),
    [
        ("06-01/11-30", 2019, date(2019, 6, 1), date(2019, 11, 30)),
        ("12-01/03-31", 2019, date(2018, 12, 1), date(2019, 3, 31)),
        ("01-01/02-29", 2019, date(2019, 1, 1), date(2019, 2, 28)),
        ("01-01/02-29", 2020, date(2020, 1, 1), date(2020, 2, 29)),
    ],
)
def test_a_season_ends_in_its_year(text, year, first, last):
    assert season(text).of(year) == (first, last)


def test_the_season_is_the_studys_unless_another_is_named():
    assert season(str(STUDY_SEASON)) == STUDY_SEASON == Season("06-01", "11-30")


@pytest.mark.parametrize("text", ["06-01", "06-01/13-01", "06-01/06-31", "6-1/11-30", "2019-06-01/2019-11-30", ""])
def test_what_is_no_season_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        season(text)


def test_bands_are_found_by_the_names_of_both_catalogues():
    assert find_bands(scene(assets=EARTH_SEARCH)) == Bands(("red", "green", "blue", "nir"), "scl")
    assert find_bands(scene(assets=PLANETARY_COMPUTER)) == Bands(("B04", "B03", "B02", "B08"), "SCL")


def test_other_assets_are_named_and_may_hold_several_bands():
    naip = scene(assets=["image", "metadata"])
    with pytest.raises(PipelineError, match="assets image, metadata; name those of red.* with --bands"):
        find_bands(naip)
    assert find_bands(naip, ["image.1", "image.2", "image.3", "image.4"]).classes is None
    with pytest.raises(PipelineError, match="has image, metadata"):
        find_bands(naip, ["image.1", "green", "image.3"])


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"s2:processing_baseline": "02.14"}, (1e-4, 0)),
        ({"s2:processing_baseline": "04.00"}, (1e-4, -0.1)),
        ({"s2:processing_baseline": "04.00", "constellation": "Sentinel 2", "platform": "Sentinel-2A"}, (1e-4, -0.1)),
        ({"s2:processing_baseline": "03.01", "raster": {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}}, (1e-4, 0)),
        ({"s2:processing_baseline": "05.11"}, (1e-4, -0.1)),
        ({"s2:processing_baseline": "05.11", "earthsearch:boa_offset_applied": True}, (1e-4, 0)),
        ({"raster": {"raster:bands": [{"scale": 2.75e-5, "offset": -0.2}]}}, (2.75e-5, -0.2)),
        ({"raster": {"raster:scale": 2.75e-5, "raster:offset": -0.2}}, (2.75e-5, -0.2)),
        ({"raster": {"bands": [{"raster:scale": 0.5}]}}, (0.5, 0)),
        (
            {
                "s2:processing_baseline": "05.11",
                "earthsearch:boa_offset_applied": False,
                "raster": {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]},
            },
            (1e-4, -0.1),
        ),
        (
            {
                "s2:processing_baseline": "05.11",
                "earthsearch:boa_offset_applied": True,
                "raster": {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]},
            },
            (1e-4, 0),
        ),
    ],
)
def test_numbers_mean_what_the_metadata_says(properties, expected):
    assert listed_reflectance(scene(**properties), "red") == Reflectance(*expected)


def test_numbers_that_nobody_explains_are_explained_by_the_user():
    with pytest.raises(PipelineError, match="--reflectance-scale"):
        listed_reflectance(scene(), "red")
    assert listed_reflectance(scene(), "red", Reflectance(0.01, 0.2)) == Reflectance(0.01, 0.2)


@pytest.mark.parametrize("scale", [10_000, 0, -1e-4, float("nan")])
def test_a_listed_scale_that_cannot_be_meant_gives_way_to_the_users(scale):
    wrong = scene(raster={"raster:bands": [{"scale": scale}]})
    with pytest.raises(PipelineError, match="which no values need; say it with --reflectance-scale"):
        listed_reflectance(wrong, "red")
    assert listed_reflectance(wrong, "red", Reflectance(1e-4)) == Reflectance(1e-4)


@pytest.mark.parametrize("field", ["scale", "offset", "nodata", "spatial_resolution"])
def test_a_listed_number_that_is_none_is_one_line(field):
    wrong = scene(raster={"raster:bands": [{"scale": 1e-4, field: "unknown"}]})
    with pytest.raises(PipelineError, match=r"scene scene: the .* of red is 'unknown', no number"):
        for ask in (listed_reflectance, no_data, pixel_m):
            ask(wrong, "red")


def without(name, *fields, **changed):
    """A description of a scene that lacks some fields; None for a property takes it out."""
    described = scene(name).to_dict()
    properties = described["properties"] | changed
    described["properties"] = {key: value for key, value in properties.items() if value is not None}
    return {key: value for key, value in described.items() if key not in fields}


def test_scenes_that_lack_what_composites_need_are_left_out_and_named(caplog):
    begun = without("begun", datetime=None, start_datetime="2019-07-01T14:00:00Z")
    described = [
        scene("good").to_dict(),
        begun | {"properties": begun["properties"] | {"datetime": None}},
        without("bbox alone", "geometry") | {"geometry": None},
        without("no time", datetime=None),
        without("null time") | {"properties": {"datetime": None}},
        without("bad time", datetime="last summer"),
        without("no place", "geometry", "bbox") | {"geometry": None},
        without("empty") | {"geometry": {"type": "Polygon", "coordinates": []}},
        without("cloudy", **{"eo:cloud_cover": "n/a"}),
        without("very cloudy", **{"eo:cloud_cover": float("nan")}),
        without("bare", "properties"),
        scene("good").to_dict(),
    ]
    assert [found.id for found in read_scenes(described)] == ["bbox alone", "begun", "good"]
    told = "\n".join(caplog.messages)
    for name in ("no time", "null time", "bad time", "no place", "empty", "cloudy", "very cloudy", "bare"):
        assert name in told
    assert "2 scenes are left out: their description has a cloud cover that is no number (cloudy, very cloudy)" in told
    assert looks_at(AMAZON, read_scenes(described))[0].day == date(2019, 7, 1)


def test_the_dark_pixels_of_a_scene_without_bbox_are_looked_for_within_its_outline(monkeypatch, tmp_path):
    [found] = read_scenes([without("outline alone", "bbox")])
    assert found.bbox is None
    asked = []

    def load(self, scene, names, geobox, *rest):
        asked.append(geobox.boundingbox)
        return np.full((1, *geobox.shape), 900, "float32")

    monkeypatch.setattr(ScenePixels, "_load", load)
    reads = ScenePixels(Bands(EARTH_SEARCH[:4], None), Tokens(None, Retry(0)), tmp_path / "o.jsonl")
    assert reads.offsets.of(found, Reflectance(1e-4, -0.1)) == -0.1
    assert [tuple(box) for box in asked] == [pytest.approx((-60.5, -5.5, -59.5, -4.5))]


def pixels_of(monkeypatch, tmp_path, loaded, **raster):
    """What is made of values (bands, h, w) of a scene's colours, and of its classes (h, w)."""
    values, classes = loaded

    def load(_, names, *__):
        return np.stack([np.resize(classes if name == "scl" else values, (512, 512)) for name in names])

    monkeypatch.setattr(ScenePixels, "_load", lambda self, scene, names, *rest: load(scene, names))
    reads = ScenePixels(Bands(EARTH_SEARCH[:4], "scl"), Tokens(None, Retry(0)), tmp_path / "o.jsonl", Reflectance(1e-4))
    read = reads.reader(Affine(10, 0, -6_660_000, 0, -10, -550_000), 10.0)
    return read(scene(raster=raster), np.ones((512, 512), bool))


def test_classes_that_are_no_number_show_no_ground(monkeypatch, tmp_path):
    classes = np.full((512, 512), 4.0, "float32")
    classes[:, :256] = np.nan
    _, clear = pixels_of(monkeypatch, tmp_path, (np.full((512, 512), 900, "float32"), classes))
    assert clear[:, 256:].all()
    assert not clear[:, :256].any()


@pytest.mark.parametrize(("raster", "clear_share"), [({}, 0.5), ({"raster:bands": [{"nodata": -1}]}, 1.0)])
def test_fill_of_scenes_that_name_no_value_for_it_is_no_ground(monkeypatch, tmp_path, raster, clear_share):
    values = np.full((512, 512), 900, "float32")
    values[:, :256] = 0
    _, clear = pixels_of(monkeypatch, tmp_path, (values, np.full((512, 512), 4.0, "float32")), **raster)
    assert clear.mean() == clear_share


def test_no_data_and_the_size_of_pixels_are_read_where_they_are_said():
    described = scene(raster={"raster:bands": [{"nodata": 0, "spatial_resolution": 20}]})
    assert (no_data(described, "red"), pixel_m(described, "red")) == (0, 20)
    assert (no_data(scene(), "red"), pixel_m(scene(), "red")) == (None, None)
    assert pixel_m(scene(gsd=30), "red") == 30


def test_looks_come_least_cloudy_first_and_scenes_of_one_day_make_one():
    scenes = [
        scene("hazy", when="2019-07-03T14:00:00Z", **{"eo:cloud_cover": 40}),
        scene("clear, later", when="2019-08-01T14:00:00Z", **{"eo:cloud_cover": 2}),
        scene("clear", when="2019-07-20T14:00:00Z", **{"eo:cloud_cover": 2}),
        scene(
            "old processing", when="2019-06-01T14:00:00Z", **{"eo:cloud_cover": 4, "s2:processing_baseline": "02.12"}
        ),
        scene(
            "new processing", when="2019-06-01T14:00:00Z", **{"eo:cloud_cover": 6, "s2:processing_baseline": "05.00"}
        ),
        scene("too cloudy", when="2019-07-09T14:00:00Z", **{"eo:cloud_cover": 95}),
        scene("elsewhere", when="2019-07-12T14:00:00Z", box=(-58, -5, -57, -4)),
    ]
    looks = looks_at(AMAZON, scenes, max_cloud=80)
    assert [[found.id for found in look.scenes] for look in looks] == [
        ["clear"],
        ["clear, later"],
        ["new processing", "old processing"],
        ["hazy"],
    ]
    assert looks[2].cloud == 5


def test_a_day_is_one_by_the_sun():
    fiji = np.array([179.0, -18.0, 179.05, -17.95])
    morning = [
        scene("before midnight", when="2019-06-30T23:50:00Z", box=(178, -19, 180, -17)),
        scene("after midnight", when="2019-07-01T00:02:00Z", box=(178, -19, 180, -17)),
    ]
    assert [look.day for look in looks_at(fiji, morning)] == [date(2019, 7, 1)]


def test_the_median_is_that_of_every_pixels_own_values(rng):
    depth, side = 5, 16
    values = rng.random((8, 3, side, side)).astype("float32")
    clear = rng.random((8, side, side)) < 0.5
    stack = Stack(depth=depth, bands=3, side_px=side)
    for one, seen in zip(values, clear, strict=True):
        stack.put(one, seen & stack.wanted)
    first = clear & (np.cumsum(clear, axis=0) <= depth)
    expected = np.full((3, side, side), np.nan)
    for row, col in np.ndindex(side, side):
        if first[:, row, col].any():
            expected[:, row, col] = np.median(values[first[:, row, col], :, row, col], axis=0)
    np.testing.assert_allclose(stack.median(), expected, rtol=1e-6)


def test_no_more_scenes_are_read_than_pixels_need():
    side, read = 8, []

    def reader(item, wanted):
        read.append(item.id)
        if item.id == "cloud":
            return None
        clear = np.ones((side, side), bool)
        clear[:, : 4 if item.id == "half" else 0] = False
        return np.full((3, side, side), 0.2, "float32"), clear

    names = ["clear", "cloud", "half", "clear 2", "never"]
    looks = [Look(date(2019, 7, day), (scene(name),), 0) for day, name in enumerate(names, 1)]
    composite = compose(looks, reader, depth=2, bands=3, side_px=side)
    assert read == names[:4]
    assert [item.id for item in composite.scenes] == ["clear", "half", "clear 2"]
    assert np.isfinite(composite.reflectance).all()


def test_of_overlapping_scenes_of_a_day_a_pixel_takes_one():
    side = 4

    def reader(item, wanted):
        value = {"first": 0.1, "second": 0.3}[item.id]
        clear = np.ones((side, side), bool)
        if item.id == "first":
            clear[0] = False
        return np.full((3, side, side), value, "float32"), clear

    both = [Look(date(2019, 7, 1), (scene("first"), scene("second")), 0)]
    composite = compose(both, reader, depth=3, bands=3, side_px=side).reflectance
    assert (composite[:, 0] == np.float32(0.3)).all()
    assert (composite[:, 1:] == np.float32(0.1)).all()


DARK, SHIFTED = 0.012, 0.112


@pytest.mark.parametrize(
    ("listed", "darkest", "applied"),
    [
        (-0.1, SHIFTED, -0.1),
        (-0.1, DARK, 0.0),
        (-0.1, 0.099, -0.1),  # water is slightly negative once corrected for the atmosphere
        (0.0, DARK, 0.0),
        (0.0, SHIFTED, 0.0),
    ],
)
def test_dark_pixels_decide_on_a_listed_offset(tmp_path, listed, darkest, applied):
    coarse = np.full(1000, 3000.0)
    coarse[:20], coarse[20:40] = darkest * 1e4, np.nan
    read = []
    item = scene("x", **{"s2:processing_baseline": "05.00"})
    offsets = Offsets(Journal(tmp_path / "offsets.jsonl"), lambda item: read.append(item.id) or coarse)
    for _ in range(2):
        assert offsets.of(item, Reflectance(1e-4, listed)) == applied
    again = Offsets(Journal(tmp_path / "offsets.jsonl"), lambda item: pytest.fail("it is known"))
    assert again.of(item, Reflectance(1e-4, listed)) == applied
    assert read == ["x"]


def test_scenes_of_the_old_processing_are_not_looked_at(tmp_path):
    offsets = Offsets(Journal(tmp_path / "offsets.jsonl"), lambda item: pytest.fail("it has no offset"))
    assert offsets.of(scene(**{"s2:processing_baseline": "02.14"}), Reflectance(1e-4)) == 0


def test_a_listed_offset_is_checked_where_the_processing_is_not_known(tmp_path):
    offsets = Offsets(Journal(tmp_path / "offsets.jsonl"), lambda item: np.full(100, DARK * 1e4))
    assert offsets.of(scene(), Reflectance(1e-4, -0.1)) == 0
    landsat = scene()
    landsat.collection_id = "landsat-c2-l2"
    assert offsets.of(landsat, Reflectance(2.75e-5, -0.2)) == -0.2


def test_the_check_says_what_it_found(tmp_path, caplog):
    dark = {"wrong": DARK, "right": SHIFTED, "desert": SHIFTED}
    offsets = Offsets(Journal(tmp_path / "offsets.jsonl"), lambda item: np.full(100, dark[item.id] * 1e4))
    for name, listed in (("wrong", -0.1), ("right", -0.1), ("desert", 0.0)):
        offsets.of(scene(name, **{"s2:processing_baseline": "05.00"}), Reflectance(1e-4, listed))
    offsets.close()
    subtracted, bright = caplog.messages
    assert subtracted.startswith("1 of 3 checked scenes list an offset that their dark pixels show to be subtracted")
    assert "wrong" in subtracted
    assert bright.startswith("1 of 3 checked scenes have no pixel darker than 0.1")
    assert "desert" in bright


def test_work_is_done_once_and_its_error_reaches_everybody():
    shared, together, done, errors = SharedWork(), Barrier(4), [], []

    def work():
        done.append(1)
        raise PipelineError("no luck")

    def ask():
        together.wait()
        try:
            shared.result("key", work)
        except PipelineError as error:
            errors.append(str(error))

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), errors) == (1, ["no luck"] * 4)


def test_only_the_planetary_computer_is_known_to_want_tokens():
    ours = "https://planetarycomputer.microsoft.com/api/stac/v1"
    expected = "https://planetarycomputer.microsoft.com/api/sas/v1/token/sentinel-2-l2a"
    assert token_url(ours, "sentinel-2-l2a") == expected
    assert token_url("https://earth-search.aws.element84.com/v1", "sentinel-2-l2a") is None
    assert token_url("https://planetarycomputer.microsoft.com.example.org/", "sentinel-2-l2a") is None


def test_texts_lose_what_stands_behind_question_marks():
    said = "'/vsicurl/https://host/B04.tif?se=2026&sig=abc%2F' not there, https://host/x?sig=d (404)"
    assert without_query(said) == "'/vsicurl/https://host/B04.tif?...' not there, https://host/x?... (404)"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("--imagery", "stac:https://host/v1"), "name one collection, stac:URL#COLLECTION"),
        (("--imagery", "stac:https://host/v1#a", "stac:https://host/v1#b"), "name one collection"),
        (("--looks", "3"), "--looks is for --imagery stac, not for planet"),
        (("--imagery", "stac:https://host/v1#a", "--cloud-free"), "--cloud-free is for --imagery planet, not for stac"),
        (("--imagery", "stac:https://host/v1#a", "--season", "summer"), "'summer' is no season such as 06-01/11-30"),
        (
            ("--imagery", "stac:https://host/v1#a", "--max-cloud", "120"),
            "argument --max-cloud: '120' is not a percentage from 0 to 100",
        ),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(monkeypatch, capsys, tmp_path, typed, told):
    monkeypatch.setattr(sys, "argv", ["step_1", "-year=2019", "--data-root", str(tmp_path), "--plan", *typed])
    with pytest.raises(SystemExit) as left:
        cli.run(script.main, script.arguments())
    assert left.value.code == cli.REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert told in line


def test_without_its_packages_the_source_says_what_to_install(tmp_path):
    typed = ["step_1", "-year=2019", "--imagery", "stac:https://host/v1#a", "--data-root", str(tmp_path), "--plan"]
    program = (
        f"import runpy, sys; sys.modules['odc.stac'] = None; sys.argv = {typed}; "
        f"runpy.run_path({str(REPOSITORY / 'segmentation_dataset_generation.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == cli.REFUSED
    assert done.stderr == (
        "error: --imagery stac needs odc.stac, which is missing: pip install -r requirements-stac.txt\n"
    )


def test_help_does_not_wait_for_the_packages_of_the_source():
    program = "import sys, segmentation.imagery.options; sys.exit('pystac' in sys.modules or 'odc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=REPOSITORY).returncode == 0


@pytest.mark.parametrize("answer", ["{}", "[]", '"x"', "<html>"])
def test_an_answer_of_another_shape_than_a_catalogues_is_one_line(answer, monkeypatch):
    pytest.importorskip("pystac_client")
    from segmentation.imagery.stac.catalogue import Catalogue

    catalogue = Catalogue("http://127.0.0.1:9", "sentinel-2-l2a", max_rps=1000, tries=1)
    monkeypatch.setattr(catalogue._io, "request", lambda *_, **__: answer)
    with pytest.raises(PipelineError, match="no STAC API answers at http://127.0.0.1:9") as told:
        catalogue.connect()
    assert len(str(told.value).splitlines()) == 1
