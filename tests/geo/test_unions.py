"""Unions of many groups of polygons at once."""

import numpy as np
import pytest
import shapely
from helpers.panels import ragged, square

from segmentation.geo.unions import unite_groups


def test_every_group_becomes_its_union_however_many_members_it_has(rng):
    shapes = np.array(ragged(rng, 400, spread=12))
    group = rng.choice(80, 400, p=rng.dirichlet(np.full(80, 0.3)))
    size = np.bincount(group, minlength=80)
    assert {0, 1, 2} <= set(size) and size.max() > 20
    united = unite_groups(shapes, group, 80)
    for number, union in enumerate(united):
        if size[number]:
            plain = shapely.union_all(shapes[group == number])
            assert union.is_valid
            assert (union ^ plain).area < 1e-12 * plain.area
        else:
            assert union is None


def test_members_within_the_largest_or_apart_from_it_are_united_as_well():
    large, within, apart = square(0, 0, 9, 9), square(2, 2), square(20)
    united = unite_groups(np.array([within, apart, large, within]), np.array([0, 0, 0, 1]), 2)
    assert united[0].equals(shapely.union(large, apart))
    assert united[1] == within


def test_the_order_of_the_members_does_not_matter(rng):
    shapes, group = np.array(ragged(rng, 60, spread=10)), np.repeat(np.arange(10), 6)
    turned = rng.permutation(60)
    there, back = unite_groups(shapes, group, 10), unite_groups(shapes[turned], group[turned], 10)
    assert shapely.equals_exact(there, back).all()
    assert shapely.area(there) == pytest.approx(shapely.area(back), rel=1e-12)
