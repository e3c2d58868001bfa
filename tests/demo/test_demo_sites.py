"""The demo's mines: where they lie, how they change, and how the literature shows them."""

import numpy as np
import pytest
import shapely

from segmentation.demo.landscape import sites
from segmentation.geo.grid import Grid

GRID = Grid()


@pytest.fixture(scope="module")
def literature():
    return sites.literature_polygons()


def footprints(year):
    return sites.true_footprints(year).to_crs(3857).set_index("id").geometry


def test_mines_are_many_tropical_and_named_for_files():
    mines = sites.mines()
    assert len(mines) >= 110
    assert len({mine.id for mine in mines}) == len(mines)
    assert all(mine.id.replace("-", "").isalnum() and abs(mine.lat) < 29 for mine in mines)
    assert len({mine.iso3 for mine in mines}) >= 10


def test_coordinates_and_pixels_of_a_mine_agree():
    for mine in sites.mines()[::10]:
        x, y = GRID.quad_at(mine.lon, mine.lat)
        assert GRID.quad_origin(int(x), int(y)) == (mine.col // 4096 * 4096, mine.row // 4096 * 4096)


def test_a_year_needs_few_quads_and_mostly_single_chips(literature):
    windows = GRID.windows_around(literature.to_crs(3857).bounds.to_numpy())
    window, x, y = GRID.quads_of(windows)
    assert len(set(zip(x.tolist(), y.tolist(), strict=True))) <= 32
    assert (windows.side_px == 512).mean() > 0.7
    assert {512, 1024, 1536} <= set(windows.side_px.tolist())
    quads_of_window = np.bincount(window)
    assert {1, 2, 4} <= set(quads_of_window.tolist())


def test_some_windows_overlap_but_most_do_not(literature):
    windows = GRID.windows_around(literature.to_crs(3857).bounds.to_numpy())
    squares = shapely.box(windows.col, windows.row, windows.col + windows.side_px, windows.row + windows.side_px)
    left, right = shapely.STRtree(squares).query(squares, predicate="intersects")
    overlapping = len(set(left[left != right].tolist()))
    assert 0 < overlapping < len(squares) / 2


def test_mines_grow_open_and_close():
    before, reference, after = (footprints(year) for year in (2016, 2019, 2023))
    grown = [
        after[mine.id].area > reference[mine.id].area > before[mine.id].area
        for mine in sites.mines()
        if mine.growth > 0.01 and all(mine.id in year.index for year in (before, reference, after))
    ]
    assert len(grown) > 50
    assert all(grown)
    assert set(reference.index) - set(before.index)
    assert set(before.index) - set(after.index)


def test_mines_do_not_run_into_each_other():
    shapes = footprints(2024).to_numpy()
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    assert (left == right).all()


def test_literature_is_close_to_the_truth_but_not_the_truth(literature):
    truth, drawn = footprints(2019), literature.to_crs(3857).set_index("id").geometry
    both = truth.index.intersection(drawn.index)
    truth_of_both, drawn_of_both = truth[both], drawn[both]
    overlap = truth_of_both.intersection(drawn_of_both).area / truth_of_both.union(drawn_of_both).area
    assert 0.85 < overlap.mean() < 0.93
    assert overlap.min() > 0.6
    assert 0 < len(truth) - len(both) <= 6
    assert 1 <= len(drawn) - len(both) <= 3


def test_literature_is_valid_and_of_several_kinds(literature):
    assert literature.crs == "EPSG:4326"
    assert list(literature.columns) == ["ISO3_CODE", "COUNTRY_NAME", "id", "geometry"]
    assert literature.is_valid.all()
    assert literature["id"].is_unique
    assert set(literature.geom_type) == {"Polygon", "MultiPolygon"}
    parts = literature.explode().geometry
    assert parts.map(lambda part: len(part.interiors)).sum() > 0
    assert parts.map(lambda part: len(part.exterior.coords) - 1).between(3, 26).all()


def test_everything_is_the_same_when_made_again():
    first = sites.mines()
    sites.mines.cache_clear()
    assert sites.mines() == first
