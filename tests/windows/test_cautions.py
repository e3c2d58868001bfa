"""What step 1 says loudly, and what it is silent about."""

import geopandas as gpd
import numpy as np
import pytest
import shapely

from segmentation.geo.grid import Grid, lonlat_to_mercator
from segmentation.windows import cautions
from segmentation.windows.plan import full_resolution, plan_windows
from segmentation.windows.statuses import TOO_LITTLE_DATA, WRITTEN

GRID = Grid()
WEST, SOUTH = lonlat_to_mercator(-60.0, -3.5)


def disc(radius_m, east_m=0.0, north_m=0.0):
    return shapely.Point(WEST + east_m, SOUTH + north_m).buffer(radius_m, quad_segs=16)


def cells(across, side_m):
    corners = [(side_m * i, side_m * j) for i in range(across) for j in range(across)]
    return [shapely.box(WEST + x, SOUTH + y, WEST + x + side_m, SOUTH + y + side_m) for x, y in corners]


def frame(**shapes):
    return gpd.GeoDataFrame({"id": list(shapes)}, geometry=list(shapes.values()), crs="EPSG:3857").to_crs("EPSG:4326")


def grid_of_squares(across=6, side_m=1000.0):
    return frame(**{f"cell-{number}": cell for number, cell in enumerate(cells(across, side_m))})


MINES = frame(pit=disc(300), dump=disc(200, 4000), pond=disc(900, -9000), quarry=disc(150, 0, 7000), well=disc(80, 9e4))


def test_ordinary_mines_are_nothing_to_speak_of():
    plan = plan_windows(MINES, GRID)
    assert cautions.of_plan(plan, GRID) == []
    assert cautions.of_polygons(MINES) == []
    assert cautions.of_labels_to_be(plan, MINES) == []


def test_windows_resampled_three_times_and_more_are_counted_and_named_with_their_pixels():
    factor = {"twice": 2, "thrice": 3, "largest": 8}
    # Half of a window that is a whole number of chips wide, less a pixel.
    shapes = {name: disc(times * 512 * GRID.pixel_m / 4 - 5, 1e5 * times) for name, times in factor.items()}
    plan = plan_windows(frame(**shapes), GRID)
    [told] = cautions.of_plan(plan, GRID)
    assert told.startswith("2 of 3 windows are resampled 3 times and more, to pixels of up to 38 m instead of 4.8 m: ")
    assert "largest (38 m), thrice (14 m); --native cuts them into 73 chips" in told
    assert cautions.of_plan(full_resolution(plan, GRID), GRID) == []


@pytest.mark.parametrize("native", [False, True])
def test_a_basin_as_one_polygon_is_told_from_a_mine(native):
    basin = frame(basin=disc(37_000), pit=disc(300, 1e5))
    plan = plan_windows(basin, GRID)
    told = cautions.of_plan(full_resolution(plan, GRID) if native else plan, GRID)
    assert told[-1].startswith("1 of 2 polygons are 20 km wide and more, a region")
    assert "basin (about 75 km)" in told[-1]
    assert len(told) == (1 if native else 2)
    if not native:
        assert "basin (291 m)" in told[0]


def test_a_grid_of_squares_is_told_from_outlines_of_mines_in_any_crs():
    squares = grid_of_squares()
    for crs in ("EPSG:4326", "EPSG:3857", "EPSG:6933", "EPSG:32720"):
        [told] = cautions.of_polygons(squares.to_crs(crs))
        assert told.startswith("36 of 36 polygons are rectangles")
        assert "cell-0, cell-1, " in told and "cell-11 and 24 more" in told
    few = gpd.GeoDataFrame({"id": list("abcdefghi")}, geometry=[*MINES.geometry, *squares.geometry[:4]], crs=4326)
    assert cautions.of_polygons(few) == []


def test_masks_that_will_be_nearly_all_mine_are_counted_and_named():
    squares = grid_of_squares()
    [told] = cautions.of_labels_to_be(plan_windows(squares, GRID), squares)
    # Windows of 2.4 km: those of the inner 4 x 4 cells lie in the grid as a whole.
    assert told.startswith("16 of 36 masks will be nearly all mine (90% of their pixels and more): cell-7 (100.0%)")
    # The same ground twice is no more ground.
    twice = frame(a=cells(1, 600)[0], b=cells(1, 600)[0], **{f"c{n}": cells(1, 600)[0] for n in range(30)})
    assert cautions.of_labels_to_be(plan_windows(twice, GRID), twice) == []


def test_polygons_that_may_vanish_in_their_masks_are_named():
    mines = frame(pit=disc(300), well=disc(1.5, 9000), shaft=disc(3.0, -9000))
    [told] = cautions.of_labels_to_be(plan_windows(mines, GRID), mines)
    assert told == "1 of 3 polygons are smaller than a pixel of their mask and may vanish in it: well"


def written(share, names=None, status=WRITTEN):
    names = [f"m{number}" for number in range(len(share))] if names is None else names
    polygons = [name.partition("_")[0] for name in names]
    return gpd.GeoDataFrame({"id": names, "polygon": polygons, "status": status, "mine_share": share})


def test_a_year_of_masks_is_judged_by_its_pixels():
    assert cautions.of_labels(written([0.1, 0.2])) == []
    assert cautions.of_labels(written([np.nan, np.nan])) == [], "a year without masks"
    assert cautions.of_labels(written([0.0, 0.0], status=TOO_LITTLE_DATA)) == []
    [nothing] = cautions.of_labels(written([0.0, 0.0]))
    assert nothing.startswith("no pixel of the 2 masks is mine")
    [everything, nearly] = cautions.of_labels(written([1.0, 1.0]))
    assert everything.startswith("every pixel of the masks is mine")
    assert nearly.startswith("2 of 2 masks are nearly all mine")
    [some] = cautions.of_labels(written([0.95, 0.89, 0.2]))
    assert some.startswith("1 of 3 masks are nearly all mine (90% of their pixels and more): m0 (95.0%)")
    [lost] = cautions.of_labels(written([0.3, 0.0]))
    assert lost.startswith("1 of 2 masks hold no pixel of mine though a polygon lies in their middle") and "m1" in lost


def test_chips_of_full_resolution_may_be_all_mine_or_none():
    assert cautions.of_labels(written([1.0, 0.0, 0.3], ["big_0_0", "big_0_1", "pit"])) == []
