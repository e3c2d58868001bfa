"""A year's polygons in every format: the same rows, readable by others, the same bytes every time."""

import subprocess

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.formats import FGB, FORMATS, GPKG, PARQUET, choose_formats, write_polygons
from segmentation.geo.geopackage import Layer
from segmentation.geo.metadata import read_settings
from segmentation.predict.outlines.attributes import COLUMNS, attribute_polygons

METADATA = {"model": "segformer", "threshold": "0.5"}
# GDAL's own check of GeoPackages comes with Debian's python3-gdal, for the system's interpreter.
SYSTEM_PYTHON = "/usr/bin/python3"
VALIDATOR = "osgeo_utils.samples.validate_gpkg"


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(-60, -50, 40), rng.uniform(-10, 0, 40)
    frame = gpd.GeoDataFrame(
        {"mean_probability": rng.uniform(0.5, 1, 40)},
        geometry=shapely.box(lon, lat, lon + 0.01, lat + 0.02),
        crs="EPSG:4326",
    )
    brazil = gpd.GeoDataFrame(
        {"iso_a3": ["BRA"], "country_name": ["Brazil"]}, geometry=[shapely.box(-70, -20, -40, 5)], crs="EPSG:4326"
    )
    return attribute_polygons(frame, 2019, brazil)


@pytest.fixture
def layer(table):
    return Layer("mining_polygons", table, "Polygon", style="mining_polygons")


def test_every_format_holds_the_same_rows(tmp_path, layer, table):
    written = write_polygons(tmp_path / "mines.gpkg", layer, METADATA, FORMATS)
    assert [path.name for path in written] == ["mines.gpkg", "mines.parquet", "mines.fgb"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mines.fgb", "mines.gpkg", "mines.parquet"]
    for path in written:
        found = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
        assert found.crs == "EPSG:4326"
        assert sorted(found.columns) == sorted(COLUMNS)
        # FlatGeobuf orders rows by place, for its index.
        found = found.sort_values("id", ignore_index=True)
        assert found["id"].tolist() == table["id"].tolist()
        assert found["area"].tolist() == pytest.approx(table["area"].tolist())
        assert shapely.equals_exact(found.geometry.values, table.geometry.values, 1e-9, normalize=True).all()
        assert [str(day)[:10] for day in found["valid_to"]] == ["2019-12-31"] * len(table)


def test_dates_are_dates_and_metadata_is_there(tmp_path, layer):
    write_polygons(tmp_path / "mines.gpkg", layer, METADATA, [GPKG, PARQUET, FGB])
    schema = pq.read_schema(tmp_path / "mines.parquet")
    assert str(schema.field("valid_from").type) == "date32[day]"
    assert schema.metadata[b"mining:model"] == b"segformer"
    assert b"bbox" in schema.metadata[b"geo"]
    info = pyogrio.read_info(tmp_path / "mines.fgb")
    assert dict(zip(info["fields"], info["dtypes"], strict=True))["valid_from"].startswith("datetime64")


@pytest.mark.parametrize("name", FORMATS)
def test_only_what_is_wanted_is_written_with_the_same_bytes_every_time(tmp_path, layer, name):
    (one,), (other,) = (
        write_polygons(tmp_path / part / "mines.gpkg", layer, METADATA, [name]) for part in ("one", "other")
    )
    assert one.suffix == f".{name}"
    assert [path.name for path in one.parent.iterdir()] == [one.name]
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_a_year_without_polygons_can_be_written(tmp_path, layer, table, name):
    nothing = Layer(layer.name, table.iloc[:0], layer.geometry_type, layer.style)
    (path,) = write_polygons(tmp_path / "mines.gpkg", nothing, METADATA, [name])
    found = gpd.read_parquet(path) if name == PARQUET else gpd.read_file(path)
    assert len(found) == 0
    assert sorted(found.columns) == sorted(COLUMNS)


def has_validator() -> bool:
    try:
        command = [SYSTEM_PYTHON, "-c", f"import {VALIDATOR}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not has_validator(), reason="GDAL's GeoPackage check is not installed (python3-gdal)")
def test_gdal_finds_nothing_wrong_with_the_geopackage(tmp_path, layer):
    (path,) = write_polygons(tmp_path / "mines.gpkg", layer, METADATA, [GPKG])
    command = [SYSTEM_PYTHON, "-m", VALIDATOR, "--extra", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


SETTINGS = METADATA | {"outline": "pixel"}


@pytest.fixture
def written(tmp_path, layer):
    """The path of a GeoPackage with the other formats beside it."""
    return write_polygons(tmp_path / "mines.gpkg", layer, SETTINGS, FORMATS)[0]


@pytest.mark.parametrize("asked", [[GPKG], [PARQUET], FORMATS])
def test_files_made_with_the_same_settings_may_be_written_again(written, asked):
    assert choose_formats(written, SETTINGS | {"precision": "fp32"}, asked) == tuple(asked)


@pytest.mark.parametrize("there", FORMATS)
@pytest.mark.parametrize("asked", FORMATS)
def test_a_file_made_with_other_settings_is_refused_naming_them(written, there, asked):
    for other in FORMATS:
        if other != there:
            written.with_suffix(f".{other}").unlink()
    changed = SETTINGS | {"threshold": "0.7", "outline": "smooth"}
    differences = r"\(outline was pixel, is now smooth, threshold was 0.5, is now 0.7\); --force .*--suffix"
    with pytest.raises(PipelineError, match=rf"mines.{there} was made with other settings {differences}"):
        choose_formats(written, changed, [asked])
    # What would be left behind under the same name is written as well.
    assert set(choose_formats(written, changed, [asked], force=True)) == {there, asked}


@pytest.mark.parametrize("there", FORMATS)
def test_a_file_that_does_not_say_how_it_was_made_is_not_replaced_in_silence(tmp_path, layer, there):
    (path,) = write_polygons(tmp_path / "mines.gpkg", layer, {}, [there])
    with pytest.raises(PipelineError, match=f"mines.{there} does not say how it was made; --force"):
        choose_formats(tmp_path / "mines.gpkg", SETTINGS, [GPKG])
    path.write_bytes(b"damaged")
    with pytest.raises(PipelineError, match=f"mines.{there} cannot be read, so that nothing says .*--force"):
        choose_formats(tmp_path / "mines.gpkg", SETTINGS, [GPKG])


@pytest.mark.parametrize("kind", FORMATS)
def test_settings_come_back_from_every_format(written, kind):
    assert read_settings(written.with_suffix(f".{kind}")) == SETTINGS
