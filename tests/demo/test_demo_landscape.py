"""The synthetic landscape: seamless, repeatable, with mines where the truth has them."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from segmentation.demo.landscape import sites
from segmentation.demo.landscape.mineparts import ground_plan
from segmentation.demo.landscape.noise import Frame, fractal_noise, scatter, texture_tile
from segmentation.demo.landscape.render import mosaic_year, render_quad
from segmentation.demo.landscape.sky import gap_mask
from segmentation.demo.planet.quads import write_quad
from segmentation.geo.grid import QUAD_PX, Grid

GRID = Grid()
DISTRICT = next(district for district in sites.DISTRICTS if district.name == "kolwezi")
X, Y = sites.district_quad(DISTRICT)


@pytest.fixture(scope="module")
def quads():
    """Three quads that meet, by their x and y, as of 2019."""
    return {at: render_quad(GRID, *at, 2019) for at in ((X, Y), (X + 1, Y), (X, Y + 1))}


@pytest.fixture(scope="module")
def later():
    return render_quad(GRID, X, Y, 2023)


def inside_quad(mine):
    """Rows and columns of a mine's surroundings in its district's quad."""
    col, row = GRID.quad_origin(X, Y)
    reach = int(2 * mine.radius_px)
    top, left = int(mine.row - row) - reach, int(mine.col - col) - reach
    return np.s_[max(0, top) : top + 2 * reach, max(0, left) : left + 2 * reach]


def footprint_mask(mine, year):
    """(4096, 4096) bool: the mine's true footprint in its district's quad, by the pixel-centre rule."""
    col, row = GRID.quad_origin(X, Y)
    pixels = rasterio.Affine(1, 0, col, 0, 1, row)
    return rasterize([mine.footprint_px(year)], (QUAD_PX, QUAD_PX), transform=pixels).astype(bool)


def test_a_quad_has_plausible_reflectances(quads):
    quad = quads[X, Y]
    assert quad.shape == (5, QUAD_PX, QUAD_PX)
    assert quad.dtype == np.uint16
    assert set(np.unique(quad[4]).tolist()) <= {0, 65535}
    valid = quad[4] > 0
    blue, green, red, nir = (np.median(band[valid]) for band in quad[:4])
    assert 150 < blue < green < 1500
    assert 150 < red < 1500 < nir < 4500
    assert quad[:4][:, valid].min() > 0
    assert not quad[:4][:, ~valid].any()


@pytest.mark.parametrize("side", ["east", "north"])
def test_neighbouring_quads_meet_without_a_seam(quads, side):
    here = quads[X, Y][:4].astype("float32")
    if side == "east":
        there = quads[X + 1, Y][:4].astype("float32")
        strip = np.concatenate([here[:, :, -64:], there[:, :, :64]], axis=2)
    else:
        there = quads[X, Y + 1][:4].astype("float32")
        strip = np.concatenate([there[:, -64:], here[:, :64]], axis=1).transpose(0, 2, 1)
    steps = np.abs(np.diff(strip, axis=2)).mean(axis=1)
    for band in steps:
        inside = np.delete(band, 63)
        assert band[63] < 1.2 * inside.max()


def test_rendering_is_repeatable_and_mosaics_differ(quads, later):
    assert np.array_equal(render_quad(GRID, X, Y, 2023), later)
    assert not np.array_equal(quads[X, Y], later)


def test_land_stays_the_same_but_for_crops_and_season(quads, later):
    change = np.abs(quads[X, Y][3, ::8, ::8].astype(int) - later[3, ::8, ::8].astype(int))
    assert np.median(change) < 150


def test_mines_are_brighter_and_browner_than_their_surroundings(quads):
    quad = quads[X, Y].astype("float32")
    seen = 0
    for mine in sites.mines():
        if not (mine.id.startswith(DISTRICT.name) and mine.is_active(2019)) or mine.id.endswith("07"):
            continue
        around = inside_quad(mine)
        mask = footprint_mask(mine, 2019)[around]
        red, nir = quad[2][around], quad[3][around]
        greenness = (nir - red) / (nir + red + 1)
        assert np.median(greenness[mask]) < np.median(greenness[~mask]) - 0.25
        assert np.median(red[mask]) > np.median(red[~mask])
        seen += 1
    assert seen >= 4


def test_the_drawn_mine_is_the_true_footprint():
    mine = next(mine for mine in sites.mines() if mine.island is not None)
    minx, miny, maxx, maxy = (int(v) for v in mine.footprint_px(2019).bounds)
    frame = Frame(minx - 8, miny - 8, maxx - minx + 16, maxy - miny + 16)
    drawn = ground_plan(frame, mine, 2019).inside.astype(bool)
    pixels = rasterio.Affine(1, 0, frame.col, 0, 1, frame.row)
    truth = rasterize([mine.footprint_px(2019)], frame.shape, transform=pixels).astype(bool)
    assert (drawn & truth).sum() / (drawn | truth).sum() > 0.97


def test_a_closed_mine_regrows():
    mine = replace(sites.mines()[0], closed=2020)
    assert mine.is_active(2019)
    assert not mine.is_active(2020)
    assert mine.footprint_px(2023).equals(mine.footprint_px(2019))


def test_gaps_belong_to_mosaics_and_are_rare():
    shares = []
    for district in sites.DISTRICTS:
        col, row = GRID.quad_origin(*sites.district_quad(district))
        gaps = gap_mask(Frame(col, row, QUAD_PX, QUAD_PX, 16), "2019")
        shares.append(0 if gaps is None else gaps.mean())
    assert 0 < np.mean(shares) < 0.05


@pytest.mark.parametrize(
    ("mosaic", "year"),
    [
        (2019, 2019),
        ("planet_medres_normalized_analytic_2019-06_2019-11_mosaic", 2019),
        ("planet_medres_normalized_analytic_2015-12_2016-05_mosaic", 2016),
        ("planet_medres_normalized_analytic_2021-07_mosaic", 2021),
    ],
)
def test_the_year_of_a_mosaic(mosaic, year):
    assert mosaic_year(mosaic) == year


def test_noise_is_the_same_from_wherever_it_is_seen():
    whole = fractal_noise(Frame(1000, -512, 512, 512, 2), 7, 256, 4)
    part = fractal_noise(Frame(1100, -300, 200, 100, 2), 7, 256, 4)
    assert np.allclose(part, whole[106:156, 50:150], atol=1e-5)
    assert abs(fractal_noise(Frame(0, 0, 8192, 8192, 16), 3, 256, 16).std() - 1) < 0.25


def test_texture_tiles_are_periodic():
    tile = texture_tile(1, 1.5)
    across = np.abs(tile[:, 0] - tile[:, -1]).mean()
    assert across < 1.2 * np.abs(np.diff(tile, axis=1)).mean()


def test_scattered_points_are_the_same_from_wherever_they_are_seen():
    west = scatter(Frame(0, 0, 4096, 4096), 5, 512, 0.5, 0)
    both = scatter(Frame(0, 0, 8192, 4096), 5, 512, 0.5, 0)
    assert set(west.col.tolist()) <= set(both.col.tolist())


def test_a_quad_file_has_the_form_of_planets(tmp_path, quads):
    path = tmp_path / "quad.tif"
    write_quad(path, GRID, X, Y, quads[X, Y])
    with rasterio.open(path) as quad:
        assert quad.count == 5
        assert quad.dtypes == ("uint16",) * 5
        assert quad.crs.to_epsg() == 3857
        assert quad.block_shapes == [(512, 512)] * 5
        assert [colour.name for colour in quad.colorinterp] == ["blue", "green", "red", "undefined", "alpha"]
        assert quad.nodata is None
        assert np.allclose(quad.bounds, GRID.quad_bounds(X, Y), atol=1e-3)
        assert abs(quad.transform.a - GRID.pixel_m) < 1e-9
        assert np.array_equal(quad.read(), quads[X, Y])
