"""The page of outputs names every column and key that the code writes, and none that it does not write."""

import contextlib
import io
import json
import sys
from dataclasses import fields
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
from helpers.outputs_page import PAGE, documented, layer, plain, surprising_nulls
from helpers.own_rasters import bell_raster

import segmentation_dataset_generation as step_1
from segmentation.core import provenance
from segmentation.core.workspace import REPOSITORY, Workspace
from segmentation.imagery.cache import PieceRecord
from segmentation.imagery.planet.source import PlanetImagery
from segmentation.imagery.sentinel2.source import Sentinel2Imagery
from segmentation.imagery.stac.cache import SceneRecord
from segmentation.polygons import combine
from segmentation.predict import kept
from segmentation.predict.outlines import attributes

YEAR = 2019
LON, LAT = -60.0, -3.0


def unknown_to_the_code(keys: set[str]) -> set[str]:
    """Those that no module has as a text of their own."""
    paths = [*REPOSITORY.glob("segmentation/**/*.py"), *REPOSITORY.glob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in paths)
    return {key for key in keys if f'"{key}"' not in code}


def test_the_reader_of_the_page_sees_what_is_wrong():
    page = "## A\n\n| column | unit |\n|---|---|\n| `one`, `two` | m |\n\n| key | |\n|---|---|\n| `three` | |\n\n## B\n"
    assert documented("A", page=page) == ["one", "two"]
    assert documented("A", "key", page=page) == ["three"]
    assert documented("B", page=page) == []
    page = "## C\n\n| column | type | unit | null |\n|---|---|---|---|\n| `one` | | | no |\n| `two` | | | yes |\n"
    assert surprising_nulls("C", pd.DataFrame({"one": [1, None], "two": [1, None]}), page) == ["one"]


# Step 1


@pytest.fixture(scope="module")
def year(tmp_path_factory) -> Path:
    """The folder of a year that step 1 has made of a raster which covers its window in part."""
    root = tmp_path_factory.mktemp("step 1")
    raster = bell_raster(root / "scene.tif", "EPSG:4326", LON, LAT, 0.0001, 150)
    mine = shapely.Point(LON, LAT).buffer(0.002)
    gpd.GeoDataFrame({"id": ["a"]}, geometry=[mine], crs="EPSG:4326").to_file(root / "mines.gpkg")
    words = ["step_1", f"-year={YEAR}", "--imagery", raster, "--polygons", root / "mines.gpkg", "--quiet"]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(sys, "argv", [*map(str, words), "--workers=1", "--data-root", str(root / "data")])
        assert step_1.main(step_1.arguments()) == 0
    return Workspace(root / "data").year(YEAR).path


def test_windows_are_described(year):
    path = year / "windows.gpkg"
    assert [name for name, kind in pyogrio.list_layers(path) if kind] == ["windows", "files", "valid_ground"]
    in_file = {"quads" if name == "files" else name for name in layer(path, "windows")}
    assert plain(documented("Layer windows")) == in_file
    assert plain(documented("Layer valid_ground")) == layer(path, "valid_ground")
    for name in ("windows", "files", "valid_ground"):
        heading = f"Layer {'quads' if name == 'files' else name}"
        assert surprising_nulls(heading, pyogrio.read_dataframe(path, layer=name)) == []
    assert len(pyogrio.read_dataframe(path, layer="valid_ground")) == 1


def test_pieces_of_imagery_are_described(year, tmp_path):
    sources = (PlanetImagery(lambda: None, "a_mosaic", tmp_path), Sentinel2Imagery(YEAR, "Q3", tmp_path))
    bounds = np.array([[-6.7e6, -3.4e5, -6.699e6, -3.39e5]])
    planet, sentinel2 = (source.footprint(source.grid.windows_around(bounds)) for source in sources)
    described = set(documented("Layer quads"))
    assert plain(planet.pieces) - {"name"} | {f"{planet.unit}", "day"} == described
    for unit, columns in (("tile", set(sentinel2.pieces)), ("file", layer(year / "windows.gpkg", "files"))):
        assert plain(columns) - {"name", unit} == described - {"quad", "cloud", "day"}
    assert {"cloud", "day"} <= {field.name for field in fields(SceneRecord)}


def test_settings_are_described(year, tmp_path):
    documented_keys = set(documented("settings.json", "key"))
    planet = PlanetImagery(lambda: None, "a_mosaic", tmp_path, candidates=("another",), synthetic=True)
    written = set(json.loads((year / "settings.json").read_text())) | set(planet.settings())
    written |= set(Sentinel2Imagery(YEAR, "Q3", tmp_path).settings())
    assert written <= documented_keys
    assert set(provenance.MENTIONED) <= documented_keys
    assert unknown_to_the_code(documented_keys) == set()


def test_chips_masks_and_their_tags_are_described(year):
    [chip] = year.glob("img_dir/*/*.tif")
    [mask] = year.glob("ann_dir/*/*.tif")
    with rasterio.open(chip) as file:
        for name, scale, offset in zip(file.descriptions, file.scales, file.offsets, strict=True):
            row = next(line for line in PAGE.splitlines() if line.startswith("| Red") and name in line)
            assert row.split("|")[2:4] == [f" {scale} ", f" {offset} "]
        assert {"WINDOW", "IMAGERY", "MOSAIC", "LEVEL", "BANDS"} <= set(file.tags())
    for tag in ("WINDOW", "IMAGERY", "MOSAIC", "LEVEL", "BANDS"):
        assert f"`{tag}`" in PAGE
    with rasterio.open(mask) as file:
        assert (file.count, file.nodata, file.dtypes[0]) == (1, None, "uint8")


# Step 3


def test_the_polygons_of_a_year_are_described():
    assert documented("The polygons of a year") == [name for name in attributes.COLUMNS if name != "geometry"]
    keys = set(documented("The polygons of a year", "key"))
    assert set(provenance.COMPARED) | set(provenance.OF_WINDOWS) <= keys | {"temporal filter"}
    assert unknown_to_the_code(keys - {"synthetic"}) == set()


def test_the_combined_polygons_are_described():
    assert documented("mining_polygons_combined.gpkg") == [name for name in combine.COLUMNS if name != "geometry"]


def test_records_are_described():
    assert documented("Probabilities", "key") == [
        kept.CHECKPOINT,
        kept.CONFIG,
        kept.RECIPE,
        kept.CHIPS,
        kept.PRECISION,
    ]
    assert documented("The cache of imagery", "key") == [field.name for field in fields(PieceRecord)]
    assert unknown_to_the_code(set(documented("Models", "key"))) == set()
    assert unknown_to_the_code({"label_years"}) == {"label_years"}
