"""A small year with chips for step 3, and step 3 as it is typed, in this process."""

import io
import logging
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from helpers.step_1 import Done

import gpkg_dataset_generation as script
from segmentation.chips.chip import write_chip
from segmentation.core import cli
from segmentation.core.files import write_json
from segmentation.core.workspace import Workspace
from segmentation.geo.geopackage import Layer, write_geopackage
from segmentation.geo.grid import CRS, Grid, Windows, boxes

YEAR = 2019
GRID = Grid()
COL, ROW = 4_156_000, 4_053_000
# The first two windows overlap.
RIGHT = (0, 256, 4096)


def draw_chips(root: Path) -> Workspace:
    """Three windows of noise, of different brightness, with what step 1 leaves beside the chips."""
    workspace, rng = Workspace(root), np.random.default_rng(3)
    folder = workspace.year(YEAR)
    windows = Windows(COL + np.array(RIGHT), np.full(len(RIGHT), ROW), np.full(len(RIGHT), 512))
    names = [f"w{number}" for number in range(len(RIGHT))]
    for number, name in enumerate(names):
        dn = rng.integers(1, 80 * (number + 1), (4, 512, 512)).astype("uint8")
        write_chip(folder.chip("test", name), dn, GRID.window_transform(int(windows.col[number]), ROW), {})
    table = {"id": names, "split": "test", "group": 0, "status": "written"}
    places = {"col": windows.col, "row": windows.row, "side_px": windows.side_px}
    frame = gpd.GeoDataFrame(table | places, geometry=boxes(GRID.window_bounds(windows)), crs=CRS)
    write_json(folder.settings, {"source": "noise"})
    write_geopackage(folder.windows, [Layer("windows", frame, "Polygon")], {"level": "15", "mosaic": "noise"})
    return workspace


def one_country(folder: Path) -> Path:
    """Borders of one country: quicker to read than the world's."""
    path = folder / "countries.geojson"
    square = shapely.box(-5, 4, 2, 12)
    gpd.GeoDataFrame({"iso_a3": ["GHA"], "country_name": ["Ghana"]}, geometry=[square], crs="EPSG:4326").to_file(path)
    return path


def step_3(root: Path, *options) -> Done:
    """Step 3 as it is typed, with one worker: its status, and what it says, warnings included."""
    words = ("step_3", f"-year={YEAR}", "--data-root", root, "--workers=1", "--quiet", *options)
    said = io.StringIO()
    handler, logger = logging.StreamHandler(said), logging.getLogger("segmentation")
    logger.addHandler(handler)
    try:
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
            patch.setattr(sys, "argv", list(map(str, words)))
            with pytest.raises(SystemExit) as left:
                cli.run(script.main, script.arguments())
    finally:
        logger.removeHandler(handler)
    return Done(left.value.code, said.getvalue())
