"""The union of two published files: what merges, what does not, and what is known of each row afterwards."""

import subprocess
import sys
from argparse import Namespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from helpers.real_polygons import REAL_POLYGONS
from pyproj import Geod
from shapely import affinity

from segmentation.core import cli
from segmentation.core.errors import PipelineError
from segmentation.core.workspace import REPOSITORY, Workspace
from segmentation.geo.areas import area_m2
from segmentation.geo.countries import read_countries
from segmentation.geo.geopackage import read_metadata
from segmentation.geo.grid import Grid
from segmentation.polygons.__main__ import main
from segmentation.polygons.combine import BOTH, COLUMNS, MAUS, TANG_WERNER, combine, read_published
from segmentation.polygons.literature import read_polygons
from segmentation.windows.plan import plan_windows


def square(x, y, side=0.01):
    """A mine in Cameroon, hundredths of a degree east and north of 13 E, 5 N."""
    return shapely.box(13 + x / 100, 5 + y / 100, 13 + x / 100 + side, 5 + y / 100 + side)


def blobs(rng, n, spread_deg=2.0, radius_deg=0.004):
    """Irregular mines on the Amazon, many of them overlapping."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    centre = rng.uniform(-spread_deg, spread_deg, (n, 1, 2)) + (-58, -6)
    radius = radius_deg * rng.uniform(0.4, 1, (n, 24))
    return shapely.polygons(centre + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1))


@pytest.fixture(scope="module")
def countries():
    return read_countries()


@pytest.fixture
def united(vector_file, countries):
    """Unites two lists of geometries, each written to a file first: ``united([pit], [dump], name=..., crs=...)``."""

    def unite(maus, tang_werner, name="{}.gpkg", **how):
        files = [vector_file(shapes, name.format(i), **how) for i, shapes in enumerate((maus, tang_werner))]
        return combine(read_published(files[0], MAUS), read_published(files[1], TANG_WERNER), countries)

    return unite


def command(maus, tang_werner, output, **changed):
    options = {"data_root": None, "countries": None, "force": False, "verbose": False} | changed
    return main(Namespace(maus=maus, tang_werner=tang_werner, output=output, **options))


FAR = square(500, 0)


@pytest.mark.parametrize(
    ("maus", "tang_werner", "source", "counts"),
    [
        ([square(0, 0)], [FAR], MAUS, (1, 0)),
        ([FAR], [square(0, 0)], TANG_WERNER, (0, 1)),
        ([square(0, 0), FAR], [square(0.5, 0.5)], BOTH, (1, 1)),
        ([square(0, 0), FAR], [square(0, 0)], BOTH, (1, 1)),
        ([square(0, 0), square(0.5, 0)], [FAR], MAUS, (2, 0)),
        ([square(0, 0, 0.05)], [square(1, 1), square(3, 3), FAR], BOTH, (1, 2)),
        ([square(0, 0), square(1.6, 0)], [square(0.8, 0), square(2.4, 0), FAR], BOTH, (2, 2)),
    ],
    ids=["maus alone", "tang alone", "overlap", "same outline", "within one file", "enclosed", "chain"],
)
def test_what_overlaps_becomes_one_row_that_knows_its_sources(united, maus, tang_werner, source, counts):
    table = united(maus, tang_werner)
    assert len(table) == 2
    row = table.iloc[0]  # the other one lies in the east
    assert (row["source"], row["n_maus"], row["n_tang_werner"]) == (source, *counts)
    expected = shapely.union_all([shape for shape in [*maus, *tang_werner] if shape is not FAR])
    assert row.geometry.equals(expected)


def test_a_long_chain_of_overlaps_is_one_polygon(united):
    links = [square(0.8 * i, 0) for i in range(60)]
    table = united(links[::2], links[1::2])
    assert table[["n_maus", "n_tang_werner"]].to_numpy().tolist() == [[30, 30]]
    assert table.geometry[0].geom_type == "Polygon"


@pytest.mark.parametrize("neighbour", [square(1, 0), square(1, 1), square(1, 0.5)], ids=["edge", "corner", "half"])
def test_polygons_that_merely_touch_stay_apart(united, neighbour):
    table = united([square(0, 0)], [neighbour])
    assert sorted(table["source"]) == [MAUS, TANG_WERNER]


def test_the_smallest_overlap_counts(united):
    assert len(united([square(0, 0)], [square(0.999999, 0)])) == 1


def test_holes_stay_and_a_mine_in_a_hole_is_its_own(united):
    ring = square(0, 0, 0.05).difference(square(1, 1, 0.03))
    table = united([ring], [square(2, 2)])
    assert sorted(table["source"]) == [MAUS, TANG_WERNER]
    assert table.loc[table["source"] == MAUS, "geometry"].item().equals(ring)


def test_a_polygon_over_a_hole_fills_its_part_of_it(united):
    ring = square(0, 0, 0.05).difference(square(1, 1, 0.03))
    lid = square(0.5, 0.5, 0.02)
    (merged,) = united([ring], [lid]).geometry
    assert len(merged.interiors) == 1
    assert merged.equals(ring.union(lid))


def test_rows_are_connected_parts_of_multipolygons_are_apart(united):
    both = shapely.MultiPolygon([square(0, 0), square(3, 0)])
    table = united([both], [square(3.5, 0.5), square(9, 9)])
    assert table[["source", "n_maus", "n_tang_werner"]].to_numpy().tolist() == [
        [TANG_WERNER, 0, 1],
        [BOTH, 1, 1],
        [MAUS, 1, 0],
    ]
    assert set(table.geom_type) == {"Polygon"}


def test_two_parts_of_one_row_count_once_where_another_polygon_joins_them(united):
    table = united([shapely.MultiPolygon([square(0, 0), square(2, 0)])], [square(0.5, 0.2, 0.02)])
    assert table[["source", "n_maus", "n_tang_werner"]].to_numpy().tolist() == [[BOTH, 1, 1]]


def test_no_area_is_lost_or_counted_twice(united, rng):
    maus, tang_werner = blobs(rng, 400, 0.1), blobs(rng, 600, 0.1, 0.002)
    table = united(maus, tang_werner)
    whole = gpd.GeoSeries([shapely.union_all([*maus, *tang_werner])], crs="EPSG:4326")
    assert len(table) < 700
    np.testing.assert_allclose(table["area"].sum(), area_m2(whole)[0], rtol=1e-9)
    np.testing.assert_allclose(table["area"], area_m2(table.geometry), rtol=1e-12)
    assert (table["n_maus"].sum(), table["n_tang_werner"].sum()) == (400, 600)
    assert table.geometry.is_valid.all()


def test_area_is_in_square_metres(united):
    table = united([square(0, 0)], [FAR])
    geodesic, _ = Geod(ellps="WGS84").geometry_area_perimeter(square(0, 0))
    np.testing.assert_allclose(table["area"], abs(geodesic), rtol=1e-5)


def test_rows_carry_country_and_running_number_from_north_to_south_and_west_to_east(united):
    brazil = shapely.box(-58, -6, -57.9, -5.9)
    ocean = shapely.box(-30, -6, -29.9, -5.9)
    table = united([ocean, square(0, 0)], [brazil, square(3, 0)])
    assert tuple(table.columns) == COLUMNS
    assert table["id"].tolist() == [1, 2, 3, 4]
    assert table["ISO3_CODE"].tolist() == ["CMR", "CMR", "BRA", ""]
    assert table["COUNTRY_NAME"].tolist() == ["Cameroon", "Cameroon", "Brazil", ""]
    assert table["source"].tolist() == [MAUS, TANG_WERNER, TANG_WERNER, MAUS]
    assert table.crs == "EPSG:4326"


def test_the_file_does_not_depend_on_the_order_of_the_rows(tmp_path, rng, capsys):
    shapes = blobs(rng, 300, 0.1), blobs(rng, 500, 0.1)
    written = []
    for folder in ("as they come", "shuffled"):
        (tmp_path / folder).mkdir()
        files = [tmp_path / folder / name for name in ("maus.gpkg", "tang.gpkg")]
        for file, polygons in zip(files, shapes, strict=True):
            order = rng.permutation(len(polygons)) if folder == "shuffled" else slice(None)
            gpd.GeoSeries(polygons[order], crs="EPSG:4326").to_file(file)
        command(*files, tmp_path / folder / "out.gpkg")
        written.append((tmp_path / folder / "out.gpkg").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("name", ["{}.shp", "{}.fgb", "{}.geojson", "{}.gml"])
def test_the_result_does_not_depend_on_the_format(united, rng, name):
    shapes = blobs(rng, 60, 0.05), blobs(rng, 60, 0.05)
    assert_same(united(*shapes), united(*shapes, name=name))


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32721", "ESRI:54009"])
def test_the_result_does_not_depend_on_the_crs(united, rng, crs):
    shapes = [gpd.GeoSeries(blobs(rng, 60, 0.05), crs="EPSG:4326") for _ in range(2)]
    assert_same(united(*shapes), united(*(part.to_crs(crs) for part in shapes), name="p{}.gpkg", crs=crs))


def assert_same(one, other):
    facts = ["ISO3_CODE", "COUNTRY_NAME", "id", "source", "n_maus", "n_tang_werner"]
    assert one[facts].equals(other[facts])
    np.testing.assert_allclose(one["area"], other["area"], rtol=1e-6)
    difference = shapely.symmetric_difference(one.geometry.values, other.geometry.values)
    assert (shapely.area(difference) < 1e-6 * shapely.area(one.geometry.values)).all()


def test_columns_of_the_files_do_not_matter(tmp_path, countries):
    maus = gpd.GeoDataFrame(
        {"ISO3_CODE": ["CMR"] * 2, "id": [5, 5], "AREA": [1.2, 1.2], "outline": [square(0, 0), FAR]}
    )
    maus.set_geometry("outline", crs="EPSG:4326").to_file(tmp_path / "m.gpkg")
    tang = gpd.GeoDataFrame({"id": ["a/b"], "source": ["x"]}, geometry=[square(0.5, 0)], crs="EPSG:4326")
    tang.to_file(tmp_path / "t.shp")
    table = combine(
        read_published(tmp_path / "m.gpkg", MAUS), read_published(tmp_path / "t.shp", TANG_WERNER), countries
    )
    assert tuple(table.columns) == COLUMNS
    assert table["source"].tolist() == [BOTH, MAUS]


def test_faulty_geometries_are_mended_and_counted(tmp_path, vector_file, capsys):
    bow_tie = shapely.Polygon([(13, 5), (13.02, 5.02), (13.02, 5), (13, 5.02)])
    odd = [
        shapely.force_3d(square(10, 10), 800.0),
        bow_tie,
        None,
        shapely.Polygon(),
        shapely.LineString([(13, 5), (14, 6)]),
        shapely.GeometryCollection([shapely.Point(13, 5), square(20, 20)]),
    ]
    files = vector_file(odd, "odd.geojson"), vector_file([FAR], "far.gpkg")
    command(*files, tmp_path / "out.gpkg")
    found = read_polygons(tmp_path / "out.gpkg").all.geometry
    assert len(found) == 4, "the two triangles of the bow tie touch: they are one row"
    assert found.is_valid.all()
    assert not found.has_z.any()
    assert (found.geom_type == "MultiPolygon").any()
    printed = said(capsys)
    assert printed["polygons read"] == ["6", "1"]
    assert printed["geometries repaired"] == ["1", "0"]
    assert (printed["dropped: no geometry"], printed["dropped: not a polygon"]) == (["2"], ["1"])


def said(capsys):
    """The printed table: a list of figures by label."""
    figures = {}
    for line in capsys.readouterr().out.splitlines():
        label, *rest = line.strip().rsplit("  ", 1) if "km2" not in line else (line[:44].strip(), line[44:].split()[0])
        figures.setdefault(label.strip(), []).extend(value.strip() for value in rest)
    return figures


def test_specks_that_mending_leaves_stay_with_their_polygon(united):
    curl = shapely.Polygon([(13, 5), (13.02, 5), (13.02, 5.01), (13.0199, 5.0101), (13.02, 5.0101), (13, 5.009)])
    assert not curl.is_valid
    table = united([curl], [FAR])
    assert len(table) == 2
    np.testing.assert_allclose(table.geometry[0].area, shapely.make_valid(curl).area)


def test_an_outline_that_crosses_itself_only_in_degrees_is_mended(tmp_path, vector_file, capsys):
    """Only vertices are projected: the bay's head, just short of the far edge in UTM, lies beyond it in degrees."""
    inland = shapely.Polygon(
        [
            (250e3, 9e6),
            (250e3, 9.01e6),
            (299e3, 9.01e6),
            (300e3, 9e6 + 1),
            (301e3, 9.01e6),
            (350e3, 9.01e6),
            (350e3, 9e6),
        ]
    )
    assert inland.is_valid
    assert not gpd.GeoSeries([inland], crs="EPSG:32721").to_crs("EPSG:4326").is_valid.all()
    command(vector_file([inland], "utm.gpkg", crs="EPSG:32721"), vector_file([FAR], "far.gpkg"), tmp_path / "out.gpkg")
    assert read_polygons(tmp_path / "out.gpkg").account.repaired == 0
    assert said(capsys)["geometries repaired"] == ["1", "0"]


def test_a_mine_cut_at_the_antimeridian_is_a_row_on_either_side(tmp_path, vector_file, capsys):
    cut = shapely.MultiPolygon([shapely.box(179.9, -16, 180, -15.9), shapely.box(-180, -16, -179.9, -15.9)])
    around = shapely.Polygon([(179.9, -17), (-179.9, -17), (-179.9, -16.9), (179.9, -16.9)])
    command(vector_file([cut, around], "fiji.gpkg"), vector_file([FAR], "far.gpkg"), tmp_path / "out.gpkg")
    found = read_polygons(tmp_path / "out.gpkg")
    assert found.in_belt.bounds["minx"].round(6).tolist() == [18.0, -180.0, 179.9]
    assert said(capsys)["dropped: on both sides of the antimeridian"] == ["1"]


def test_step_1_takes_the_file_as_it_is(tmp_path, vector_file, rng):
    files = vector_file(blobs(rng, 200), "maus.shp"), vector_file(blobs(rng, 300), "tang.fgb")
    command(*files, None, data_root=tmp_path / "data")
    found = read_polygons(Workspace(tmp_path / "data").polygons)
    table = gpd.read_file(Workspace(tmp_path / "data").polygons)
    assert (
        found.in_belt["id"].tolist() == [str(i) for i in range(1, len(table) + 1)] == table["id"].astype(str).tolist()
    )
    assert not found.account.dropped
    assert found.account.repaired == 0
    plan = plan_windows(found.in_belt, Grid())
    assert len(plan) == len(table) == plan["id"].nunique()


def test_the_file_says_what_it_is_made_from(tmp_path, vector_file):
    files = vector_file([square(0, 0), FAR], "m_v2.gpkg"), vector_file([square(0, 0)], "t_w.shp")
    command(*files, tmp_path / "out.gpkg")
    told = read_metadata(tmp_path / "out.gpkg")
    assert told["maus"] == "m_v2.gpkg: 2 of 2 polygons"
    assert told["tang_werner"] == "t_w.shp: 1 of 1 polygons"
    assert told["polygons"] == "2"
    assert told["licence"] == "CC BY-SA 4.0"
    assert "Maus" in told["citation"]
    assert "Werner" in told["citation"]
    assert str(tmp_path) not in "".join(told.values())


def test_two_layers_of_one_file_are_united(tmp_path):
    path = tmp_path / "both.gpkg"
    for layer, shapes in {"maus": [square(0, 0), FAR], "tang": [square(0.5, 0)]}.items():
        gpd.GeoDataFrame(geometry=shapes, crs="EPSG:4326").to_file(path, layer=layer)
    assert command(f"{path}:maus", f"{path}:tang", tmp_path / "out.gpkg") == cli.DONE
    assert sorted(gpd.read_file(tmp_path / "out.gpkg")["source"]) == [BOTH, MAUS]
    told = read_metadata(tmp_path / "out.gpkg")
    assert (told["maus"], told["tang_werner"]) == ("both.gpkg:maus: 2 of 2 polygons", "both.gpkg:tang: 1 of 1 polygons")
    with pytest.raises(PipelineError, match="both.gpkg:maus is given twice"):
        command(f"{path}:maus", f"{path}:maus", tmp_path / "again.gpkg")


def test_the_account_adds_up(tmp_path, vector_file, rng, capsys):
    files = vector_file(blobs(rng, 300, 0.1), "m.gpkg"), vector_file(blobs(rng, 500, 0.1), "t.gpkg")
    command(*files, tmp_path / "out.gpkg")
    table = gpd.read_file(tmp_path / "out.gpkg")
    printed = said(capsys)
    assert printed["polygons read"] == printed["separate areas in them"] == ["300", "500"]
    assert printed["merged with others"] == [str(800 - len(table))]
    rows = [int(printed[name][-1]) for name in ("maus", "tang_werner", "both")]
    assert rows == [int((table["source"] == name).sum()) for name in (MAUS, TANG_WERNER, BOTH)]
    assert printed["polygons"] == [str(len(table))] == [str(sum(rows))]


@pytest.fixture
def two_files(vector_file):
    return vector_file([square(0, 0)], "maus.gpkg"), vector_file([square(0.5, 0)], "tang.gpkg")


def test_an_existing_output_is_kept_unless_forced(tmp_path, two_files):
    output = tmp_path / "out.gpkg"
    output.write_text("precious")
    with pytest.raises(PipelineError, match="out.gpkg is there already: --force"):
        command(*two_files, output)
    assert output.read_text() == "precious"
    assert command(*two_files, output, force=True) == cli.DONE
    assert len(gpd.read_file(output)) == 1


def bare(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda folder: folder / "nowhere.shp", "no polygons at .*nowhere.shp"),
        (lambda folder: folder / "maus.gpkg", "maus.gpkg is given twice"),
        (lambda folder: bare(folder / "t.gpkg", "<html>sign in</html>"), "t.gpkg cannot be read as a vector file"),
        (lambda folder: bare(folder / "t.csv", f'id,WKT\n1,"{FAR.wkt}"\n'), "t.csv does not say its CRS"),
        (lambda folder: bare(folder / "t.csv", "id,name\n1,pit\n"), "t.csv holds no polygon"),
        (lambda folder: bare(folder / "t.geojson", '{"type": "FeatureCollection", "features": []}'), "no polygon"),
        (
            lambda folder: bare(folder / "t.geojson", '{"type": "Point", "coordinates": [13, 5]}'),
            r"holds no polygon \(1 rows read\)",
        ),
    ],
    ids=["missing", "twice", "no vector", "no CRS", "no geometry", "empty", "points"],
)
def test_a_file_that_cannot_serve_is_refused_in_one_line(tmp_path, two_files, second, message):
    with pytest.raises(PipelineError, match=message) as refused:
        command(two_files[0], second(tmp_path), tmp_path / "out.gpkg")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out.gpkg").exists()


def test_a_file_with_nothing_on_one_side_of_the_antimeridian_is_refused(tmp_path, two_files, vector_file):
    around = vector_file([shapely.box(-179, -17, 179, -16)], "around.gpkg")
    with pytest.raises(PipelineError, match="no polygon on one side of the antimeridian"):
        command(two_files[0], around, tmp_path / "out.gpkg")


@pytest.mark.parametrize(("name", "message"), [("maus.gpkg", "is one of the inputs"), ("out.shp", "no GeoPackage")])
def test_an_output_that_makes_no_sense_is_refused(tmp_path, two_files, name, message):
    before = two_files[0].read_bytes()
    with pytest.raises(PipelineError, match=message):
        command(*two_files, tmp_path / name, force=True)
    assert two_files[0].read_bytes() == before


def test_the_command_works_as_typed(tmp_path, two_files):
    def typed(*words):
        call = [sys.executable, "-m", "segmentation.polygons", *map(str, words)]
        return subprocess.run(call, capture_output=True, text=True, cwd=REPOSITORY, check=False)

    done = typed("combine", *two_files, "-o", tmp_path / "out.gpkg")
    assert (done.returncode, done.stderr) == (cli.DONE, "")
    assert "out.gpkg" in done.stdout
    again = typed("combine", *two_files, "-o", tmp_path / "out.gpkg")
    assert again.returncode == cli.REFUSED
    assert again.stderr.startswith("error: ")
    assert again.stderr.count("\n") == 1
    assert typed("unite").returncode == cli.REFUSED


def test_twice_twenty_thousand_polygons_are_united(united):
    """Pairs everywhere, one chain of thousands, and a giant over two thousand more."""
    corner = np.stack(np.meshgrid(np.arange(170), np.arange(100)), axis=-1).reshape(-1, 2) * 0.02 + (-58, -6)
    alone = shapely.box(*corner.T, *(corner + 0.008).T)
    partners = shapely.transform(alone, lambda xy: xy + 0.004)
    west = -58 + 0.0008 * np.arange(2000)
    chain = shapely.box(west, -7, west + 0.001, -6.999)
    crowd = shapely.transform(alone[:1999], lambda xy: xy - [0, 3])
    giant = shapely.box(-59, -9.5, -54, -8.5)
    table = united([*alone, *chain, *crowd[1::2], giant], [*partners, *chain, *crowd[::2]])
    assert (table["source"] == BOTH).all()
    assert len(table) == 17_000 + 2
    assert sorted(zip(table["n_maus"], table["n_tang_werner"], strict=True))[-3:] == [
        (1, 1),
        (1000, 1000),
        (2000, 2000),
    ]
    assert (table["n_maus"].sum(), table["n_tang_werner"].sum()) == (20_000, 20_000)
    assert table["id"].tolist() == list(range(1, len(table) + 1))


@pytest.mark.skipif(not REAL_POLYGONS.exists(), reason="the study's 100 demo polygons are not here")
def test_real_polygons_split_in_two_overlapping_halves_come_back(united):
    real = gpd.read_file(REAL_POLYGONS).geometry
    table = united(real[:65], [affinity.translate(shape, 1e-5) for shape in real[35:]])
    assert table["source"].value_counts().to_dict() == {MAUS: 35, TANG_WERNER: 35, BOTH: 30}
