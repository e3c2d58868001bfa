"""The picture of several years says what has to be said of them."""

import shutil
import sys

import geopandas as gpd
import matplotlib.image
import pytest
from helpers.evaluations import RUN, YEAR, draw_year, model

from segmentation import overview
from segmentation.core.provenance import INVENTED
from segmentation.geo.geopackage import Layer, write_geopackage


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two years of the same pictures, and the options that name them."""
    root = tmp_path_factory.mktemp("overview")
    workspace, polygons = draw_year(root / "data", masks=False)
    config, checkpoint = model(root)
    polygons.to_file(root / "mines.gpkg")
    shutil.copytree(workspace.year(YEAR).path, workspace.year(YEAR + 1).path)
    named = ("--config", config, "--checkpoint", checkpoint, "-iter=8", "--polygons", root / "mines.gpkg")
    return workspace, polygons, ["--data-root", root / "data", *named, "--rows=1", "--years", YEAR, YEAR + 1]


def draw(drawn, path, of_windows, *of_polygons):
    """Draw the two years with this metadata; returns the picture."""
    workspace, polygons, options = drawn
    for year, settings in zip((YEAR, YEAR + 1), of_polygons, strict=True):
        folder = workspace.year(year)
        windows = gpd.read_file(folder.windows, layer="windows").assign(mine_share=0.1)
        write_geopackage(folder.windows, [Layer("windows", windows, "Polygon")], of_windows)
        write_geopackage(folder.predicted(RUN), [Layer("mining_polygons", polygons)], settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["overview", *map(str, options), "-o", str(path)])
        assert overview.main(overview.arguments()) == 0
    return matplotlib.image.imread(path)


def test_years_that_are_alike_and_real_need_no_title(drawn, tmp_path, capsys):
    draw(drawn, tmp_path / "plain.png", {"imagery": "planet"}, {"threshold": "0.5"}, {"threshold": "0.5"})
    assert capsys.readouterr().out.startswith("1 test windows in 2 years")


def test_synthetic_years_that_were_made_in_different_ways_say_so(drawn, tmp_path, capsys):
    made = {"threshold": "0.5"}
    plain = draw(drawn, tmp_path / "plain.png", {"imagery": "planet"}, made, made)
    capsys.readouterr()
    marks = {"imagery": "planet", "synthetic": INVENTED}
    marked = draw(drawn, tmp_path / "marked.png", marks, made, {"threshold": "0.7"})
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith("SYNTHETIC landscape, no real mine: years made in different ways:")
    assert "threshold: 0.5 in 2019 and 0.7 in 2020" in said
    top = slice(0, 20)
    assert (marked[top, :, :3] < 0.5).all(axis=-1).sum() > (plain[top, :, :3] < 0.5).all(axis=-1).sum() + 100
