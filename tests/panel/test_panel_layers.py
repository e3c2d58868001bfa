"""The layers of the panel's GeoPackage: taken one at a time, and what waits for them."""

import geopandas as gpd
import pandas as pd
import pytest
from helpers.panels import panel, sight, square

from segmentation.geo.geopackage import Layer, write_geopackage
from segmentation.panel.change import follow_sites
from segmentation.panel.layers import changes_on_disk, with_period


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


def test_changes_wait_on_disk_until_they_are_written(tmp_path):
    polygons = panel({2016: [square(0)], 2017: [square(0, 0, 2, 1)]})
    _, sightings = sight(polygons, (2016, 2017))
    with changes_on_disk(tmp_path / "panel") as keep:
        history, [stored] = follow_sites(polygons, sightings, keep)
        assert stored.path.is_relative_to(tmp_path / "panel")
        table = stored.take().table
        assert table["kind"].to_pylist() == ["kept", "gained"]
        assert table["area"].to_pylist() == [history.kept[0, 1], history.gained[0, 1]]
        assert str(table["valid_from"][0]) == "2017-01-01"
    assert list((tmp_path / "panel").iterdir()) == []


def test_what_fails_while_sites_are_followed_comes_through_and_leaves_nothing(tmp_path):
    polygons = panel({2016: [square(0)], 2017: [square(0)]})
    _, sightings = sight(polygons, (2016, 2017))

    def keep_half(pieces):
        keep(pieces)
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"), changes_on_disk(tmp_path) as keep:
        follow_sites(polygons, sightings, keep_half)
    assert list(tmp_path.iterdir()) == []
