"""What files say of how they were made, and where years differ in it."""

import geopandas as gpd
import pytest
import shapely

from segmentation.core.provenance import (
    INVENTED,
    differences,
    is_told,
    marked,
    say_differences,
    together,
    windows_apart,
)
from segmentation.geo.formats import FORMATS, write_polygons
from segmentation.geo.geopackage import Layer
from segmentation.geo.metadata import read_provenance

MADE = {"model": "segformer", "threshold": "0.5", "imagery": "planet", "mosaic": "june"}
MINE = gpd.GeoDataFrame({"id": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_how_it_was_made(tmp_path, name):
    (path,) = write_polygons(tmp_path / "mines.gpkg", Layer("mines", MINE, "Polygon"), MADE, [name])
    assert read_provenance(path) == MADE
    assert read_provenance(path.with_name(f"{path.name}:mines")) == MADE


def test_other_peoples_files_say_nothing_and_broken_ones_neither(tmp_path):
    MINE.to_file(tmp_path / "mines.geojson")
    MINE.to_file(tmp_path / "mines.gpkg")
    MINE.to_parquet(tmp_path / "mines.parquet")
    for name in ("broken.gpkg", "broken.parquet"):
        (tmp_path / name).write_text("no file of ours")
    paths = [*tmp_path.iterdir(), tmp_path / "absent.gpkg"]
    assert len(paths) == 6
    assert not any(is_told(read_provenance(path)) for path in paths)


def test_years_that_differ_are_named_by_value():
    made = {2018: MADE, 2016: MADE | {"threshold": "0.7"}, 2017: MADE | {"mosaic": "july"}}
    assert say_differences(differences(made)) == "threshold: 0.7 in 2016 and 0.5 in 2017, 2018"
    assert differences({2016: MADE, 2017: dict(MADE, mosaic="july")}) == {}


def test_what_is_not_said_is_not_different():
    assert differences({2016: MADE | {"precision": "fp32", "checkpoint sha256": "a1"}, 2017: MADE, 2018: {}}) == {}
    assert differences({2016: MADE | {"precision": "fp32"}, 2017: MADE | {"precision": ""}}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("model", "mask2former"), ("iteration", "7"), ("checkpoint sha256", "b2"), ("precision", "bf16")),
        *(("threshold", "0.4"), ("outline", "smooth"), ("overlapping windows", "mean"), ("minimum area m2", "100.0")),
        *(("holes", "kept"), ("imagery", "sentinel2"), ("level", "14"), ("bands", "red green blue")),
        *(("encoding", "published"), ("large windows", "full resolution")),
    ],
)
def test_every_choice_of_method_and_imagery_is_compared(name, value):
    known = MADE | {name: MADE.get(name, "as usual")}
    assert list(differences({2016: known, 2017: known | {name: value}})) == [name]


@pytest.mark.parametrize(("name", "value"), [("synthetic", INVENTED), ("temporal filter", "previous or next year")])
def test_silence_about_some_settings_means_something(name, value):
    assert list(differences({2016: MADE, 2017: MADE | {name: value}})) == [name]
    assert differences({2016: {}, 2017: MADE | {name: value}}) == {}


def test_the_settings_of_years_become_one_set():
    made = {2016: MADE, 2017: MADE | {"mosaic": "july", "holes": "kept"}, 2018: MADE, 2019: {}}
    assert together(made) == {
        "model": "segformer",
        "threshold": "0.5",
        "imagery": "planet",
        "mosaic": "2016, 2018: june; 2017: july",
        "holes": "kept",
        "years that do not say how they were made": "2019",
    }
    assert together({2016: {}, 2017: {}}) == {}


def test_windows_belong_to_the_polygons_of_their_imagery():
    assert windows_apart(2016, MADE, {"imagery": "planet", "mosaic": "june", "level": "15"}) == ""
    assert windows_apart(2016, {}, MADE) == ""
    text = windows_apart(2016, MADE, MADE | {"mosaic": "july"})
    assert text == "the windows of 2016 are not those of its polygons (mosaic july, not june)"
    assert "synthetic" in windows_apart(2016, MADE, MADE | {"synthetic": INVENTED})


def test_a_title_over_synthetic_imagery_says_so():
    assert marked("a title", None) == "a title"
    assert marked("", INVENTED).startswith("SYNTHETIC")
    assert marked("a title", INVENTED) == "SYNTHETIC landscape, no real mine: a title"
