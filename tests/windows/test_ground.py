"""The valid ground of a chip: area for area what its valid pixels cover, in few corners."""

import numpy as np
import pytest
import shapely
from rasterio import Affine
from scipy import ndimage

from segmentation.windows.ground import TOLERANCE, valid_ground

ROW, COL = np.mgrid[:512, :512]
PIXELS = Affine.identity()


def clouds(rng, size_px):
    return ndimage.gaussian_filter(rng.normal(size=(512, 512)), size_px) > -0.1 / size_px


def test_few_corners_are_kept_exactly():
    valid = (COL < 190) & ~((ROW >= 100) & (ROW < 110) & (COL >= 20) & (COL < 25))
    ground = valid_ground(valid, Affine(2, 0, 1000, 0, -2, 5000))
    expected = shapely.box(1000, 5000 - 1024, 1380, 5000) - shapely.box(1040, 4780, 1050, 4800)
    assert ground.equals(expected)


@pytest.mark.parametrize("size_px", [2, 8, 30])
def test_clouds_keep_their_area_to_the_tolerance(rng, size_px):
    valid = clouds(rng, size_px)
    ground = valid_ground(valid, PIXELS)
    assert ground.is_valid
    assert ground.area == pytest.approx(valid.sum(), rel=TOLERANCE)
    inside = shapely.contains_xy(ground, COL + 0.5, ROW + 0.5)
    assert (inside != valid).sum() < 0.02 * valid.sum()
    assert not (inside & ~ndimage.binary_dilation(valid, iterations=2)).any()


def test_a_slanting_edge_of_a_scene_takes_few_corners():
    valid = COL + 0.7 * ROW < 300
    ground = valid_ground(valid, PIXELS)
    assert ground.area == pytest.approx(valid.sum(), rel=TOLERANCE)
    assert shapely.get_num_coordinates(ground) < 150


def test_specks_are_left_out_only_as_far_as_the_area_allows(rng):
    few, many = (rng.random((512, 512)) > share for share in (0.0005, 0.05))
    assert shapely.get_num_coordinates(valid_ground(few, PIXELS)) == 5
    assert valid_ground(many, PIXELS).area == many.sum()


def test_nothing_valid_is_an_empty_polygon():
    assert valid_ground(np.zeros((512, 512), bool), PIXELS).is_empty
