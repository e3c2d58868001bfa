"""Layers taken one at a time: nothing is held that is written already."""

import geopandas as gpd
import pandas as pd
import pytest
from helpers.panels import panel, square

from segmentation.core.process.threads import ahead
from segmentation.geo.geopackage import Layer, write_geopackage
from segmentation.panel.layers import with_period


def test_layers_of_one_name_follow_each_other(tmp_path):
    path = tmp_path / "years.gpkg"
    years = [panel({year: [square(0), square(5)]}) for year in (2016, 2017)]
    write_geopackage(path, (Layer("polygons", with_period(year), style="panel_polygons") for year in years))
    table = gpd.read_file(path, layer="polygons")
    assert table["year"].tolist() == [2016, 2016, 2017, 2017]
    assert table["valid_from"].iloc[-1] == pd.Timestamp("2017-01-01")
    styles = gpd.read_file(path, layer="layer_styles")
    assert styles["f_table_name"].tolist() == ["polygons"]


def test_a_period_covers_whole_years():
    table = with_period(panel({2016: [square(0)], 2020: [square(0)]}))
    assert table["valid_to"].dt.strftime("%Y-%m-%d").tolist() == ["2016-12-31", "2020-12-31"]
    assert table.columns[-3:].tolist() == ["valid_from", "valid_to", "geometry"]


def test_what_comes_ahead_is_the_same_and_fails_the_same():
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(ahead(iter(()))) == []

    def failing():
        yield 1
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        list(ahead(failing()))
