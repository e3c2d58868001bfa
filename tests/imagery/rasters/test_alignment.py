"""Imagery, chips and masks lie on each other: known shapes go in as quads and polygons, and are found again in pixels.

What is expected is computed here from the grid's figures and the formulas of Web Mercator alone.
"""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from helpers.quads import HALF_WORLD_M, N_QUADS, PIXEL_M, QUAD_PX, paint, world_to_mercator
from shapely import affinity

from segmentation.chips.dataset import cut_windows
from segmentation.chips.mask import BACKGROUND, IGNORE, MINE
from segmentation.core.workspace import Workspace
from segmentation.geo.grid import Grid
from segmentation.imagery.planet.quads import QuadReader
from segmentation.imagery.source import Prepared
from segmentation.windows.plan import full_resolution, plan_windows

CHIP_PX = 512
WORLD_PX = N_QUADS * QUAD_PX
EARTH_RADIUS_M = 6378137.0
OPAQUE = 65535
# Large pictures are written five times as fast as in the layout of conftest's quads.
QUICK = {"compress": "zstd", "zstd_level": 1, "interleave": "band"}
# DN of the ground and of the shape drawn on it, in the file's order: blue, green, red, near infrared.
FOREST, BARE_GROUND = np.array([400, 600, 500, 1000]), np.array([3600, 4200, 4600, 5400])


@dataclass(frozen=True)
class QuadsOnDisk:
    """A source of imagery whose quads are all there."""

    folder: Path
    grid: Grid

    def settings(self):
        return {}

    def prepare(self, windows):
        return (Prepared(position) for position in range(len(windows)))

    def reader(self):
        return QuadReader(self.folder, self.grid)

    def release(self, positions):
        pass

    def close(self):
        pass


def row_at(lat):
    """Row in the world's pixels."""
    return (HALF_WORLD_M - EARTH_RADIUS_M * np.arctanh(np.sin(np.radians(lat)))) / PIXEL_M


def to_degrees(shapes):
    """From the world's pixels to EPSG:4326, by the formula of the sphere."""

    def degrees(xy):
        x, y = world_to_mercator(xy[:, 0], xy[:, 1])
        lat = np.arcsin(np.tanh(y / EARTH_RADIUS_M))
        return np.degrees(np.column_stack([x / EARTH_RADIUS_M, lat]))

    return gpd.GeoSeries(shapely.transform(np.asarray(shapes, object), degrees), crs="EPSG:4326")


def cut_all(folder, quads, plan, labels):
    """Chips and masks by the name of the window, and the plan by it."""
    year = Workspace(folder).year(2019)
    cut_windows(plan, QuadsOnDisk(quads, Grid()), year, labels, workers=1, quiet=True)
    files = {name: (year.chip(split, name), year.mask(split, name)) for name, split in plan[["id", "split"]].to_numpy()}
    return files, plan.set_index("id")


# Masks, pixel by pixel.

CORNER = 900 * QUAD_PX, 1021 * QUAD_PX


def apart(n, dx=0.0, dy=0.0):
    """A place near the corner of four quads; places of different numbers share no quad."""
    return CORNER[0] + 4 * n * QUAD_PX + dx, CORNER[1] + dy


# Side of the window in pixels, and the world's column and row of its centre.
PLACES = {
    "one quad": (512, *apart(0, 1000.3, 2000.7)),
    "two quads": (512, *apart(1, 3.4, 1500.2)),
    "four quads": (512, *apart(2, 90.6, -40.9)),
    "twofold": (1024, *apart(3, 7.1, 1300.5)),
    "sevenfold": (3584, *apart(4, -200.2, 300.3)),
    "tenfold": (5120, *apart(5, 150.8, -99.4)),
    "east end": (512, WORLD_PX - 140.2, row_at(-16.8)),
    "west end": (512, 150.7, row_at(-16.6)),
    "30 north": (512, 1500 * QUAD_PX + 2.2, row_at(29.99)),
    "30 south": (1024, 1500 * QUAD_PX + 5.9, row_at(-29.99)),
}


def blob(rng, x, y, extent, n=60):
    """An irregular outline whose larger extent is as given."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    ring = rng.uniform(0.5, 1, (n, 1)) * np.column_stack([np.cos(angle), np.sin(angle)])
    ring -= (ring.min(axis=0) + ring.max(axis=0)) / 2
    return shapely.Polygon(ring / np.ptp(ring, axis=0).max() * extent + (x, y))


def teeth(rng, x, y, pixel, n=40):
    """Narrow rectangles whose edges pass the centres of chip pixels at a thousandth of a pixel."""
    at = np.floor(np.array([x, y]) / pixel) + 0.5
    west = at[0] + 3 * np.arange(n) + 1e-3 * rng.choice([-1, 1], n)
    south = at[1] + 1e-3 * rng.choice([-1, 1], n)
    return shapely.box(*(pixel * np.array([west, south, west + 1, south + 2 + 2e-3 * rng.choice([-1, 1], n)])))


def mines_at(rng, side, x, y):
    """The mine that the window is planned for, then those around it, in the world's pixels."""
    outline = blob(rng, x, y, 0.47 * side)
    lake = blob(rng, x, y, 0.12 * side)
    island = blob(rng, x, y, 0.04 * side)
    planned = shapely.MultiPolygon([shapely.Polygon(outline.exterior, [lake.exterior]), island])
    around = [
        blob(rng, x + 0.2 * side, y, 0.2 * side),  # overlaps the mine
        blob(rng, x + 0.45 * side, y - 0.3 * side, 0.3 * side),  # cut by the window's edges
        blob(rng, x - 0.5 * side, y - 0.5 * side, 0.2 * side),
        shapely.MultiPolygon([blob(rng, x - k * side, y + 0.4 * side, 0.15 * side) for k in (0.3, 0.7)]),
        *(blob(rng, x + dx, y + 0.4 * side, 0.3 * side / CHIP_PX) for dx in rng.uniform(0, 0.4 * side, 30)),
        *teeth(rng, x - 0.2 * side, y - 0.4 * side, side // CHIP_PX),
    ]
    world = shapely.box(0, 0, WORLD_PX, WORLD_PX)
    return [planned, *(shapely.intersection(mine, world) for mine in around)]


def alpha_of(rng, name, side):
    """Where a window has data: holes of single pixels across the seams of four quads, of some pixels elsewhere.

    Tens of thousands of single holes take seconds a window to outline.
    """
    block = 1 if name == "four quads" else side // 128 + 3
    n = -(-side // block)
    return np.repeat(np.repeat(rng.random((n, n)) < 0.9, block, axis=0), block, axis=1)[:side, :side]


def paint_seen(folder, col, row, seen):
    values = np.empty((5, *seen.shape), "uint16")
    values[:4] = FOREST[:, None, None]
    values[4] = OPAQUE * seen.astype("uint16")
    paint(folder, col, row, values, **QUICK)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """All places cut at once: files, plan, the mines of each place, and where the quads have data."""
    rng = np.random.default_rng(7)
    folder = tmp_path_factory.mktemp("masks")
    mines = {name: mines_at(rng, *place) for name, place in PLACES.items()}
    planned = gpd.GeoDataFrame({"id": list(PLACES)}, geometry=to_degrees([m[0] for m in mines.values()]))
    labels = gpd.GeoDataFrame(geometry=to_degrees([mine for place in mines.values() for mine in place]))
    plan = plan_windows(planned, Grid())
    seen = {}
    for name, col, row, side in plan[["id", "col", "row", "side_px"]].itertuples(index=False):
        seen[name] = alpha_of(rng, name, side)
        paint_seen(folder / "quads", col, row, seen[name])
    return *cut_all(folder, folder / "quads", plan, labels), mines, seen


def expected_mask(mines, seen, col, row, side):
    """The rule itself: a pixel is mine where its centre lies in a polygon, no data where most of it shows nothing."""
    pixel = side // CHIP_PX
    x, y = (start + (np.arange(CHIP_PX) + 0.5) * pixel for start in (col, row))
    inside = np.zeros((CHIP_PX, CHIP_PX), bool)
    for mine in mines:
        west, north, east, south = shapely.bounds(mine)
        near = np.ix_((north <= y) & (y <= south), (west <= x) & (x <= east))
        shapely.prepare(mine)
        inside[near] |= shapely.contains_xy(mine, *np.meshgrid(x[near[1][0]], y[near[0][:, 0]]))
    n_seen = seen.reshape(CHIP_PX, pixel, CHIP_PX, pixel).sum(axis=(1, 3))
    return np.where(2 * n_seen >= pixel**2, np.where(inside, MINE, BACKGROUND), IGNORE)


@pytest.mark.parametrize("name", PLACES)
def test_not_one_pixel_of_a_mask_differs_from_the_rule(drawn, name):
    files, plan, mines, seen = drawn
    window = plan.loc[name]
    with rasterio.open(files[name][1]) as file:
        mask = file.read(1)
    expected = expected_mask(mines[name], seen[name], window["col"], window["row"], window["side_px"])
    assert np.count_nonzero(mask != expected) == 0
    share = [np.mean(expected == value) for value in (BACKGROUND, MINE, IGNORE)]
    assert min(share) > 0.01, "the case must have all three"


@pytest.mark.parametrize("name", PLACES)
def test_the_cases_are_what_they_are_called(drawn, name):
    _, plan, mines, _ = drawn
    window = plan.loc[name]
    first = np.array([window["col"], window["row"]])
    assert window["side_px"] == PLACES[name][0]
    n_quads = np.prod((first + window["side_px"] - 1) // QUAD_PX - first // QUAD_PX + 1)
    expected = {"one quad": 1, "two quads": 2, "twofold": 2, "four quads": 4, "sevenfold": 4, "tenfold": 4}
    assert n_quads == expected.get(name, n_quads)
    assert {"east end": first[0] + 512 == WORLD_PX, "west end": first[0] == 0}.get(name, True)
    edge = shapely.box(*first, *(first + window["side_px"])).exterior
    assert any(mine.intersects(edge) for mine in mines[name])


# Image against mask, by sub-pixel measurement.


def disk(x, y, radius):
    return shapely.Point(x, y).buffer(radius, quad_segs=90)


def tilted_square(x, y, radius):
    return affinity.rotate(shapely.box(x - 0.7 * radius, y - 0.7 * radius, x + 0.7 * radius, y + 0.7 * radius), 23)


def triangle(x, y, radius):
    """No symmetry: it would show in a flipped or turned picture."""
    return shapely.Polygon(
        [(x - radius, y - 0.9 * radius), (x + radius, y - 0.2 * radius), (x - 0.4 * radius, y + radius)]
    )


# The shape, the larger half extent that gives the window its side, the window's side, and where the shape lies.
SHAPES = {
    "disk": (disk, 90.3, 512, *apart(0, 1000.37, 900.81)),
    "square": (tilted_square, 120.6, 512, *apart(1, 31.44, 1700.93)),
    "triangle": (triangle, 115.2, 512, *apart(2, -17.29, 21.63)),
    "twofold triangle": (triangle, 217.9, 1024, *apart(3, 10.71, -33.12)),
    "threefold disk": (disk, 333.1, 1536, *apart(4, 1500.49, 2000.02)),
    "sevenfold triangle": (triangle, 871.4, 3584, *apart(5, -100.55, 63.35)),
    "tenfold square": (tilted_square, 1300.8, 5120, *apart(6, 2047.18, 2040.66)),
    "30 north": (triangle, 118.7, 512, 1500.3 * QUAD_PX, row_at(29.99)),
}


def coverage(convex, col, row, width, height, lines=6):
    """The share of each pixel that a convex polygon covers: exact along a line, so many lines a pixel."""
    ring = shapely.get_coordinates(convex) - (col, row)
    (x0, y0), (x1, y1) = ring[:-1].T, ring[1:].T
    left = np.arange(width, dtype="float32")
    share = np.zeros((height, width), "float32")
    for line in range(lines):
        y = (np.arange(height) + (line + 0.5) / lines)[:, None]
        crosses = (np.minimum(y0, y1) <= y) & (y < np.maximum(y0, y1))
        x = x0 + (y - y0) * (x1 - x0) / np.where(y1 == y0, 1, y1 - y0)
        west = np.where(crosses, x, np.inf).min(axis=1, keepdims=True)
        east = np.where(crosses, x, -np.inf).max(axis=1, keepdims=True)
        share += np.clip(np.minimum(east, left + 1) - np.maximum(west, left), 0, 1)
    return share / lines


def paint_shape(folder, shape, margin):
    """Quads that show bare ground in a shape and forest around it."""
    west, north, east, south = shapely.bounds(shape)
    col, row = int(west) - margin, int(north) - margin
    share = coverage(shape, col, row, int(east) + margin - col, int(south) + margin - row)
    values = np.full((5, *share.shape), OPAQUE, "uint16")
    for band, (ground, bare) in enumerate(zip(FOREST, BARE_GROUND, strict=True)):
        values[band] = np.rint(ground + (bare - ground) * share)
    paint(folder, col, row, values, **QUICK)


@pytest.fixture(scope="module")
def shapes():
    return {name: make(x, y, radius) for name, (make, radius, _, x, y) in SHAPES.items()}


@pytest.fixture(scope="module")
def pictured(tmp_path_factory, shapes):
    """All shapes in quads on disk: the folder, the labels and the plan."""
    folder = tmp_path_factory.mktemp("shapes")
    for name, shape in shapes.items():
        _, radius, side, *_ = SHAPES[name]
        # Ground to the edge of windows that are cut at full resolution too, a strip of it in the largest.
        margin = side // 2 - int(radius) if side <= 1536 else 4 * side // CHIP_PX
        paint_shape(folder / "quads", shape, margin)
    labels = gpd.GeoDataFrame({"id": list(shapes)}, geometry=to_degrees(list(shapes.values())))
    return folder, labels, plan_windows(labels, Grid())


@pytest.fixture(scope="module")
def resampled(pictured):
    folder, labels, plan = pictured
    return cut_all(folder, folder / "quads", plan, labels)


@dataclass(frozen=True)
class Found:
    """Where a shape was found and how large, in the world's pixels."""

    x: float
    y: float
    area: float


def find(weights_and_places):
    """Moments of weights: pairs of (512, 512) weights and the transform (EPSG:3857) of their file."""
    moments = np.zeros(3)
    for weights, transform in weights_and_places:
        cols, rows = np.meshgrid(np.arange(CHIP_PX) + 0.5, np.arange(CHIP_PX) + 0.5)
        x, y = transform @ (cols, rows)
        col, row = (x + HALF_WORLD_M) / PIXEL_M, (HALF_WORLD_M - y) / PIXEL_M
        pixel = (transform.a / PIXEL_M) ** 2
        moments += pixel * np.array([weights.sum(), (weights * col).sum(), (weights * row).sum()])
    return Found(moments[1] / moments[0], moments[2] / moments[0], moments[0])


def find_in_chips(paths, band):
    """Find a shape by its grey values: how far each pixel is from forest to bare ground."""
    low, high = FOREST[[2, 1, 0, 3]][band] / 1e4, BARE_GROUND[[2, 1, 0, 3]][band] / 1e4
    pairs = []
    for path in paths:
        with rasterio.open(path) as chip:
            dn = chip.read(band + 1)
            reflectance = dn * chip.scales[band] + chip.offsets[band]
            pairs.append((np.where(dn > 0, (reflectance - low) / (high - low), 0), chip.transform))
    return find(pairs)


def find_in_masks(paths):
    pairs = []
    for path in paths:
        with rasterio.open(path) as mask:
            pairs.append(((mask.read(1) == MINE).astype(float), mask.transform))
    return find(pairs)


def assert_found(found, shape, pixel, within_px=0.25):
    """Centre and half width (the root of the area) within a share of a chip's pixel."""
    centre = shape.centroid
    assert np.hypot(found.x - centre.x, found.y - centre.y) < within_px * pixel
    assert abs(np.sqrt(found.area) - np.sqrt(shape.area)) < within_px * pixel


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_found_in_the_chip_where_it_was_drawn(resampled, shapes, name):
    files, plan = resampled
    side = plan.loc[name, "side_px"]
    assert side == SHAPES[name][2], "the case must be what it is called"
    for band in range(4):
        assert_found(find_in_chips([files[name][0]], band), shapes[name], side / CHIP_PX)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_found_in_the_mask_where_it_was_drawn(resampled, shapes, name):
    files, plan = resampled
    assert_found(find_in_masks([files[name][1]]), shapes[name], plan.loc[name, "side_px"] / CHIP_PX)


@pytest.mark.parametrize("name", SHAPES)
def test_image_and_mask_agree(resampled, name):
    files, plan = resampled
    image, mask = find_in_chips([files[name][0]], 0), find_in_masks([files[name][1]])
    assert np.hypot(image.x - mask.x, image.y - mask.y) < 0.1 * plan.loc[name, "side_px"] / CHIP_PX


def test_full_resolution_chips_show_the_shape_to_the_quarter_of_their_pixel(pictured, shapes):
    folder, labels, plan = pictured
    large = plan[plan["id"].isin(["twofold triangle", "threefold disk"])].reset_index(drop=True)
    files, chips = cut_all(folder / "native", folder / "quads", full_resolution(large, Grid()), labels)
    for name, parts in chips.groupby("polygon"):
        assert (parts["side_px"] == CHIP_PX).all()
        made = [files[part] for part in parts.index if files[part][0].exists()]
        for band in range(4):
            assert_found(find_in_chips([chip for chip, _ in made], band), shapes[name], 1)
        assert_found(find_in_masks([mask for _, mask in made]), shapes[name], 1)


@pytest.mark.parametrize(("moved", "grown"), [((0.3, 0), 1), ((0, -0.3), 1), ((0, 0), 1.005)])
def test_the_measurement_would_notice_a_third_of_a_pixel(resampled, shapes, moved, grown):
    """The proof above proves something: a shape a little off is not found."""
    files, _ = resampled
    name, pixel = "twofold triangle", 2
    off = affinity.scale(affinity.translate(shapes[name], *(pixel * np.array(moved))), grown, grown)
    with pytest.raises(AssertionError):
        assert_found(find_in_chips([files[name][0]], 0), off, pixel)
