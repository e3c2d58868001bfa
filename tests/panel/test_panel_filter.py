"""The temporal filter: what a neighbouring year confirms stays, and nothing else."""

import numpy as np
import pyproj
import pytest
import shapely
from helpers.panels import panel, ragged, square

from segmentation.panel.temporal import confirmed, consecutive_neighbours, consecutive_overlaps, year_rows


def staying(polygons, years, buffer_m=0.0):
    shapes, year = polygons.geometry.to_numpy(), polygons["year"].to_numpy()
    pairs = (
        consecutive_neighbours(shapes, year, years, buffer_m) if buffer_m else consecutive_overlaps(shapes, year, years)
    )
    return confirmed(len(polygons), pairs)


def test_a_polygon_stays_if_the_year_before_or_after_shows_one_there():
    opens, closes, flickers, steady = square(0), square(10), square(20), square(30)
    polygons = panel(
        {
            2016: [closes, steady],
            2017: [closes, steady, flickers],
            2018: [steady],
            2019: [steady, opens, flickers],
            2020: [steady, opens],
        }
    )
    stays = staying(polygons, range(2016, 2021))
    assert [row.geometry for row in polygons[~stays].itertuples()] == [flickers, flickers]


def test_the_first_and_the_last_year_have_one_neighbour():
    polygons = panel({2016: [square(0), square(10)], 2017: [square(0)], 2018: [square(0), square(20)]})
    assert staying(polygons, (2016, 2017, 2018)).tolist() == [True, False, True, True, False]


def test_touching_counts_as_intersecting():
    polygons = panel({2016: [square(0, 0)], 2017: [square(1, 1)]})
    assert staying(polygons, (2016, 2017)).all()


def test_a_missing_year_is_bridged_but_a_year_in_which_nothing_was_found_is_not():
    polygons = panel({2016: [square(0)], 2018: [square(0)]})
    assert staying(polygons, (2016, 2018)).all()
    assert not staying(polygons, (2016, 2017, 2018)).any()


@pytest.mark.parametrize("latitude", [0.0, 15.0, 29.9, 60.0])
@pytest.mark.parametrize("azimuth", [0.0, 45.0, 90.0])
def test_the_buffer_is_in_metres_on_the_ground(latitude, azimuth):
    lon, lat, _ = pyproj.Geod(ellps="WGS84").fwd(20, latitude, azimuth, 100.0)
    # Corners that face each other, 100 m apart.
    first = shapely.box(19.999, latitude - 0.001, 20, latitude)
    second = shapely.box(lon, lat, lon + 0.001, lat + 0.001)
    polygons = panel({2016: [first], 2017: [second]})
    assert staying(polygons, (2016, 2017), 100.01).all()
    assert not staying(polygons, (2016, 2017), 99.99).any()


def test_a_buffer_confirms_whatever_intersects(rng):
    polygons = panel({year: ragged(rng, 60) for year in (2016, 2017, 2018)})
    without = staying(polygons, (2016, 2017, 2018))
    assert 0 < without.sum() < len(polygons)
    assert (staying(polygons, (2016, 2017, 2018), 0.001) == without).all()
    assert (staying(polygons, (2016, 2017, 2018), 50.0) >= without).all()


def test_it_agrees_with_asking_every_pair(rng):
    years = (2016, 2017, 2019)
    polygons = panel({year: ragged(rng, 60) for year in years})
    shapes, column = polygons.geometry.to_numpy(), np.searchsorted(years, polygons["year"])
    meets = shapely.intersects(shapes[:, None], shapes[None, :]) & (np.abs(column[:, None] - column[None, :]) == 1)
    assert (staying(polygons, years) == meets.any(axis=1)).all()


def test_rows_of_a_year_without_polygons_are_none():
    assert year_rows(np.array([2016, 2016, 2018]), (2016, 2017, 2018)) == {
        2016: slice(0, 2),
        2017: slice(2, 2),
        2018: slice(2, 3),
    }
