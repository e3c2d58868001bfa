"""Countries: codes, names, coasts, and files of the user's own."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod

from segmentation.core.errors import PipelineError
from segmentation.geo.countries import assign_countries, read_countries


@pytest.fixture(scope="module")
def natural_earth():
    return read_countries()


@pytest.fixture
def two_countries():
    """West (0 to 10 E) and East (10 to 20 E), 0 to 10 N, sharing a border at 10 E."""
    return gpd.GeoDataFrame(
        {"iso_a3": ["WST", "EST"], "country_name": ["West", "East"]},
        geometry=[shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)],
        crs="EPSG:4326",
    )


def around(*lonlat, radius=0.001):
    """Small squares around points given in degrees."""
    lon, lat = np.array(lonlat).T
    return gpd.GeoSeries(shapely.box(lon - radius, lat - radius, lon + radius, lat + radius), crs="EPSG:4326")


def codes(polygons, countries):
    return assign_countries(polygons, countries)["iso_a3"].tolist()


def test_natural_earth_has_a_code_and_a_readable_name_everywhere(natural_earth):
    assert natural_earth.crs == "EPSG:4326"
    assert list(natural_earth.columns) == ["iso_a3", "country_name", "geometry"]
    assert natural_earth["iso_a3"].str.fullmatch("[A-Z]{3}").all()
    assert natural_earth.is_valid.all()
    names = natural_earth.set_index("iso_a3")["country_name"]
    assert names["CIV"] == "Ivory Coast"
    assert names["STP"] == "São Tomé and Príncipe"
    assert names["CAF"] == "Central African Republic"
    assert natural_earth.groupby("iso_a3")["country_name"].nunique().max() == 1


def test_codes_that_natural_earth_leaves_out_are_filled(natural_earth):
    paris, oslo, pristina, juba = (2.35, 48.85), (10.75, 59.91), (21.16, 42.66), (31.58, 4.85)
    assert codes(around(paris, oslo, pristina, juba), natural_earth) == ["FRA", "NOR", "KOS", "SSD"]


def test_french_guiana_counts_to_france(natural_earth):
    assert codes(around((-53.0, 4.0)), natural_earth) == ["FRA"]


def test_both_sides_of_the_antimeridian_are_fiji(natural_earth):
    assert codes(around((179.96, -16.78), (-179.95, -16.8)), natural_earth) == ["FJI", "FJI"]


def test_a_point_off_the_coast_takes_the_nearest_country_within_50_km(two_countries):
    geod = Geod(ellps="WGS84")
    # 49 and 51 km north of the northern edge, then west of the western edge.
    lon, lat, _ = geod.fwd([5, 5, 0, 0], [10, 10, 9.5, 9.5], [0, 0, 270, 270], [49e3, 51e3, 49e3, 51e3])
    found = assign_countries(around(*zip(lon, lat, strict=True)), two_countries)
    assert found["iso_a3"].tolist() == ["WST", "", "WST", ""]
    assert found["country_name"].tolist() == ["West", "", "West", ""]


def test_the_nearest_of_two_countries_wins(two_countries):
    assert codes(around((9.9, 10.1), (10.1, 10.1)), two_countries) == ["WST", "EST"]


def test_a_point_on_the_border_goes_to_the_country_listed_first(two_countries):
    on_border = around((10.0, 5.0))
    assert codes(on_border, two_countries) == ["WST"]
    assert codes(on_border, two_countries.iloc[::-1]) == ["EST"]


def test_the_point_lies_inside_the_polygon_not_at_its_centre(two_countries):
    # A horseshoe around the border, its back far in the west.
    horseshoe = shapely.box(7, 4, 12, 6) - shapely.box(7.5, 4.1, 12, 5.9)
    assert not horseshoe.contains(horseshoe.centroid)
    assert codes(gpd.GeoSeries([horseshoe], crs="EPSG:4326"), two_countries) == ["WST"]


def test_the_index_is_kept_and_nothing_gives_nothing(two_countries):
    polygons = around((15, 5), (5, 5)).set_axis(["b", "a"])
    assert assign_countries(polygons, two_countries)["iso_a3"].to_dict() == {"b": "EST", "a": "WST"}
    nothing = assign_countries(polygons.iloc[:0], two_countries)
    assert nothing.empty
    assert list(nothing.columns) == ["iso_a3", "country_name"]


def test_far_from_every_country_is_no_country(two_countries):
    assert codes(around((100, -20)), two_countries) == [""]


def test_the_answer_does_not_depend_on_the_other_polygons(natural_earth):
    lon, lat = np.random.default_rng(0).uniform((-80, -25), (150, 25), (400, 2)).T
    polygons = around(*zip(lon, lat, strict=True))
    together = codes(polygons, natural_earth)
    alone = [codes(polygons.iloc[[i]], natural_earth)[0] for i in range(0, 400, 40)]
    assert together[::40] == alone


@pytest.mark.parametrize(
    ("code", "name"), [("ISO3_CODE", "NAME_ENGL"), ("GID_0", "COUNTRY"), ("shapeGroup", "shapeName")]
)
def test_common_country_files_are_understood(tmp_path, two_countries, code, name):
    path = tmp_path / "countries.gpkg"
    two_countries.rename(columns={"iso_a3": code, "country_name": name}).to_crs("EPSG:3857").to_file(path)
    countries = read_countries(path)
    assert countries.crs == "EPSG:4326"
    assert countries["iso_a3"].tolist() == ["WST", "EST"]
    assert codes(around((5, 5)), countries) == ["WST"]


def test_territories_of_one_code_share_the_largest_ones_name(tmp_path, two_countries):
    path = tmp_path / "countries.gpkg"
    islet = gpd.GeoDataFrame(
        {"iso_a3": ["WST"], "country_name": ["West Islets"]},
        geometry=[shapely.box(-5, 0, -4, 1)],
        crs="EPSG:4326",
    )
    pd.concat([islet, two_countries]).to_file(path)
    assert read_countries(path)["country_name"].tolist() == ["West", "West", "East"]


def test_a_file_without_codes_is_refused_with_its_columns_named(tmp_path, two_countries):
    path = tmp_path / "countries.gpkg"
    two_countries.rename(columns={"iso_a3": "zone"}).to_file(path)
    with pytest.raises(PipelineError, match=r"no column with three-letter.*: zone, country_name$"):
        read_countries(path)


def test_files_that_are_no_countries_are_refused_in_one_line(tmp_path, two_countries):
    points, no_crs, text = tmp_path / "points.gpkg", tmp_path / "no_crs.gpkg", tmp_path / "text.gpkg"
    two_countries.set_geometry(two_countries.representative_point()).to_file(points)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        two_countries.set_crs(None, allow_override=True).to_file(no_crs)
    text.write_text("no countries here")
    for path, said in [
        (points, "no polygons"),
        (no_crs, "CRS"),
        (text, "cannot read"),
        (tmp_path / "absent.gpkg", "cannot read"),
    ]:
        with pytest.raises(PipelineError, match=said) as refusal:
            read_countries(path)
        assert "\n" not in str(refusal.value)
        assert path.name in str(refusal.value)
