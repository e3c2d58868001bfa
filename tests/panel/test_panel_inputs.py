"""What goes into a panel: any file, whatever state its geometries are in."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from helpers.panels import UNIT, follow, square, write_years

from segmentation.core.errors import PipelineError
from segmentation.core.workspace import Workspace
from segmentation.geo.areas import polygonal
from segmentation.geo.vectors.clean import clean
from segmentation.geo.vectors.read import read_vector
from segmentation.panel.inputs import YearInput, find_run_name, read_panel, year_inputs
from segmentation.panel.observed import country_observed_m2, observed_share, read_observed
from segmentation.panel.tables import country_years

BOW_TIE = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
COUNTRIES = gpd.GeoDataFrame(
    {"iso_a3": ["WST", "EST"], "country_name": ["West", "East"]},
    geometry=[shapely.box(-1, -1, 0.005, 1), shapely.box(0.005, -1, 1, 1)],
    crs="EPSG:4326",
)


def frame(*geometries, **columns):
    return gpd.GeoDataFrame(columns, geometry=list(geometries), crs="EPSG:4326")


def test_what_is_odd_is_mended_or_left_out_and_counted():
    high = shapely.force_3d(shapely.box(5, 5, 6, 6), 100.0)
    mixed = shapely.GeometryCollection([shapely.box(8, 8, 9, 9), shapely.Point(7, 7), shapely.box(8.5, 8, 9.5, 9)])
    line, empty = shapely.LineString([(0, 0), (1, 1)]), shapely.Polygon()
    far = shapely.box(179.9, 0, 180.1, 1)
    areas = clean(frame(BOW_TIE, high, mixed, line, empty, None, far, name=list("abcdefg"))).without_wrapped()
    table, account = areas.frame, areas.account
    assert table["name"].tolist() == ["a", "b", "c"]
    assert (account.read, account.repaired, account.flattened) == (7, 2, 1)
    assert account.dropped == {"no geometry": 2, "not a polygon": 1, "on both sides of the antimeridian": 1}
    assert table.geometry.is_valid.all()
    assert not table.geometry.has_z.any()
    assert shapely.area(table.geometry).tolist() == pytest.approx([2, 1, 1.5])


def test_polygonal_leaves_what_is_good_as_it_is():
    good = np.array([shapely.box(0, 0, 1, 1), shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)])])
    assert shapely.equals_identical(polygonal(good), good).all()


@pytest.mark.parametrize(("suffix", "crs"), [(".gpkg", "EPSG:3857"), (".geojson", "EPSG:4326"), (".shp", "EPSG:32632")])
def test_any_format_and_crs(tmp_path, suffix, crs):
    write_years(tmp_path, {2016: [square(9000), square(9010)]}, suffix, crs)
    panel, accounts = read_panel([YearInput(2016, tmp_path / f"mines_2016{suffix}")], COUNTRIES)
    assert accounts[2016].read == 2
    assert panel.crs == "EPSG:4326"
    assert panel.total_bounds == pytest.approx([9, 0, 9.011, 0.001], abs=1e-6)


def test_what_the_file_knows_is_kept(tmp_path):
    shapes = [square(0), square(8), square(3)]
    known = frame(
        *shapes, id=[7, 5, 9], iso_a3=["AAA", None, "CCC"], country_name="Country", mean_probability=[0.7, 0.8, 0.9]
    )
    known.to_file(tmp_path / "known.gpkg")
    panel, _ = read_panel([YearInput(2016, tmp_path / "known.gpkg")], COUNTRIES)
    assert panel["id"].tolist() == [5, 7, 9]
    assert panel["iso_a3"].tolist() == ["EST", "AAA", "CCC"]
    assert panel["country_name"].tolist() == ["East", "Country", "Country"]
    assert panel["mean_probability"].tolist() == [0.8, 0.7, 0.9]


def test_polygons_drawn_by_hand_get_what_they_lack(tmp_path):
    known = frame(
        *(square(x) for x in (0, 8, 3, 9.5)),
        id=[7, None, 9, None],
        iso_a3=["WST", None, "", "EST"],
        country_name=["West", "", None, None],
        mean_probability=[0.7, None, 0.9, None],
        area=[1.0, None, None, None],
    )
    known.to_file(tmp_path / "known.gpkg")
    panel, _ = read_panel([YearInput(2016, tmp_path / "known.gpkg")], COUNTRIES)
    assert panel["id"].tolist() == [7, 9, 10, 11]
    assert panel["iso_a3"].tolist() == ["WST", "WST", "EST", "EST"]
    assert panel["country_name"].tolist() == ["West", "West", "East", "East"]
    assert panel["mean_probability"].fillna(-1).tolist() == [0.7, 0.9, -1, -1]
    assert panel["area"].tolist() == pytest.approx([111.3195 * 110.574] * 4, rel=1e-3)


def test_a_country_and_year_adds_up_with_polygons_drawn_by_hand(tmp_path):
    shapes = {2016: [square(0), square(8)], 2017: [square(0), square(8), square(3)]}
    inputs = []
    for year, places in shapes.items():
        drawn = [None] * (len(places) - 1)
        table = frame(*places, id=[1, *drawn], iso_a3=["WST", *drawn], country_name=["West", *drawn])
        table.to_file(tmp_path / f"{year}.gpkg")
        inputs.append(YearInput(year, tmp_path / f"{year}.gpkg"))
    panel, _ = read_panel(inputs, COUNTRIES)
    _, history, _ = follow(panel, [2016, 2017])
    table = country_years(panel, history, read_observed(inputs), COUNTRIES).set_index(["iso_a3", "year"])
    assert table["polygons"].to_dict() == {
        ("EST", 2016): 1,
        ("EST", 2017): 1,
        ("WST", 2016): 1,
        ("WST", 2017): 2,
    }
    by_year = panel.groupby("year")["area"].sum() / 1e6
    assert table["area_km2"].groupby("year").sum().to_dict() == pytest.approx(by_year.to_dict())


def test_what_it_does_not_know_is_added_whatever_the_order_of_its_rows(tmp_path, rng):
    shapes = np.array([square(0, 2), square(8, 2), square(3, 0), square(8, 2, 1, 2), square(9, 9)])
    panels = []
    for turn, order in enumerate([np.arange(5), rng.permutation(5)]):
        frame(*shapes[order], id=["same"] * 5).to_file(tmp_path / f"{turn}.gpkg")
        panels.append(read_panel([YearInput(2016, tmp_path / f"{turn}.gpkg")], COUNTRIES)[0])
    assert panels[0]["id"].tolist() == [1, 2, 3, 4, 5]
    assert panels[0]["iso_a3"].tolist() == ["EST", "EST", "WST", "EST", "WST"]
    assert panels[0]["mean_probability"].isna().all()
    assert panels[0].equals(panels[1])


def test_a_year_without_a_polygon_is_a_year(tmp_path):
    frame(square(0)).to_file(tmp_path / "one.gpkg")
    frame(square(0)).iloc[:0].to_file(tmp_path / "none.gpkg", geometry_type="Polygon")
    panel, accounts = read_panel(
        [YearInput(2017, tmp_path / "none.gpkg"), YearInput(2016, tmp_path / "one.gpkg")], COUNTRIES
    )
    assert panel["year"].tolist() == [2016]
    assert accounts[2017].read == 0
    with pytest.raises(PipelineError, match="no polygon in"):
        read_panel([YearInput(2017, tmp_path / "none.gpkg")], COUNTRIES)


def test_what_cannot_be_read_is_one_clear_line(tmp_path):
    (tmp_path / "text.gpkg").write_text("no GeoPackage")
    with pytest.warns(UserWarning, match="crs"):
        frame(square(0)).set_crs(None, allow_override=True).to_file(tmp_path / "no_crs.gpkg")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    reasons = {
        "absent.gpkg": "no such file",
        "text.gpkg": "cannot be read",
        "no_crs.gpkg": "CRS",
        "table.csv": "no polygon",
    }
    for name, reason in reasons.items():
        with pytest.raises(PipelineError, match=reason) as caught:
            read_vector(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.fixture
def workspace(tmp_path):
    """Polygons of two runs: both in 2016, one alone in 2018; windows in 2016."""
    workspace = Workspace(tmp_path)
    for year, run in [(2016, "segformer_b0_100"), (2016, "segformer_b5_100"), (2018, "segformer_b5_100")]:
        path = workspace.year(year).predicted(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    workspace.year(2016).postprocessed("segformer_b5_100").touch()
    workspace.year(2016).windows.touch()
    return workspace


def test_a_model_run_is_found_by_the_polygons_it_left(workspace):
    assert find_run_name(workspace, "b5", None) == "segformer_b5_100"
    assert find_run_name(workspace, "b5", 100) == "segformer_b5_100"
    inputs = year_inputs(workspace, "segformer_b5_100", [])
    assert [source.year for source in inputs] == [2016, 2018]
    assert [source.windows is None for source in inputs] == [False, True]
    assert [source.year for source in year_inputs(workspace, "segformer_b5_100", [2017, 2018])] == [2018]


@pytest.mark.parametrize(("model", "iteration", "reason"), [("seg", 100, "more than one"), ("b5", 7, "no polygons of")])
def test_a_model_run_that_is_not_clear_is_refused(workspace, model, iteration, reason):
    with pytest.raises(PipelineError, match=rf"{reason}.*segformer_b5_100"):
        find_run_name(workspace, model, iteration)


@pytest.fixture
def windows(tmp_path):
    """Two windows that overlap, one of them valid in its east, one apart that is valid in its west, one not written."""
    squares = [square(0, 0, 4, 4), square(2, 2, 4, 4), square(10, 0, 4, 4), square(20, 0, 4, 4)]
    columns = {
        "id": list("abcd"),
        "status": ["written"] * 3 + ["not covered"],
        "valid_share": [1.0, 0.5, 0.8, np.nan],
        "mosaic": ["june", "july", "june", ""],
    }
    path = tmp_path / "windows.gpkg"
    frame(*squares, **columns).to_crs("EPSG:3857").to_file(path, layer="windows")
    ground = frame(square(4, 2, 2, 4), square(10, 0, 3.2, 4), id=["b", "c"])
    ground.to_crs("EPSG:3857").to_file(path, layer="valid_ground")
    return read_observed([YearInput(2016, tmp_path, path), YearInput(2017, tmp_path)])


def test_the_valid_ground_of_windows_that_overlap_counts_once(windows):
    assert windows.years == {2016}
    assert windows.notes == ()
    areas = windows.areas
    assert areas["windows"].tolist() == [2, 1]
    assert areas["valid_share"].tolist() == pytest.approx([24 / 28, 0.8])
    assert areas["mosaic"].tolist() == ["july; june", "june"]
    assert areas["area"].tolist() == pytest.approx([24 * 111.3195 * 110.574, 12.8 * 111.3195 * 110.574], rel=1e-4)
    expected = [square(0, 0, 4, 4).union(square(4, 2, 2, 4)), square(10, 0, 3.2, 4)]
    assert shapely.area(shapely.symmetric_difference(areas.geometry.to_numpy(), expected)).max() < 1e-5 * UNIT**2


def test_windows_that_are_none_are_refused(tmp_path):
    frame(square(0)).to_file(tmp_path / "other.gpkg", layer="windows")
    frame(square(0)).to_file(tmp_path / "layer.gpkg", layer="polygons")
    for name, reason in {
        "other": "lacks mosaic, status, valid_share",
        "layer": "cannot read the windows of 2016",
    }.items():
        with pytest.raises(PipelineError, match=reason):
            read_observed([YearInput(2016, tmp_path, tmp_path / f"{name}.gpkg")])


def test_the_share_of_a_place_that_was_observed(windows):
    # Within valid ground, partly within, not looked at, on an edge, in the invalid west of a window, across parts.
    places = [square(1, 1), square(9, 0, 2, 1), square(20), square(3.5, 0), square(2.5, 4.5), square(3, 3, 2, 2)]
    shares = observed_share(np.array(places), windows, (2016, 2017))
    assert shares[:, 0] == pytest.approx([1, 0.5, 0, 0.5, 0, 0.75], abs=1e-6)
    assert np.isnan(shares[:, 1]).all()


def test_the_observed_area_of_a_country_ends_at_its_border(windows):
    area = country_observed_m2(windows, COUNTRIES)
    unit = 111.3195 * 110.574
    assert area["WST"][2016] == pytest.approx(20 * unit, rel=1e-3)
    assert area["EST"][2016] == pytest.approx(16.8 * unit, rel=1e-3)
