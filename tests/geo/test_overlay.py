"""Two polygons cut into what they share and what only one of them covers."""

import numpy as np
import pytest
import shapely
from helpers.panels import ragged, square

from segmentation.geo.overlay import overlay, points_within


@pytest.fixture
def pairs(rng):
    """Ragged blobs, most of which cross the other one of their pair."""
    first, second = np.array(ragged(rng, 60, spread=2.0)), np.array(ragged(rng, 60, spread=2.0))
    assert shapely.intersects(first, second).sum() > 30
    return shapely.buffer(first, 0), shapely.buffer(second, 0)


def areas(shapes):
    return np.nan_to_num(shapely.area(shapes))


def test_the_pieces_are_those_of_plain_overlays(pairs):
    first, second = pairs
    cut = overlay(first, second)
    plain = {
        "shared": shapely.intersection(first, second),
        "first_only": shapely.difference(first, second),
        "second_only": shapely.difference(second, first),
    }
    for name, expected in plain.items():
        found = np.array([shapely.Polygon() if shape is None else shape for shape in getattr(cut, name)])
        assert shapely.is_valid(found).all()
        assert areas(shapely.symmetric_difference(found, expected)).max() < 1e-9 * areas(expected).max(), name


def test_the_pieces_do_not_depend_on_the_way_in_which_rings_are_drawn(pairs, monkeypatch):
    first, second = pairs
    expected = overlay(first, second)
    drawn = shapely.symmetric_difference
    monkeypatch.setattr(shapely, "symmetric_difference", lambda *shapes: shapely.reverse(drawn(*shapes)))

    def of_no_use(*_):
        raise AssertionError("the sides of all parts are known")

    monkeypatch.setattr(shapely, "difference", of_no_use)
    found = overlay(first, second)
    for name in ("shared", "first_only", "second_only"):
        assert areas(getattr(found, name)) == pytest.approx(areas(getattr(expected, name)), rel=1e-12), name


def test_a_point_lies_within_its_polygon_whichever_way_the_outline_goes(rng):
    polygons = shapely.buffer(np.array(ragged(rng, 50)), 0)
    polygons = shapely.get_parts(np.append(polygons, square(0, 0, 9, 9) - square(1, 1, 7, 7)))
    for shapes in (polygons, shapely.reverse(polygons)):
        assert shapely.contains_xy(shapes, *points_within(shapes).T).all()


def test_polygons_that_are_the_same_or_apart():
    first = np.array([square(0), square(0), square(0)])
    second = np.array([square(0), square(5), square(1)])
    cut = overlay(first, second)
    one = square(0).area
    assert areas(cut.shared) == pytest.approx([one, 0, 0])
    assert areas(cut.first_only) == pytest.approx([0, one, one])
    assert areas(cut.second_only) == pytest.approx([0, one, one])
