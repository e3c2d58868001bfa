"""Sentinel-2's tiles by arithmetic: held against the headers of published tiles, and against every point of windows."""

import numpy as np
import pytest
import shapely
from helpers.own_rasters import mercator
from helpers.quads import HALF_WORLD_M
from pyproj import Transformer

from segmentation.geo.grid import Grid, Windows
from segmentation.imagery.sentinel2.tiles import (
    TILE_BLOCK_PX,
    TILE_BLOCKS_ACROSS,
    TILE_M,
    TILE_PX,
    blocks_under,
    cells_of,
    tile,
)

GRID = Grid(14)

# As the headers of published tiles have them: EPSG code, x and y of the north-west corner, recorded in
# github.com/taylor-geospatial/sentinel-2-quarterly-mosaics, tools/grid_fixtures.json.
PUBLISHED = {
    "04QHG_0_0": (32604, 799980, 2200020),
    "11QPA_0_0": (32611, 600000, 2100000),
    "17FQB_0_1": (32717, 699960, 4099960),
    "17MKR_0_0": (32717, 199980, 9600040),
    "19KCQ_0_0": (32719, 300000, 7500040),
    "22LFH_0_0": (32722, 600000, 8300020),
    "23NKB_0_0": (32623, 199980, 200040),
    "29NPH_0_0": (32629, 600000, 800040),
    "43MCP_0_0": (32743, 300000, 9400000),
    "53MNV_0_0": (32753, 499980, 10000000),
    "57PZL_0_0": (32657, 799980, 1100040),
    "60KYC_0_0": (32760, 699960, 7800040),
    "60WWV_1_0": (32660, 600060, 7500000),
    "01LDG_0_0": (32701, 399960, 8700040),
}


def window(lon, lat, side_px=512):
    x, y = mercator(lon, lat)
    return GRID.windows_around(np.array([[x, y, x, y]])) if side_px == 512 else sized(x, y, side_px)


def sized(x, y, side_px):
    half = side_px * GRID.pixel_m / 4
    return GRID.windows_around(np.array([[x - half, y - half, x + half, y + half]]))


def candidates(lon, lat, side_px=512):
    return cells_of(window(lon, lat, side_px), GRID).candidates


@pytest.mark.parametrize("name", PUBLISHED)
def test_tiles_lie_where_the_published_ones_do(name):
    found = tile(name)
    assert (found.epsg, found.left_m, found.top_m) == PUBLISHED[name]


def test_a_window_inside_a_square_needs_its_tile():
    assert [names[0] for names in candidates(-56.5, -5.0)] == ["21MWQ_0_0"]


def test_a_window_on_a_corner_needs_four_tiles():
    lon, lat = Transformer.from_crs("EPSG:32721", "EPSG:4326", always_xy=True).transform(700_000, 9_400_000)
    owners = {names[0] for names in candidates(lon, lat)}
    assert owners == {"21MXP_0_0", "21MYP_0_0", "21MXQ_0_0", "21MYQ_0_0"}


def test_the_tile_across_a_zones_edge_stands_in_for_a_sliver():
    (names,) = (names for names in candidates(-53.98, -5.0) if names[0].startswith("22"))
    assert names[:2] == ("22MAV_0_0", "21MZQ_0_0")


def test_a_square_in_two_bands_of_latitude_has_two_names():
    # 8 degrees north lie at 884 km: the larger part of the square from 800 to 900 km is south of them.
    (names,) = candidates(4.0, 8.05)
    assert names[:2] == ("31NFJ_0_0", "31PFJ_0_0")


def test_at_the_antimeridian_tiles_may_be_counted_from_the_square_before():
    for names in candidates(179.97, -17.5):
        assert names[0] == "60KZF_0_0"
        assert "60KYF_1_0" in names


@pytest.mark.parametrize(
    ("lon", "lat", "side_px"),
    [(-57, 0, 512), (5.99, 15, 4096), (179.99, -17, 1024), (-179.99, 10, 1024), (0, -24, 32768), (12.0, 25.8, 512)],
)
def test_every_point_of_a_window_lies_in_one_of_its_tiles(lon, lat, side_px, rng):
    windows = window(lon, lat, side_px)
    cells = cells_of(windows, GRID)
    minx, miny, maxx, maxy = GRID.window_bounds(windows)[0]
    x, y = rng.uniform(minx, maxx, 2000), rng.uniform(miny, maxy, 2000)
    seen = np.zeros(2000, bool)
    for names in cells.candidates:
        place = tile(names[0])
        east, north = Transformer.from_crs("EPSG:3857", place.epsg, always_xy=True).transform(x, y)
        right, down = east - place.left_m, place.top_m - north
        seen |= (right >= 0) & (right < TILE_M) & (down >= 0) & (down < TILE_M)
    assert seen.all()


@pytest.mark.parametrize("side_px", [512, 2048])
def test_blocks_are_those_under_the_window(side_px):
    windows = window(-56.5, -5.0, side_px)
    (names,) = (names for names in cells_of(windows, GRID).candidates if names[0] == "21MWQ_0_0")
    (blocks,) = blocks_under(names[0], windows, GRID)
    place = tile(names[0])
    square = shapely.box(*GRID.window_bounds(windows)[0])
    row, col = np.divmod(np.arange(TILE_BLOCKS_ACROSS**2), TILE_BLOCKS_ACROSS)
    left, top = place.left_m + col * TILE_BLOCK_PX * 10, place.top_m - row * TILE_BLOCK_PX * 10
    to_map = Transformer.from_crs(place.epsg, "EPSG:3857", always_xy=True)
    corners = [to_map.transform(left + dx * 2560, top - dy * 2560) for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))]
    shapes = shapely.polygons(np.stack([np.column_stack(corner) for corner in corners], axis=1))
    touched = np.flatnonzero(shapely.intersects(shapes, square))
    assert set(touched) <= set(blocks.tolist())
    assert len(blocks) <= len(touched) + 2 * np.sqrt(len(touched)) + 2
    assert TILE_PX == 10_008


def test_windows_far_apart_keep_their_own_tiles():
    one, other = window(-56.5, -5.0), window(30.0, 12.0)
    both = Windows(*(np.concatenate([getattr(w, name) for w in (one, other)]) for name in ("col", "row", "side_px")))
    cells = cells_of(both, GRID)
    found = {w: {cells.candidates[cell][0] for cell in cells.cell[cells.window == w]} for w in (0, 1)}
    assert found == {0: {"21MWQ_0_0"}, 1: {names[0] for names in cells_of(other, GRID).candidates}}
    assert abs(GRID.window_bounds(both)).max() < HALF_WORLD_M
