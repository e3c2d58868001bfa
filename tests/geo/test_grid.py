"""The pixel grid against Planet's own numbers, and windows against what they promise."""

import numpy as np
import pytest
import rasterio.transform
from rasterio import Affine

from segmentation.geo.grid import (
    CHIP_PX,
    HALF_WORLD_M,
    QUAD_PX,
    Grid,
    Windows,
    boxes,
    lonlat_to_mercator,
    mercator_to_lonlat,
    misplaced_px,
    quad_name,
)

GRID = Grid()

# Quads as Planet's API has answered them: id, bounding box in degrees.
REAL_QUADS = {
    "639-942": (-67.6757812405, -14.2643830856, -67.4999999906, -14.0939571759),
    "1088-1058": (11.2499999985, 5.9657536703, 11.4257812485, 6.14055478166),
    "763-959": (-45.8789062436, -11.3507967208, -45.7031249936, -11.1784018721),
    "611-684": (-72.5976562399, -51.1793429741, -72.4218749899, -51.0690166544),
    "612-684": (-72.4218749899, -51.1793429741, -72.2460937399, -51.0690166544),
}


def windows(*rows):
    return Windows(*np.array(rows, dtype="int64").reshape(-1, 3).T)


def random_bounds(rng, n, largest_m=20_000):
    """Bounds of n polygons of any size in the tropical belt, EPSG:3857."""
    x, y = lonlat_to_mercator(rng.uniform(-179, 179, n), rng.uniform(-30, 30, n))
    width, height = np.exp(rng.uniform(0, np.log(largest_m), (2, n)))
    return np.column_stack([x, y, x + width, y + height])


@pytest.mark.parametrize(("name", "box"), REAL_QUADS.items())
def test_quads_lie_where_planet_puts_them(name, box):
    x, y = map(int, name.split("-"))
    minx, miny, maxx, maxy = GRID.quad_bounds(x, y)
    west, south = mercator_to_lonlat(minx, miny)
    east, north = mercator_to_lonlat(maxx, maxy)
    assert (west, south, east, north) == pytest.approx(box, abs=5e-10)
    assert quad_name(*GRID.quad_at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)) == name


def test_a_real_quads_georeferencing_is_met_to_a_tenth_of_a_millimetre():
    transform = GRID.window_transform(*GRID.quad_origin(680, 1018))
    assert (transform.c, transform.f) == pytest.approx((-6731350.457964594, -97839.39618517831), abs=1e-4)
    assert transform.a == pytest.approx(4.77731426716, abs=1e-11)
    assert transform.e == -transform.a
    south_west = mercator_to_lonlat(*(transform @ (0, QUAD_PX)))
    assert south_west == pytest.approx((-60.468749991545344, -1.0546279420732092), abs=5e-10)


@pytest.mark.parametrize(
    ("lon", "lat", "name"),
    [
        (-67.6, -14.2, "639-942"),
        (-100, 40, "455-1272"),
        (-180, 85.05, "0-2047"),
        (180, -85.05, "2047-0"),
        (1e-9, 1e-9, "1024-1024"),
        (-1e-3, -1e-3, "1023-1023"),
    ],
)
def test_a_point_lies_in_the_quad_that_planet_names(lon, lat, name):
    assert quad_name(*GRID.quad_at(lon, lat)) == name


def test_quad_bounds_come_for_many_quads_at_once():
    many = GRID.quad_bounds(np.array([0, 2047]), np.array([0, 2047]))
    assert many.shape == (2, 4)
    assert many[0, :2] == pytest.approx([-HALF_WORLD_M] * 2)
    assert many[1, 2:] == pytest.approx([HALF_WORLD_M] * 2)


def test_windows_are_centred_whole_and_large_enough(rng):
    bounds = random_bounds(rng, 5000)
    found = GRID.windows_around(bounds)
    extent_px = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]) / GRID.pixel_m

    assert {found.col.dtype, found.row.dtype, found.side_px.dtype} == {np.dtype("int64")}
    assert (found.side_px % CHIP_PX == 0).all()
    assert (found.side_px >= 2 * extent_px).all()
    assert (found.side_px < np.maximum(2 * extent_px, 1) + CHIP_PX).all(), "no larger than the next whole chip"
    centre = (bounds[:, :2] + bounds[:, 2:]) / 2
    around = GRID.window_bounds(found)
    off_px = np.abs((around[:, :2] + around[:, 2:]) / 2 - centre) / GRID.pixel_m
    assert off_px.max() <= 0.5 + 1e-6


def test_every_polygon_lies_whole_in_its_window(rng):
    bounds = random_bounds(rng, 5000)
    around = GRID.window_bounds(GRID.windows_around(bounds))
    assert (around[:, :2] <= bounds[:, :2]).all()
    assert (around[:, 2:] >= bounds[:, 2:]).all()


def test_a_point_gets_the_smallest_window():
    assert GRID.windows_around(np.array([[10.0, 10.0, 10.0, 10.0]])).side_px.tolist() == [CHIP_PX]


def test_a_mine_of_half_a_window_and_a_pixel_gets_the_next_size():
    half, more = 256 * GRID.pixel_m, 257 * GRID.pixel_m
    sides = GRID.windows_around(np.array([[0, 0, half - 1, 1], [0, 0, more, 1], [0, 0, 1, more]])).side_px
    assert sides.tolist() == [512, 1024, 1024]


@pytest.mark.parametrize(
    ("lon", "col"),
    [
        (179.9995, 2**23 - 512),
        (180, 2**23 - 512),
        (-180, 0),
        (-179.9995, 0),
        (179.96, 2**23 - 932 - 256),  # Fiji: 0.04 degrees are 932 pixels, room enough to be centred
    ],
)
def test_a_window_at_the_antimeridian_stays_on_its_side(lon, col):
    x, y = lonlat_to_mercator(lon, -16.5)
    found = GRID.windows_around(np.array([[x - 50, y - 50, x + 50, y + 50]]))
    assert (found.col[0], found.side_px[0]) == (col, 512)
    west, _, east, _ = GRID.window_bounds(found)[0]
    assert -HALF_WORLD_M <= west < east <= HALF_WORLD_M + 1e-6


def test_a_shifted_window_still_shows_its_polygon():
    x, y = lonlat_to_mercator(179.9995, -16.5)
    bounds = np.array([[x - 50, y - 50, x + 50, y + 50]])
    found = GRID.windows_around(bounds)
    around = GRID.window_bounds(found)[0]
    assert found.col[0] + found.side_px[0] == GRID.world_px
    assert around[0] <= bounds[0, 0]
    assert around[2] >= bounds[0, 2]
    assert around[2] == pytest.approx(HALF_WORLD_M)


def test_transforms_agree_with_bounds(rng):
    found = GRID.windows_around(random_bounds(rng, 50))
    for col, row, side, bounds in zip(found.col, found.row, found.side_px, GRID.window_bounds(found), strict=True):
        transform = GRID.window_transform(int(col), int(row), int(side) // CHIP_PX)
        assert rasterio.transform.array_bounds(CHIP_PX, CHIP_PX, transform) == pytest.approx(tuple(bounds), abs=1e-6)
    assert boxes(GRID.window_bounds(found))[0].bounds == pytest.approx(tuple(GRID.window_bounds(found)[0]))


def quads_by_loop(col, row, side):
    """Every quad that a pixel of the window lies in, found from the window's own corners and quad-wide steps."""
    cols = {c // QUAD_PX for c in [*range(col, col + side, QUAD_PX), col + side - 1]}
    rows = {r // QUAD_PX for r in [*range(row, row + side, QUAD_PX), row + side - 1]}
    return {(x, GRID.n_quads - 1 - north) for x in cols for north in rows}


def test_quads_of_windows_equal_those_found_by_a_loop(rng):
    n = 400
    side = CHIP_PX * rng.integers(1, 40, n)
    # A third of the windows start right at a quad's edge, a third end there.
    col, row = rng.integers(0, GRID.world_px - 40 * CHIP_PX, (2, n))
    col[: n // 3] -= col[: n // 3] % QUAD_PX
    row[n // 3 : 2 * n // 3] -= (row + side)[n // 3 : 2 * n // 3] % QUAD_PX
    row = np.maximum(row, 0)
    position, x, y = GRID.quads_of(Windows(col, row, side))

    assert (np.diff(position) >= 0).all()
    for i in range(n):
        own = position == i
        found = list(zip(x[own].tolist(), y[own].tolist(), strict=True))
        assert len(found) == len(set(found))
        assert set(found) == quads_by_loop(int(col[i]), int(row[i]), int(side[i]))


@pytest.mark.parametrize(
    ("col", "row", "expected"),
    [
        (0, 0, {"0-2047"}),
        (QUAD_PX - 512, 0, {"0-2047"}),
        (QUAD_PX - 511, 0, {"0-2047", "1-2047"}),
        (0, QUAD_PX - 1, {"0-2047", "0-2046"}),
        (QUAD_PX - 256, QUAD_PX - 256, {"0-2047", "1-2047", "0-2046", "1-2046"}),
        (8388608 - 512, 8388608 - 512, {"2047-0"}),
    ],
)
def test_a_window_touches_the_quads_that_hold_its_pixels(col, row, expected):
    _, x, y = GRID.quads_of(windows((col, row, 512)))
    assert set(map(quad_name, x, y)) == expected


def test_no_windows_touch_no_quads():
    position, x, y = GRID.quads_of(windows())
    assert len(position) == len(x) == len(y) == 0


def test_all_the_literatures_polygons_are_planned_at_once(rng):
    n = 45_000
    found = GRID.windows_around(random_bounds(rng, n))
    position, x, y = GRID.quads_of(found)
    assert len(found) == n
    assert set(position.tolist()) == set(range(n))
    assert ((x >= 0) & (x < GRID.n_quads) & (y >= 0) & (y < GRID.n_quads)).all()


def test_a_coarser_grid_has_twice_the_pixel_and_half_the_quads():
    coarse = Grid(level=14)
    assert coarse.pixel_m == pytest.approx(9.5546285343)
    assert coarse.n_quads == 1024
    assert quad_name(*coarse.quad_at(-67.6, -14.2)) == "319-471"


@pytest.mark.parametrize(
    ("change", "off_px"),
    [
        (Affine.identity(), 0),
        (Affine.translation(0.25, -0.5), 0.5),
        (Affine.scale(1.001), 10),  # right in one corner, wrong in the others
        (Affine.shear(45, 0), 5000),
    ],
)
def test_a_raster_is_as_misplaced_as_the_worst_of_its_corners(change, off_px):
    expected = Affine(10, 0, 300_000, 0, -10, 9_000_000)
    assert misplaced_px(expected @ change, expected, 10_000, 5000) == pytest.approx(off_px, abs=1e-6)
