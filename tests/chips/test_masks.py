"""Masks against a pixel-by-pixel drawing of the same polygons."""

import numpy as np
import pytest
import rasterio
import shapely
from shapely import affinity

from segmentation.chips.mask import BACKGROUND, IGNORE, MINE, draw_mask, read_mask, write_mask
from segmentation.geo.grid import Grid

COL, ROW, FACTOR = 2_785_280, 4_214_784, 2
TRANSFORM = Grid().window_transform(COL, ROW, FACTOR)
ALL = np.ones((512, 512), bool)


def on_chip(geometry):
    """From chip pixels (x to the right, y down) to EPSG:3857."""
    t = TRANSFORM
    return affinity.affine_transform(geometry, [t.a, 0, 0, t.e, t.c, t.f])


def blob(rng, x, y, radius, n=40):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    r = radius * rng.uniform(0.5, 1, n)
    return shapely.Polygon(np.column_stack([x + r * np.cos(angle), y + r * np.sin(angle)]))


@pytest.fixture
def polygons(rng):
    """Mines with holes, islands in holes, several parts, beyond the edges, overlapping, and too small to be seen."""
    lake = blob(rng, 150, 150, 40)
    pit = shapely.Polygon(blob(rng, 150, 150, 140).union(lake.buffer(20)).exterior.coords, [lake.exterior.coords])
    island = blob(rng, 150, 150, 12)
    parts = shapely.MultiPolygon([blob(rng, 400, 100, 60), blob(rng, 400, 300, 60)])
    across = [blob(rng, 0, 500, 60), blob(rng, 520, 505, 80), blob(rng, 395, 320, 50)]
    speck = shapely.Point(300, 450).buffer(0.2)
    return np.array([on_chip(g) for g in (pit, island, parts, *across, speck)], dtype=object)


def drawn_naively(polygons, valid):
    cols, rows = np.meshgrid(np.arange(512) + 0.5, np.arange(512) + 0.5)
    x, y = TRANSFORM @ (cols, rows)
    inside = np.zeros((512, 512), bool)
    for polygon in polygons:
        inside |= shapely.contains_xy(polygon, x, y)
    return np.where(valid, np.where(inside, MINE, BACKGROUND), IGNORE)


def test_a_pixel_is_mine_where_its_centre_lies_in_a_polygon(polygons, rng):
    valid = rng.random((512, 512)) < 0.9
    mask = draw_mask(polygons, TRANSFORM, valid)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, drawn_naively(polygons, valid))
    assert {BACKGROUND, MINE, IGNORE} == set(np.unique(mask).tolist())


def test_a_hole_is_background_and_an_island_in_it_is_mine():
    ring = shapely.Polygon(
        shapely.box(100, 100, 200, 200).exterior.coords, [shapely.box(120, 120, 180, 180).exterior.coords]
    )
    mask = draw_mask(np.array([on_chip(ring), on_chip(shapely.box(140, 140, 150, 150))]), TRANSFORM, ALL)
    assert [mask[y, 145] for y in (99, 100, 119, 120, 139, 140, 149, 150, 180)] == [0, 1, 1, 0, 0, 1, 1, 0, 1]


def test_no_polygons_give_plain_background():
    assert not draw_mask(np.array([], dtype=object), TRANSFORM, ALL).any()


def test_no_data_is_ignored_even_inside_a_mine():
    valid = ALL.copy()
    valid[:, :256] = False
    mask = draw_mask(np.array([on_chip(shapely.box(0, 0, 512, 512))]), TRANSFORM, valid)
    assert (mask[:, :256] == IGNORE).all()
    assert (mask[:, 256:] == MINE).all()


@pytest.fixture
def written(tmp_path, polygons, rng):
    mask = draw_mask(polygons, TRANSFORM, rng.random((512, 512)) < 0.9)
    write_mask(tmp_path / "m.tif", mask, TRANSFORM)
    return tmp_path / "m.tif", mask


def test_a_written_mask_comes_back_with_its_place_and_colours(written):
    path, mask = written
    np.testing.assert_array_equal(read_mask(path), mask)
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 3857
        assert file.transform == TRANSFORM
        assert file.nodata is None
        colours = file.colormap(1)
    assert len({colours[value] for value in (BACKGROUND, MINE, IGNORE)}) == 3
    assert [p.name for p in path.parent.iterdir()] == ["m.tif"], "no side-car that would be lost in a copy"


def test_stock_mmsegmentation_reads_the_classes_despite_the_colour_table(written):
    transforms = pytest.importorskip("mmseg.datasets.transforms")
    path, mask = written
    sample = {"seg_map_path": str(path), "reduce_zero_label": False, "seg_fields": []}
    np.testing.assert_array_equal(transforms.LoadAnnotations()(sample)["gt_seg_map"], mask)
