"""GeoPackages, reopened with pyogrio and with plain SQLite."""

import sqlite3
from contextlib import closing

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from segmentation.core.errors import PipelineError
from segmentation.geo.encoding import encode
from segmentation.geo.geopackage import Layer, read_metadata, write_geopackage
from segmentation.predict.outlines.attributes import attribute_polygons


@pytest.fixture
def mines():
    countries = gpd.GeoDataFrame(
        {"iso_a3": ["WST"], "country_name": ["Wést"]}, geometry=[shapely.box(0, 0, 10, 10)], crs="EPSG:4326"
    )
    polygons = gpd.GeoDataFrame(
        {"mean_probability": [0.6, 0.75]},
        geometry=[shapely.box(1, 1, 1.1, 1.1), shapely.union(shapely.box(2, 2, 3, 3), shapely.box(4, 4, 5, 5))],
        crs="EPSG:4326",
    )
    return attribute_polygons(polygons, 2019, countries)


@pytest.fixture
def windows():
    return gpd.GeoDataFrame(
        {
            "split": ["train", None],
            "written": [True, False],
            "n_quads": pd.array([1, None], dtype="Int64"),
            "share": [0.5, np.nan],
        },
        geometry=[shapely.box(0, 0, 512, 512), shapely.box(0, 0, 1024, 1024)],
        crs="EPSG:3857",
    )


def query(path, sql):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchall()


def test_everything_comes_back(tmp_path, mines, windows):
    path = tmp_path / "gpkg" / "mines.gpkg"
    write_geopackage(
        path,
        [Layer("mining_polygons", mines, style="mining_polygons"), Layer("windows", windows, "Polygon")],
        {"model": "segformer", "mosaics": "a, b"},
    )
    assert [name for name, kind in pyogrio.list_layers(path) if kind] == ["mining_polygons", "windows"]
    again = gpd.read_file(path, layer="mining_polygons")
    assert again.crs == "EPSG:4326"
    assert list(again.columns) == list(mines.columns)
    assert again["country_name"].tolist() == ["Wést", "Wést"]
    assert shapely.equals(again.geometry, mines.geometry).all()
    info = pyogrio.read_info(path, layer="mining_polygons")
    assert info["geometry_type"] == "MultiPolygon"
    assert dict(zip(info["fields"], info["dtypes"], strict=True))["valid_to"] == "datetime64[D]"
    assert pyogrio.read_info(path, layer="windows")["geometry_type"] == "Polygon"
    assert read_metadata(path) == {"model": "segformer", "mosaics": "a, b"}
    assert [file.name for file in path.parent.iterdir()] == ["mines.gpkg"]


def test_nulls_and_types_survive(tmp_path, windows):
    path = tmp_path / "windows.gpkg"
    write_geopackage(path, [Layer("windows", windows, "Polygon")])
    assert query(path, "SELECT split, written, n_quads, share FROM windows") == [
        ("train", 1, 1, 0.5),
        (None, 0, None, None),
    ]
    assert gpd.read_file(path)["written"].dtype == bool
    assert read_metadata(path) == {}


def test_it_is_a_geopackage_to_sqlite(tmp_path, mines):
    path = tmp_path / "mines.gpkg"
    write_geopackage(path, [Layer("mining_polygons", mines, style="mining_polygons")])
    assert query(path, "PRAGMA journal_mode") == [("delete",)]
    assert query(path, "PRAGMA application_id") == [(int.from_bytes(b"GPKG", "big"),)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA foreign_key_check") == []
    assert query(path, "SELECT table_name, data_type FROM gpkg_contents") == [
        ("mining_polygons", "features"),
        ("layer_styles", "attributes"),
    ]
    assert query(path, "SELECT geometry_type_name, z, m FROM gpkg_geometry_columns") == [("MULTIPOLYGON", 0, 0)]
    assert query(path, "SELECT valid_from, valid_to FROM mining_polygons LIMIT 1") == [("2019-01-01", "2019-12-31")]


def test_the_style_lies_where_qgis_looks_for_it(tmp_path, mines):
    path = tmp_path / "mines.gpkg"
    write_geopackage(path, [Layer("mining_polygons", mines, style="mining_polygons"), Layer("plain", mines)])
    columns = [row[1] for row in query(path, "PRAGMA table_info(layer_styles)")]
    expected = """id f_table_catalog f_table_schema f_table_name f_geometry_column styleName styleQML styleSLD
                  useAsDefault description owner ui update_time"""
    assert columns == expected.split()
    ((catalog, schema, table, column, default, qml),) = query(
        path,
        "SELECT f_table_catalog, f_table_schema, f_table_name, f_geometry_column, useAsDefault, styleQML "
        "FROM layer_styles",
    )
    assert (catalog, schema, table, column, default) == ("", "", "mining_polygons", "geom", 1)
    assert qml.startswith("<!DOCTYPE qgis")


def test_the_same_input_gives_the_same_bytes(tmp_path, mines, windows):
    layers = [Layer("mining_polygons", mines, style="mining_polygons"), Layer("windows", windows, "Polygon")]
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    first, second = tmp_path / "first.gpkg", tmp_path / "second.gpkg"
    write_geopackage(first, layers, {"a": "1", "b": "2"})
    write_geopackage(second, layers, {"b": "2", "a": "1"})
    assert first.read_bytes() == second.read_bytes()
    write_geopackage(first, layers, {"a": "1", "b": "2"})
    assert first.read_bytes() == second.read_bytes()
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") == before


def test_a_year_without_a_mine_is_a_valid_empty_layer(tmp_path, mines):
    path = tmp_path / "empty.gpkg"
    write_geopackage(path, [Layer("mining_polygons", mines.iloc[:0], style="mining_polygons")], {"year": "2019"})
    empty, full = pyogrio.read_info(path, layer="mining_polygons"), tmp_path / "full.gpkg"
    write_geopackage(full, [Layer("mining_polygons", mines)])
    assert empty["features"] == 0
    assert empty["geometry_type"] == "MultiPolygon"
    assert empty["crs"] == "EPSG:4326"
    assert list(empty["dtypes"]) == list(pyogrio.read_info(full)["dtypes"])
    assert len(gpd.read_file(path, layer="mining_polygons")) == 0


def test_a_write_ahead_log_of_the_file_before_is_not_replayed(tmp_path, mines):
    path = tmp_path / "mines.gpkg"
    write_geopackage(path, [Layer("mining_polygons", mines)], {"run": "1"})
    with closing(sqlite3.connect(path)) as viewer:
        viewer.execute("PRAGMA journal_mode = wal")
        viewer.execute("CREATE TABLE scribble (x)")
        assert path.with_name("mines.gpkg-wal").exists()
        write_geopackage(path, [Layer("mining_polygons", mines)], {"run": "2"})
        assert query(path, "SELECT count(*) FROM sqlite_master WHERE name = 'scribble'") == [(0,)]
        assert read_metadata(path) == {"run": "2"}


def test_a_failed_write_leaves_what_was_there(tmp_path, mines):
    path = tmp_path / "mines.gpkg"
    write_geopackage(path, [Layer("mining_polygons", mines)])
    before = path.read_bytes()
    with pytest.raises(FileNotFoundError):
        write_geopackage(path, [Layer("mining_polygons", mines, style="no such style")])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_encoded_rows_come_back_from_their_file_which_is_gone_then(tmp_path, mines):
    stored = encode(mines).store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [stored.path.name]
    write_geopackage(tmp_path / "stored.gpkg", [Layer("mining_polygons", stored.take())])
    write_geopackage(tmp_path / "plain.gpkg", [Layer("mining_polygons", mines)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.gpkg", "stored.gpkg"]
    assert (tmp_path / "stored.gpkg").read_bytes() == (tmp_path / "plain.gpkg").read_bytes()


def test_rows_that_cannot_be_stored_say_where(tmp_path, mines):
    with pytest.raises(PipelineError, match="cannot write to .*absent: No such file"):
        encode(mines).store(tmp_path / "absent")


def test_a_layer_may_have_no_attributes(tmp_path, mines):
    path = tmp_path / "bare.gpkg"
    write_geopackage(path, [Layer("bare", mines[["geometry"]])])
    assert len(gpd.read_file(path)) == 2


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(PipelineError, match=r"absent\.gpkg"):
        read_metadata(tmp_path / "absent.gpkg")
