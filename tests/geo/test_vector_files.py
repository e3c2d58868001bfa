"""Vector files as users bring them: zipped, of many layers, half copied, in odd encodings and CRSs."""

import math
import shutil
import sqlite3
import struct
import warnings
import zipfile
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
import shapely

from segmentation.core.errors import PipelineError
from segmentation.evaluate.inputs import read_reference
from segmentation.geo.countries import read_countries
from segmentation.geo.vectors.files import VectorName, existing_vector, find_vector
from segmentation.geo.vectors.read import read_vector
from segmentation.panel.inputs import YearInput, read_panel
from segmentation.polygons.combine import read_published
from segmentation.polygons.literature import read_polygons

A, B, C = (shapely.box(x, -6, x + 0.01, -5.99) for x in (-57.1, -57.2, -57.3))
SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
LAND = gpd.GeoDataFrame(
    {"iso_a3": ["BRA"], "country_name": ["Brazil"]}, geometry=[shapely.box(-70, -20, -40, 5)], crs=4326
)


def frame(*shapes, crs="EPSG:4326", **columns):
    return gpd.GeoDataFrame(columns or {"id": range(1, len(shapes) + 1)}, geometry=list(shapes), crs=crs)


@pytest.fixture
def layers(tmp_path):
    """A GeoPackage with two layers of polygons, one polygon and three."""
    path = tmp_path / "two.gpkg"
    frame(A).to_file(path, layer="draft")
    frame(A, B, C).to_file(path, layer="final mines")
    return path


@pytest.fixture
def shapefile(tmp_path):
    frame(A, B, C).to_file(tmp_path / "mines.shp")
    return tmp_path / "mines.shp"


def zipped(path, *files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files:
            archive.write(file, name)
    return path


def refused(path, message):
    with pytest.raises(PipelineError, match=message) as caught:
        read_vector(path)
    assert "\n" not in str(caught.value)


READERS = {
    "step 1": lambda path: len(read_polygons(path).all),
    "reference": lambda path: len(read_reference(path).polygons_3857),
    "panel": lambda path: len(read_panel([YearInput(2016, path)], LAND)[0]),
    "combine": lambda path: len(read_published(path, "maus").parts),
    "countries": lambda path: len(read_countries(path)),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_command_asks_which_of_several_layers_is_meant(tmp_path, read):
    path = tmp_path / "two.gpkg"
    names = {"iso_a3": ["AAA", "BBB", "CCC"], "country_name": ["A", "B", "C"]}
    frame(A, iso_a3=["AAA"], country_name=["A"]).to_file(path, layer="draft")
    frame(A, B, C, **names).to_file(path, layer="final mines")
    with pytest.raises(PipelineError, match=r"2 layers: draft \(1\), final mines \(3\); .*such as .*two.gpkg:draft"):
        read(path)
    assert read(tmp_path / "two.gpkg:final mines") == 3
    assert read(tmp_path / "two.gpkg:draft") == 1
    with pytest.raises(PipelineError, match="no layer 'mines'; there are: draft, final mines"):
        read(tmp_path / "two.gpkg:mines")


def test_layers_without_polygons_are_no_choice(tmp_path):
    path = tmp_path / "p.gpkg"
    frame(shapely.Point(0, 0)).to_file(path, layer="notes")
    frame(A).iloc[:0].to_file(path, layer="template", geometry_type="Polygon")
    # A layer that does not say what it holds is looked into.
    pyogrio.write_dataframe(frame(shapely.Point(1, 1), A, B), path, layer="mixed", geometry_type="Unknown")
    pyogrio.write_dataframe(frame(shapely.Point(1, 1)), path, layer="more", geometry_type="Unknown")
    assert read_polygons(path).all["id"].tolist() == ["2", "3"]


def test_the_folders_of_a_kml_are_layers(tmp_path):
    for name, shapes in {"Brazil": [A], "Ghana": [B, C]}.items():
        frame(*shapes, Name=["pit"] * len(shapes)).to_file(tmp_path / "p.kml", layer=name, driver="LIBKML", mode="a")
    refused(tmp_path / "p.kml", r"2 layers: Brazil \(1\), Ghana \(2\)")
    assert len(read_vector(tmp_path / "p.kml:Ghana")) == 2


def test_a_file_geodatabase_is_a_folder_with_layers(tmp_path):
    for name, shapes in {"y2016": [A], "y2019": [A, B]}.items():
        frame(*shapes).to_file(tmp_path / "mines.gdb", layer=name, driver="OpenFileGDB")
    refused(tmp_path / "mines.gdb", r"2 layers: y2016 \(1\), y2019 \(2\)")
    assert len(read_vector(tmp_path / "mines.gdb:y2019")) == 2


def test_a_file_whose_own_name_has_a_colon_wins(tmp_path, layers):
    shutil.copy(layers, tmp_path / "two.gpkg:draft")
    assert find_vector(tmp_path / "two.gpkg:draft") == VectorName(tmp_path / "two.gpkg:draft")
    assert find_vector(tmp_path / "two.gpkg:draft:final mines") == VectorName(
        tmp_path / "two.gpkg:draft", "final mines"
    )
    assert find_vector(tmp_path / "two.gpkg:other") == VectorName(layers, "other")
    assert find_vector(tmp_path / "none.gpkg:draft") is None
    with pytest.raises(PipelineError, match="no polygons at .*none.gpkg: no such file"):
        existing_vector(tmp_path / "none.gpkg")  # as where a file is removed between two looks at it


def test_files_made_from_a_layer_are_named_after_it():
    named = VectorName(Path("folder/two.gpkg"), "v2/final mines")
    assert (named.stem, named.short) == ("two_v2_final_mines", "two.gpkg:v2/final mines")
    assert VectorName(Path("folder/two.gpkg")).stem == "two"


def test_the_only_vector_file_in_a_zip_is_read(tmp_path, shapefile):
    (tmp_path / "README.txt").write_text("licence")
    files = [(f"data/mines{suffix}", shapefile.with_suffix(suffix)) for suffix in SHAPEFILE]
    files += [("README.txt", tmp_path / "README.txt"), ("__MACOSX/data/._mines.shp", tmp_path / "README.txt")]
    path = zipped(tmp_path / "download.zip", *files)
    before = sorted(tmp_path.iterdir())
    assert read_polygons(path).all["id"].tolist() == ["1", "2", "3"]
    assert sorted(tmp_path.iterdir()) == before, "what is unpacked is gone again"
    outer = zipped(tmp_path / "outer.zip", ("download.zip", path))
    assert len(read_vector(outer)) == 3


def test_a_choice_can_be_made_in_a_zip(tmp_path, layers):
    frame(B).to_file(tmp_path / "one.geojson")
    path = zipped(tmp_path / "p.zip", ("v2/two.gpkg", layers), ("v2/one.geojson", tmp_path / "one.geojson"))
    refused(path, r"p.zip holds 2 vector files: v2/one.geojson, v2/two.gpkg; .*such as .*p.zip:v2/one.geojson")
    refused(tmp_path / "p.zip:two.gpkg", r"2 layers: draft \(1\).*such as .*p.zip:two.gpkg:draft")
    refused(tmp_path / "p.zip:three.gpkg", r"2 vector files and none of them is 'three.gpkg'")
    assert len(read_vector(tmp_path / "p.zip:v2/one.geojson")) == 1
    assert len(read_vector(tmp_path / "p.zip:v2/two.gpkg:final mines")) == 3
    assert len(read_vector(tmp_path / "p.zip:two:final mines")) == 3
    alone = zipped(tmp_path / "alone.zip", ("two.gpkg", layers))
    assert len(read_vector(tmp_path / "alone.zip:draft")) == 1
    assert alone.exists()


def test_zips_that_cannot_serve_are_refused_in_one_line(tmp_path, layers):
    (tmp_path / "a.txt").write_text("x")
    refused(zipped(tmp_path / "text.zip", ("a.txt", tmp_path / "a.txt")), r"holds no vector file \(1 files in it\)")
    whole = zipped(tmp_path / "whole.zip", ("two.gpkg", layers))
    raw = bytearray(whole.read_bytes())
    raw[5000] ^= 255
    (tmp_path / "bad.zip").write_bytes(raw)
    refused(tmp_path / "bad.zip", "bad.zip cannot be unpacked .*two.gpkg")


def test_a_folder_holds_files_to_choose_from(tmp_path, shapefile):
    folder = tmp_path / "unzipped"
    folder.mkdir()
    refused(folder, "unzipped holds no vector file")
    for suffix in SHAPEFILE:
        shutil.copy(shapefile.with_suffix(suffix), folder / f"mines{suffix}")
    assert len(read_vector(folder)) == 3
    frame(A).to_file(folder / "one.gpkg")
    refused(folder, "holds 2 vector files: mines.shp, one.gpkg")
    assert len(read_vector(tmp_path / "unzipped:one.gpkg")) == 1


def test_a_shapefile_that_is_cut_off_is_called_so(shapefile):
    for suffix, kept, message in [
        (".shp", -140, "mines.shp is cut off: 508 bytes were written, 368 are"),
        (".dbf", -20, "cut off: . of 3"),
    ]:
        path = shapefile.with_suffix(suffix)
        whole = path.read_bytes()
        path.write_bytes(whole[:kept])
        refused(shapefile, message)
        path.write_bytes(whole)
    assert len(read_vector(shapefile)) == 3


def test_a_shapefile_within_a_zip_is_looked_at_as_well(tmp_path, shapefile):
    shapefile.write_bytes(shapefile.read_bytes()[:-140])
    files = [(f"mines{suffix}", shapefile.with_suffix(suffix)) for suffix in SHAPEFILE]
    refused(zipped(tmp_path / "p.zip", *files), r"mines.shp in .*p.zip is cut off")


@pytest.mark.parametrize("damage", ["lost", "cut", "empty"])
def test_an_index_that_is_lost_is_made_anew_beside_nothing_of_the_users(shapefile, caplog, damage):
    index = shapefile.with_suffix(".shx")
    whole = index.read_bytes()
    index.unlink()
    if damage != "lost":
        index.write_bytes(whole[:-7] if damage == "cut" else b"")
    before = {path.name: path.read_bytes() for path in shapefile.parent.iterdir()}
    assert read_polygons(shapefile).all["id"].tolist() == ["1", "2", "3"]
    assert {path.name: path.read_bytes() for path in shapefile.parent.iterdir()} == before
    assert "the index was made anew" in caplog.text
    assert pyogrio.get_gdal_config_option("SHAPE_RESTORE_SHX") is None


def test_parts_of_two_shapefiles_are_told(shapefile, tmp_path):
    frame(A).to_file(tmp_path / "other.shp")
    shutil.copy(tmp_path / "other.dbf", shapefile.with_suffix(".dbf"))
    refused(shapefile, "its .shx counts 3 shapes, its .dbf 1 rows")


def test_a_shapefile_without_attributes_says_so(shapefile, caplog):
    shapefile.with_suffix(".dbf").unlink()
    assert len(read_vector(shapefile)) == 3
    assert "comes without its .dbf" in caplog.text


def cut(path, share):
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    return path


@pytest.mark.parametrize(
    ("suffix", "driver", "message"),
    [
        (".geojson", "GeoJSON", "cannot be read"),
        (".geojsonl", "GeoJSONSeq", "cut off in the middle of a row"),
        (".fgb", "FlatGeobuf", "cannot be read"),
        (".kml", "KML", "cannot be read"),
        (".gml", "GML", "is damaged|cannot be read"),
        (".gpkg", "GPKG", "cannot be read"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_format_loses_rows_in_silence(tmp_path, suffix, driver, message):
    many = [shapely.box(-57, -6 + i / 100, -56.99, -5.995 + i / 100) for i in range(50)]
    frame(*many).to_file(tmp_path / f"p{suffix}", driver=driver)
    refused(cut(tmp_path / f"p{suffix}", 0.637), message)


def test_parquet_is_read_whatever_gdal_can_do(tmp_path):
    columns = {"id": ["a", "b"], "name": ["x", "y"]}
    frame(A, B, **columns).to_parquet(tmp_path / "p.parquet", write_covering_bbox=True, schema_version="1.1.0")
    frame(A, B, **columns).to_feather(tmp_path / "p.feather")
    frame(A, B, **columns).to_crs("EPSG:32721").to_parquet(tmp_path / "utm.parquet")
    for name in ("p.parquet", "p.feather", "utm.parquet"):
        assert read_vector(tmp_path / name).columns.tolist() == ["id", "geometry"]
    for read in ("step 1", "reference", "panel", "combine"):
        assert READERS[read](tmp_path / "p.parquet") == 2
    frame(A).drop(columns="geometry").to_parquet(tmp_path / "table.parquet")
    refused(tmp_path / "table.parquet", "does not say where its geometries are")
    refused(cut(tmp_path / "p.parquet", 0.5), "cannot be read as Geoparquet")
    refused(tmp_path / "utm.parquet:x", "no layers to choose from")


def without_triggers(path):
    database = sqlite3.connect(path)
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f'DROP TRIGGER "{name}"')
    return closing(database)


def test_texts_that_nobody_needs_are_not_read(tmp_path, caplog):
    frame(A, B, id=[1, 2], name=["Jose", "Sao"]).to_file(tmp_path / "p.shp", encoding="UTF-8")
    table = tmp_path / "p.dbf"
    table.write_bytes(table.read_bytes().replace(b"Jose", b"Jos\xe9"))
    frame(A, B, id=[1, 2], name=["Jose", "Sao"]).to_file(tmp_path / "p.gpkg")
    with without_triggers(tmp_path / "p.gpkg") as database, database:
        database.execute("UPDATE p SET name = CAST(x'4a6f73e9' AS TEXT) WHERE id = 1")
    for read in ("step 1", "reference", "panel", "combine"):
        assert READERS[read](tmp_path / "p.shp") == 2
    assert len(read_vector(tmp_path / "p.gpkg")) == 2
    assert not caplog.records


def test_texts_that_are_needed_are_read_as_windows_wrote_them(tmp_path, caplog):
    frame(A, B, id=["Jose", "b"], Area=[1, 2]).to_file(tmp_path / "p.shp", encoding="UTF-8")
    table = tmp_path / "p.dbf"
    table.write_bytes(table.read_bytes().replace(b"Jose", b"Jos\xe9").replace(b"Area", b"\xc1rea"))
    assert read_vector(tmp_path / "p.shp")["id"].tolist() == ["José", "b"]
    assert "not in the encoding that it says" in caplog.text


@pytest.mark.parametrize(
    ("declared", "raw"),
    [
        ("UTF-8", "José".encode()),
        ("65001", "José".encode()),
        ("UTF-16", "José".encode()),
        ("UTF-16", b"Jos\xe9 "),
        ("OEM 850", b"Jos\x82 "),
        ("ANSI 1252", b"Jos\xe9 "),
        ("nonsense", b"Jos\xe9 "),
        (None, b"Jos\xe9 "),
    ],
)
def test_ids_of_a_shapefile_are_read_whatever_its_cpg_says(tmp_path, declared, raw):
    frame(A, B, id=["Jose!", "b"]).to_file(tmp_path / "p.shp", encoding="UTF-8")
    table, code_page = tmp_path / "p.dbf", tmp_path / "p.cpg"
    table.write_bytes(table.read_bytes().replace(b"Jose!", raw))
    code_page.unlink()
    if declared:
        code_page.write_text(declared)
    assert read_vector(tmp_path / "p.shp")["id"].tolist() == ["José", "b"]


def undefined(path):
    frame(A).to_file(path)
    with closing(sqlite3.connect(path)) as database, database:
        for table in ("gpkg_contents", "gpkg_geometry_columns"):
            database.execute(f"UPDATE {table} SET srs_id = -1 WHERE srs_id = 4326")


@pytest.mark.parametrize("read", ["step 1", "reference", "panel", "combine", "countries"])
def test_an_undefined_crs_is_refused_in_one_line(tmp_path, read):
    undefined(tmp_path / "p.gpkg")
    with pytest.raises(PipelineError, match="does not say where on Earth it is; assign the right one") as caught:
        READERS[read](tmp_path / "p.gpkg")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("crs", ['LOCAL_CS["mine grid",UNIT["metre",1]]', "EPSG:4978", "IAU_2015:30100"])
def test_a_crs_that_is_nowhere_on_earth_is_refused(tmp_path, crs):
    frame(A, crs=crs).to_file(tmp_path / "p.gpkg")
    refused(tmp_path / "p.gpkg", "does not say where on Earth it is; assign the right one")


@pytest.mark.parametrize(
    ("shape", "crs", "message"),
    [
        (
            shapely.box(700000, 9335000, 701000, 9336000),
            "EPSG:4326",
            "coordinates up to 9,336,000, which are no degrees",
        ),
        (A, "EPSG:3857", "coordinates within 180 and 90, which are degrees"),
        (shapely.box(-2, 113, -1.9, 113.1), "EPSG:4326", "latitudes and longitudes are swapped"),
    ],
)
def test_numbers_that_cannot_be_of_their_crs_are_refused(tmp_path, shape, crs, message):
    frame(shape, crs=crs).to_file(tmp_path / "p.gpkg")
    refused(tmp_path / "p.gpkg", message)


def test_tables_with_outlines_are_read_once_they_say_their_crs(tmp_path):
    (tmp_path / "p.csv").write_text(f'id,geometry\npit,"{A.wkt}"\n')
    refused(tmp_path / "p.csv", "does not say its CRS")
    refused(tmp_path / "p.csv:mines", "no layers to choose from")
    (tmp_path / "p.prj").write_text(frame(A).crs.to_wkt("WKT1_GDAL"))
    assert read_vector(tmp_path / "p.csv").geometry.tolist() == [A]


def test_a_ring_that_is_not_closed_does_not_cost_the_file(tmp_path):
    ring = list(A.exterior.coords)[:-1]
    text = f'{{"type": "Polygon", "coordinates": [{[list(point) for point in ring]}]}}'
    (tmp_path / "p.geojson").write_text(f'{{"type": "Feature", "properties": {{"id": 1}}, "geometry": {text}}}')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # GDAL speaks of it as well
        assert read_polygons(tmp_path / "p.geojson").all.geometry[0].equals(A)


def test_curves_are_read_as_areas(tmp_path):
    """A circle as a CURVEPOLYGON of one CIRCULARSTRING, which shapely does not know."""
    frame(A).to_file(tmp_path / "p.gpkg")
    ring = [(-57.0, -6.0), (-56.99, -5.99), (-56.98, -6.0), (-56.99, -6.01), (-57.0, -6.0)]
    arcs = struct.pack("<BII", 1, 8, len(ring)) + b"".join(struct.pack("<dd", *point) for point in ring)
    blob = struct.pack("<2sBBi", b"GP", 0, 1, 4326) + struct.pack("<BII", 1, 10, 1) + arcs
    with without_triggers(tmp_path / "p.gpkg") as database, database:
        database.execute("UPDATE p SET geom = ?", (blob,))
    found = read_polygons(tmp_path / "p.gpkg").all.geometry
    assert found.area.tolist() == pytest.approx([math.pi * 0.01**2], rel=1e-3)


def test_a_geopackage_that_qgis_has_open_is_read(tmp_path):
    frame(A, B).to_file(tmp_path / "p.gpkg")
    with closing(sqlite3.connect(tmp_path / "p.gpkg")) as database:
        database.execute("PRAGMA journal_mode = wal")
        assert len(read_vector(tmp_path / "p.gpkg")) == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_geojson_is_read_in_the_encodings_of_windows(tmp_path, encoding):
    frame(A, B).to_file(tmp_path / "p.geojson")
    (tmp_path / "p.geojson").write_bytes((tmp_path / "p.geojson").read_text().encode(encoding))
    assert read_polygons(tmp_path / "p.geojson").all["id"].tolist() == ["1", "2"]


def test_what_is_no_file_of_its_kind_is_called_so(tmp_path):
    for name, content, message in [
        ("p.gpkg", "", r"p.gpkg is empty \(0 bytes\)"),
        ("p.shp", "<html>please sign in</html>", "p.shp is no shapefile"),
        ("p.zip", "<html>please sign in</html>", "p.zip cannot be read as a vector file"),
        ("p.parquet", "<html>please sign in</html>", "p.parquet cannot be read as a vector file"),
        ("p.sql", "CREATE TABLE mines (id int, geom geometry);", "p.sql cannot be read as a vector file"),
    ]:
        (tmp_path / name).write_text(content)
        refused(tmp_path / name, message)
