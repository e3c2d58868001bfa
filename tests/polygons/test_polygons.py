"""Literature polygons as they come: any layout, any fault, nothing lost in silence."""

import json
import re
import sqlite3
import warnings
from contextlib import closing

import geopandas as gpd
import pytest
import shapely
from helpers.real_polygons import REAL_POLYGONS
from shapely import affinity

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import Grid
from segmentation.polygons.literature import read_polygons
from segmentation.windows.plan import plan_windows

PIT = shapely.box(10, 5, 10.02, 5.01)
DUMP = shapely.Point(-60, -10).buffer(0.01)
BOW_TIE = shapely.Polygon([(0, 0), (0.02, 0.02), (0.02, 0), (0, 0.02)])


def ids(polygons):
    return polygons.in_belt["id"].tolist()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32632", "ESRI:54009"])
def test_any_crs_is_understood(vector_file, crs):
    # Mollweide and UTM bend edges: a small polygon keeps its area to a few parts in a million.
    projected = gpd.GeoSeries([PIT], crs="EPSG:4326").to_crs(crs)
    found = read_polygons(vector_file(projected, crs=crs, id=[1]))
    assert found.all.crs == "EPSG:4326"
    assert found.all.geometry[0].symmetric_difference(PIT).area < 1e-5 * PIT.area


@pytest.mark.parametrize("name", ["p.gpkg", "p.geojson", "p.shp", "p.fgb"])
def test_any_vector_format_is_understood(vector_file, name):
    found = read_polygons(vector_file([PIT, DUMP], name, id=["pit", "dump"]))
    assert sorted(ids(found)) == ["dump", "pit"]
    assert found.account.read == 2
    assert not found.account.dropped


def test_other_columns_and_another_name_of_the_geometry_do_not_matter(tmp_path):
    frame = gpd.GeoDataFrame({"ISO3_CODE": ["CMR"], "outline": [PIT], "id": [7], "area": [1.5]}, geometry="outline")
    frame.set_crs("EPSG:4326").to_file(tmp_path / "p.gpkg")
    found = read_polygons(tmp_path / "p.gpkg")
    assert list(found.all.columns) == ["id", "geometry"]
    assert ids(found) == ["7"]


def test_without_ids_polygons_are_numbered_from_one(vector_file):
    found = read_polygons(vector_file([PIT, DUMP], country=["CMR", "BRA"]))
    assert ids(found) == ["1", "2"]
    assert found.in_belt.geometry[0].equals(PIT)


@pytest.mark.parametrize(("given", "expected"), [([3.0, 12.0], ["3", "12"]), (["a-1", "B_2.x"], ["a-1", "B_2.x"])])
def test_ids_keep_their_text_and_whole_numbers_lose_their_point(vector_file, given, expected):
    assert sorted(ids(read_polygons(vector_file([PIT, DUMP], id=given)))) == sorted(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([5, 5], "id '5' occurs more than once"),
        (["a", "A"], "id 'A' occurs more than once"),
        (["", "c"], "1 rows have no 'id'"),
        ([None, "c"], "1 rows have no 'id'"),
        ([1.0, None], "1 rows have no 'id'"),
    ],
)
def test_ids_that_do_not_tell_polygons_apart_are_refused(vector_file, given, message):
    with pytest.raises(PipelineError, match=message) as refused:
        read_polygons(vector_file([PIT, DUMP], id=given))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["way/101", "way/102"], ["way-101", "way-102"]),
        (["mine 1", "São João"], ["mine-1", "Sao-Joao"]),
        (["{6F9619FF-8B86}", "b"], ["b", "6F9619FF-8B86"]),
        (["..", "c"], ["c", "id-5ec1f7e7"]),
        (["矿", "c"], ["c", "id-9caac202"]),
    ],
)
def test_names_are_made_of_ids_that_cannot_name_files(vector_file, caplog, given, names):
    assert ids(read_polygons(vector_file([PIT, DUMP], id=given))) == names
    changed = next(text for text in given if text not in names)
    assert f"{changed!r} is " in caplog.text


def test_names_that_are_made_stay_apart_and_fit_any_file_system(vector_file, caplog):
    shapes = [affinity.translate(PIT, i / 10) for i in range(5)]
    given = ["a/b", "a b", "a-b", "A:B", "m" * 300]
    found = ids(read_polygons(vector_file(shapes, id=given)))
    assert "a-b" in found, "an id that can name a file keeps it"
    assert len({name.lower() for name in found}) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name) for name in found)
    assert "4 ids cannot name files" in caplog.text
    again = vector_file(shapes[::-1], "b.gpkg", id=given[::-1])
    assert ids(read_polygons(again)) == found, "names do not depend on the order of the rows"


def test_a_format_that_has_ids_but_none_given_is_numbered_and_said(tmp_path, caplog):
    gpd.GeoDataFrame({"Name": ["pit", "dump"]}, geometry=[PIT, DUMP], crs="EPSG:4326").to_file(
        tmp_path / "p.kml", driver="LIBKML"
    )
    text = (tmp_path / "p.kml").read_text()
    (tmp_path / "p.kml").write_text(re.sub(r'<Placemark id="[^"]*">', "<Placemark>", text))
    assert ids(read_polygons(tmp_path / "p.kml")) == ["1", "2"]
    assert "p.kml has no ids: its polygons are numbered" in caplog.text


def swapped(*shapes):
    return [shapely.transform(shape, lambda xy: xy[:, ::-1]) for shape in shapes]


IN_BRAZIL, IN_GHANA, IN_CAMEROON = (
    shapely.box(-44.1, -20.1, -44.0, -20.0),
    shapely.box(-2, 6, -1.9, 6.1),
    shapely.box(14, 7, 14.1, 7.1),
)


def test_swapped_latitudes_and_longitudes_are_said(vector_file, caplog):
    found = read_polygons(vector_file(swapped(IN_BRAZIL, IN_GHANA), id=[1, 2]))
    assert found.account.dropped == {"outside 30 N to 30 S": 1}
    assert "latitudes and longitudes swapped" in caplog.text


@pytest.mark.parametrize("shapes", [(IN_BRAZIL, IN_GHANA), (IN_CAMEROON,), (IN_GHANA, DUMP)])
def test_polygons_that_are_where_they_say_are_not_called_swapped(vector_file, caplog, shapes):
    # Cameroon's coordinates, swapped, are land in the belt as well: nobody can tell.
    read_polygons(vector_file(shapes, id=range(len(shapes))))
    assert not caplog.records


def not_a_vector(folder):
    (folder / "p.gpkg").write_text("<html>please log in</html>")
    return folder / "p.gpkg"


def truncated(folder):
    frame = gpd.GeoDataFrame({"id": range(3000)}, geometry=[PIT] * 3000, crs="EPSG:4326")
    frame.to_file(folder / "p.gpkg")
    whole = (folder / "p.gpkg").read_bytes()
    (folder / "p.gpkg").write_bytes(whole[: len(whole) // 2])
    return folder / "p.gpkg"


def no_layer(folder):
    (folder / "p.csv").write_text("id,name\n1,pit\n")
    return folder / "p.csv"


def empty(folder):
    gpd.GeoDataFrame({"id": []}, geometry=[], crs="EPSG:4326").to_file(folder / "p.gpkg")
    return folder / "p.gpkg"


def points(folder):
    gpd.GeoDataFrame({"id": [1]}, geometry=[shapely.Point(0, 0)], crs="EPSG:4326").to_file(folder / "p.gpkg")
    return folder / "p.gpkg"


def no_crs(folder):
    (folder / "p.csv").write_text(f'id,WKT\n1,"{PIT.wkt}"\n')
    return folder / "p.csv"


def northern(folder):
    gpd.GeoDataFrame({"id": [1]}, geometry=[shapely.box(20, 60, 20.1, 60.1)], crs="EPSG:4326").to_file(
        folder / "p.gpkg"
    )
    return folder / "p.gpkg"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere.gpkg", "no polygons at .*nowhere.gpkg.*--polygons"),
        (lambda folder: folder, "cannot be read|holds no"),
        (not_a_vector, "cannot be read as a vector file"),
        (truncated, "cannot be read"),
        (no_layer, "holds no polygon"),
        (empty, "holds no polygon"),
        (points, "holds no polygon"),
        (no_crs, "does not say its CRS"),
        (northern, "no polygon between 30 N and 30 S"),
    ],
)
def test_a_file_that_cannot_serve_is_refused_in_one_line(tmp_path, make, message):
    with pytest.raises(PipelineError, match=message) as refused:
        read_polygons(make(tmp_path))
    assert "\n" not in str(refused.value)


def test_self_intersections_are_mended_and_counted(vector_file):
    found = read_polygons(vector_file([BOW_TIE, PIT], id=[1, 2]))
    assert found.account.repaired == 1
    assert found.all.geometry.is_valid.all()
    assert found.all.geometry[0].area == pytest.approx(2 * 0.01 * 0.02 / 2)


def test_mending_leaves_sound_polygons_as_they_are(vector_file):
    donut = shapely.Polygon(PIT.exterior.coords, [[(10.005, 5.002), (10.01, 5.002), (10.01, 5.008), (10.005, 5.002)]])
    found = read_polygons(vector_file([donut, BOW_TIE], id=[1, 2]))
    assert found.all.geometry[0].equals_exact(donut)


def test_multipolygons_heights_and_collections_come_through_as_flat_areas(tmp_path):
    both = shapely.MultiPolygon([PIT, affinity.translate(PIT, 0.1)])
    mixed = shapely.GeometryCollection(
        [shapely.Point(1, 1), shapely.MultiPolygon([DUMP]), shapely.LineString([(0, 0), (1, 1)])]
    )
    features = [
        {"type": "Feature", "properties": {"id": i}, "geometry": shapely.geometry.mapping(geometry)}
        for i, geometry in enumerate([both, shapely.force_3d(PIT, 800.0), mixed])
    ]
    (tmp_path / "p.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = read_polygons(tmp_path / "p.geojson").all.geometry
    assert found.geom_type.tolist() == ["MultiPolygon", "Polygon", "Polygon"]
    assert not found.has_z.any()
    assert [found[0].equals(both), found[1].equals(PIT), found[2].equals_exact(DUMP, 1e-9)] == [True] * 3


def test_what_is_left_out_is_counted_with_its_reason(vector_file):
    north = shapely.box(10, 40, 10.1, 40.1)
    wrapped = shapely.MultiPolygon([shapely.box(179.9, -16, 180, -15.9), shapely.box(-180, -16, -179.9, -15.9)])
    line = shapely.LineString([(0, 0), (1, 1)])
    everything = [PIT, north, wrapped, line, None, shapely.Polygon()]
    found = read_polygons(vector_file(everything, "p.geojson", id=range(6)))
    assert found.account.dropped == {
        "no geometry": 2,
        "not a polygon": 1,
        "on both sides of the antimeridian": 1,
        "outside 30 N to 30 S": 1,
    }
    assert found.account.read == len(everything) == len(found.in_belt) + sum(found.account.dropped.values())
    assert found.all["id"].tolist() == ["0", "1"], "a northern mine may still lie in a window at the belt's edge"


def test_the_belt_ends_at_thirty_degrees(vector_file):
    edge = [shapely.box(0, lat, 0.01, lat + 0.01) for lat in (29.98, 30.01, -30.0, -30.03)]
    assert ids(read_polygons(vector_file(edge, id=["n-in", "n-out", "s-in", "s-out"]))) == ["n-in", "s-in"]


def test_single_rows_in_metres_are_left_out_and_named(vector_file):
    found = read_polygons(vector_file([PIT, DUMP, shapely.box(7e5, 9e6, 7.1e5, 9.1e6)], id=[1, 2, 3]))
    assert found.account.dropped == {"coordinates that are no degrees": 1}


def test_longitudes_counted_to_360_are_planned_where_they_are(vector_file):
    """South America counted eastwards from Greenwich: 300 E is 60 W, not the antimeridian."""
    found = read_polygons(vector_file([shapely.box(lon, -10, lon + 0.01, -9.99) for lon in (-60, 300)], id=["w", "e"]))
    plan = plan_windows(found.in_belt, Grid())
    assert len(plan) == 2
    assert plan["col"].nunique() == plan["row"].nunique() == 1


def test_the_fingerprint_knows_polygons_whatever_their_order_and_format(vector_file):
    hole = shapely.Polygon(PIT.exterior.coords, [[(10.005, 5.002), (10.01, 5.002), (10.01, 5.008), (10.005, 5.002)]])
    square = shapely.box(-60, -10, -59.5, -9.5)
    prints = {
        read_polygons(vector_file([hole, square], "a.gpkg", id=[9, 10])).fingerprint,
        read_polygons(vector_file([square, hole], "b.gpkg", id=[10, 9], country=["s", "h"])).fingerprint,
        read_polygons(vector_file([hole, square], "c.geojson", id=["9", "10"])).fingerprint,
        read_polygons(vector_file([hole, square], "d.shp", id=[9, 10])).fingerprint,
    }
    assert len(prints) == 1


@pytest.mark.parametrize("changed", [{"id": [9, 11]}, {"moved": 0.001}])
def test_the_fingerprint_sees_another_id_and_a_moved_polygon(vector_file, changed):
    before = read_polygons(vector_file([PIT, DUMP], "a.gpkg", id=[9, 10])).fingerprint
    other = affinity.translate(DUMP, changed.get("moved", 0.0))
    after = read_polygons(vector_file([PIT, other], "b.gpkg", id=changed.get("id", [9, 10]))).fingerprint
    assert before != after


def test_numbers_are_ordered_as_numbers(vector_file):
    parts = [affinity.translate(PIT, i / 10) for i in range(3)]
    assert ids(read_polygons(vector_file(parts, id=[100, 20, 3]))) == ["3", "20", "100"]


def test_reading_warns_of_nothing(vector_file):
    path = vector_file([PIT, BOW_TIE], id=[1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_polygons(path)


@pytest.mark.skipif(not REAL_POLYGONS.exists(), reason="the study's 100 demo polygons are not here")
def test_the_studys_demo_polygons_all_come_through():
    found = read_polygons(REAL_POLYGONS)
    with closing(sqlite3.connect(REAL_POLYGONS)) as file:
        table = file.execute("SELECT table_name FROM gpkg_contents").fetchone()[0]
        in_file = {str(row[0]) for row in file.execute(f'SELECT id FROM "{table}"')}
    assert len(in_file) == found.account.read == len(found.in_belt) == 100
    assert set(ids(found)) == in_file
    assert not found.account.dropped
