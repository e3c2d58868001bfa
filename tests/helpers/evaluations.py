"""A small year with predictions: windows around drawn mines, chips, masks, and probabilities that are partly wrong."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from segmentation.chips.chip import write_chip
from segmentation.chips.mask import draw_mask, write_mask
from segmentation.core.workspace import Workspace
from segmentation.geo.geopackage import Layer, write_geopackage
from segmentation.geo.grid import CHIP_PX, CRS, Grid, Windows, boxes
from segmentation.imagery.reflectance import encode as encode_chip
from segmentation.imagery.source import Pixels
from segmentation.predict.probability import encode, write_probability

YEAR, RUN = 2019, "model_8"
GRID = Grid()
# World pixel in Ghana, at 6 N.
COL, ROW = 4_156_000, 4_053_000
SPLITS = ["test"] * 8 + ["val"] * 4 + ["train"] * 2
# The first two test windows overlap; the third is twice as large.
RIGHT = np.array([0, 256, *np.arange(2, 14) * 2048])
SIDE = np.array([512, 512, 1024, *[512] * 11])


def model(folder: Path) -> tuple[Path, Path]:
    """Files that pass for the config and the checkpoint of ``RUN``: evaluation does not open them."""
    config, checkpoint = folder / "model.py", folder / "model.pth"
    config.write_text("# a model\n")
    checkpoint.write_bytes(b"weights")
    return config, checkpoint


def countries(folder: Path) -> Path:
    """One country: quicker to read than the world's."""
    path = folder / "countries.geojson"
    square = shapely.box(-5, 4, 2, 12)
    gpd.GeoDataFrame({"iso_a3": ["GHA"], "country_name": ["Ghana"]}, geometry=[square], crs="EPSG:4326").to_file(path)
    return path


def draw_year(root: Path, masks: bool = True, chips: bool = True) -> tuple[Workspace, gpd.GeoDataFrame]:
    """Draw a year; returns the workspace and its literature polygons (EPSG:3857).

    In every window lies a mine in the middle, found but for an offset; in every other one the model also sees a
    false one. In val it is surer of everything, mine or not. The left tenth of each window has no data.
    """
    rng = np.random.default_rng(7)
    workspace = Workspace(root)
    folder = workspace.year(YEAR)
    windows = Windows(COL + RIGHT, np.full(len(RIGHT), ROW), SIDE)
    squares = boxes(GRID.window_bounds(windows))
    radius = rng.uniform(20, 110, len(RIGHT)) * GRID.pixel_m
    mines = shapely.buffer(shapely.centroid(squares), radius)
    names = [f"w{number:02d}" for number in range(len(RIGHT))]
    for number, (name, split) in enumerate(zip(names, SPLITS, strict=True)):
        scale = int(SIDE[number]) // CHIP_PX
        transform = GRID.window_transform(int(windows.col[number]), ROW, scale)
        valid = np.ones((CHIP_PX, CHIP_PX), bool)
        valid[:, :51] = False
        if masks:
            write_mask(folder.mask(split, name), draw_mask(mines, transform, valid), transform)
        seen = shapely.affinity.translate(mines[number], 8 * number * GRID.pixel_m / 2)
        sure = draw_mask(np.array([seen]), transform, valid) == 1
        probability = np.clip(rng.normal(0.15 + 0.6 * sure + 0.1 * (split == "val"), 0.09), 0, 1)
        if number % 2:
            probability[30:60, 400:440] = 0.9
        levels = np.rint(250 * probability).astype("uint8")
        write_probability(folder.probability(RUN, name), encode(levels, valid), transform)
        if chips:
            reflectance = np.stack([0.05 + 0.2 * sure + rng.normal(0, 0.01, sure.shape)] * 4).astype("float32")
            write_chip(folder.chip(split, name), encode_chip(Pixels(reflectance, valid)), transform, {})
    frame = gpd.GeoDataFrame(
        {
            "id": names,
            "split": SPLITS,
            "group": np.maximum(np.arange(len(RIGHT)), 1),
            "col": windows.col,
            "row": windows.row,
            "side_px": SIDE,
            "status": "written",
            "pixel_3857_m": SIDE / CHIP_PX * GRID.pixel_m,
        },
        geometry=squares,
        crs=CRS,
    )
    write_geopackage(folder.windows, [Layer("windows", frame, "Polygon")], {"level": str(GRID.level)})
    return workspace, gpd.GeoDataFrame({"id": names}, geometry=mines, crs=CRS)
