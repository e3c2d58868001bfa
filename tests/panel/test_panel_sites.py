"""Sites: one a mine, however it moves, under a name that stays."""

import numpy as np
import pytest
import shapely
from helpers.panels import UNIT, follow, panel, ragged, square

from segmentation.panel.sites import find_sites
from segmentation.panel.tables import add_descent, sites_table
from segmentation.panel.temporal import consecutive_overlaps

YEARS = (2016, 2017, 2018)


def name_sites(polygons, years=YEARS):
    shapes, year = polygons.geometry.to_numpy(), polygons["year"].to_numpy()
    sites = find_sites(polygons, consecutive_overlaps(shapes, year, years))
    return sites.names[sites.of_polygon]


def test_a_site_is_a_connected_component_of_overlap(rng):
    polygons = panel({year: ragged(rng, 50, spread=45) for year in YEARS})
    shapes = polygons.geometry.to_numpy()
    reach = shapely.intersects(shapes[:, None], shapes[None, :])
    for _ in range(10):  # chains of up to 2**10 polygons
        reach = reach @ reach
    expected = {frozenset(np.flatnonzero(row).tolist()) for row in reach}
    names = name_sites(polygons)
    found = {frozenset(np.flatnonzero(names == name).tolist()) for name in set(names)}
    assert 5 < len(found) == len(expected)
    assert found == expected


def test_years_with_nothing_between_them_still_connect():
    names = name_sites(panel({2016: [square(0)], 2018: [square(0.5)]}))
    assert len(set(names)) == 1


def test_a_site_is_named_after_a_point_within_its_founder():
    founder = square(-50_000, -6_000, 3, 3)
    polygons = panel({2016: [square(-49_999, -5_999), founder], 2017: [square(-50_010, -6_000, 20, 1)]})
    (name,) = set(name_sites(polygons))
    assert name == "S05.99850W049.99850"
    assert founder.contains(shapely.Point(-float(name[10:]), -float(name[1:9])))


def test_names_that_would_be_the_same_are_numbered():
    tiny = UNIT * 1e-4
    first, second = shapely.box(0, 0, tiny, tiny), shapely.box(2 * tiny, 0, 3 * tiny, tiny)
    assert sorted(name_sites(panel({2016: [first, second]}))) == ["N00.00000E000.00000", "N00.00000E000.00000-2"]


def test_the_order_of_the_rows_never_matters(rng):
    shapes = {year: ragged(rng, 50, spread=45) for year in YEARS}
    names = dict(zip((shape.wkt for each in shapes.values() for shape in each), name_sites(panel(shapes)), strict=True))
    shuffled = panel({year: [each[k] for k in rng.permutation(len(each))] for year, each in shapes.items()})
    assert [names[shape.wkt] for shape in shuffled.geometry] == name_sites(shuffled).tolist()


def test_another_later_year_renames_a_site_only_where_it_merges_it_into_an_older_one(rng):
    shapes = {year: ragged(rng, 40, spread=60) for year in YEARS}
    before, after = (panel({year: shapes[year] for year in years}) for years in (YEARS[:2], YEARS))
    old, new = name_sites(before, YEARS[:2]), name_sites(after)[: len(before)]
    changed = {(a, b) for a, b in zip(old, new, strict=True) if a != b}
    assert len(changed) < len(set(old)) / 2
    assert set(new) <= set(old)
    # A name that vanished was of a site that is one with the site of another name now.
    assert not {a for a, _ in changed} & set(new)


@pytest.fixture
def merging_and_splitting():
    """Two mines that become one in 2017 and three in 2018; another that is steady."""
    steady = square(20)
    return panel(
        {
            2016: [square(0, 0, 2, 1), square(4), steady],
            2017: [square(0, 0, 5, 1), steady],
            2018: [square(0), square(2), square(4), steady],
        }
    )


def test_mergers_and_splits_can_be_traced(merging_and_splitting):
    overlaps, history, _ = follow(merging_and_splitting, YEARS)
    table = add_descent(merging_and_splitting, history.sites, overlaps)
    assert table["from_ids"].tolist() == ["", "", "", "1 2", "3", "1", "1", "1", "2"]
    assert table["into_ids"].tolist() == ["1", "1", "2", "1 2 3", "4", "", "", "", ""]
    assert table["part"].tolist() == [1, 2, 1, 1, 1, 1, 2, 3, 1]
    assert table["site_id"].nunique() == 2


def test_the_table_of_sites_says_when_they_were_seen(merging_and_splitting):
    overlaps, history, _ = follow(merging_and_splitting, YEARS)
    table = sites_table(merging_and_splitting, history, overlaps).set_index("first_year", drop=False)
    moving = table.iloc[np.argmax(table["mergers"])]
    assert (moving["first_year"], moving["last_year"], moving["years_seen"]) == (2016, 2018, 3)
    assert (moving["mergers"], moving["splits"]) == (1, 1)
    assert table["status_2017"].tolist() == ["mine", "mine"]
    one = history.area[table["site_id"].eq(moving["site_id"]).to_numpy()][0] / history.area.min()
    assert one == pytest.approx([3, 5, 3], rel=1e-6)
