"""Years that were made in different ways are not joined without a word; what is synthetic stays marked."""

import shutil

import geopandas as gpd
import matplotlib.image
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers.panels import WORLD, run, square, write_years

from segmentation.core.errors import PipelineError
from segmentation.core.provenance import INVENTED
from segmentation.core.workspace import Workspace
from segmentation.geo.formats import write_polygons
from segmentation.geo.geopackage import Layer, read_metadata, write_geopackage
from segmentation.panel.draw.plot import plot_countries
from segmentation.panel.inputs import YearInput
from segmentation.panel.making import read_making
from segmentation.windows.statuses import WRITTEN

MADE = {
    "model": "segformer_tiny",
    "iteration": "100",
    "threshold": "0.5",
    "overlapping windows": "union",
    "imagery": "planet",
    "level": "15",
}
MINES = [square(0), square(10)]
RUN = "segformer_tiny_100"


def polygons(path, formats=("gpkg",), **settings):
    """A year's polygons as step 3 leaves them."""
    table = gpd.GeoDataFrame({"id": [1, 2], "iso_a3": "GAB", "country_name": "Gabon"}, geometry=MINES, crs=4326)
    (written,) = write_polygons(path, Layer("mining_polygons", table, "Polygon"), MADE | settings, formats)
    return written


def windows(path, **settings):
    looked = gpd.GeoDataFrame(
        {"id": ["a"], "status": WRITTEN, "valid_share": 1.0, "mosaic": "june"},
        geometry=[square(-5, -5, 20, 20)],
        crs=4326,
    )
    write_geopackage(path, [Layer("windows", looked.to_crs(3857), "Polygon")], {"imagery": "planet"} | settings)
    return path


@pytest.fixture
def mixed_years(tmp_path):
    """The same mines in two years, by the union of windows and by their mean."""
    workspace = Workspace(tmp_path)
    polygons(workspace.year(2016).predicted(RUN), mosaic="june")
    polygons(workspace.year(2017).predicted(RUN), mosaic="july", **{"overlapping windows": "mean"})
    return tmp_path


def test_years_by_union_and_by_mean_are_refused_in_one_line(mixed_years, monkeypatch):
    with pytest.raises(PipelineError) as caught:
        run(monkeypatch, "-model=tiny", "--data-root", mixed_years)
    said = str(caught.value)
    assert "overlapping windows: union in 2016 and mean in 2017" in said
    assert "mosaic" not in said
    assert "--mixed" in said
    assert "\n" not in said
    assert not Workspace(mixed_years).panel(RUN).exists()


def test_a_mixed_panel_says_so_in_its_own_metadata_and_keeps_every_years_settings(mixed_years, monkeypatch, capsys):
    WORLD.to_file(mixed_years / "world.gpkg")
    run(monkeypatch, "-model=tiny", "--data-root", mixed_years, "--mixed", "--countries", mixed_years / "world.gpkg")
    workspace = Workspace(mixed_years)
    metadata = read_metadata(workspace.panel(RUN) / "panel.gpkg")
    assert metadata["mixed"] == "overlapping windows: union in 2016 and mean in 2017"
    assert metadata["overlapping windows"] == "2016: union; 2017: mean"
    assert metadata["mosaic"] == "2016: june; 2017: july"
    assert {name: metadata[name] for name in ("threshold", "model", "level")} == {
        "threshold": "0.5",
        "model": "segformer_tiny",
        "level": "15",
    }
    year = read_metadata(workspace.year(2017).postprocessed(RUN))
    assert (year["overlapping windows"], year["mosaic"], year["mixed"]) == ("mean", "july", metadata["mixed"])
    table = pq.read_schema(workspace.panel(RUN) / "site_years.parquet").metadata
    assert table[b"mining:mixed"].decode() == metadata["mixed"]
    assert "mixed: overlapping windows" in capsys.readouterr().out
    assert "synthetic" not in metadata
    assert "synthetic" not in (workspace.panel(RUN) / "site_years.csv").read_text()


@pytest.mark.parametrize("formats", [("parquet",), ("fgb",)])
def test_files_of_other_formats_are_compared_too(tmp_path, formats):
    one = polygons(tmp_path / "one.gpkg")
    other = polygons(tmp_path / "other.gpkg", formats, threshold="0.7")
    with pytest.raises(PipelineError, match=r"threshold: 0\.5 in 2016 and 0\.7 in 2017"):
        read_making([YearInput(2016, one), YearInput(2017, other)])


def test_files_that_say_nothing_are_joined_with_a_word(tmp_path):
    write_years(tmp_path, {2016: MINES, 2017: MINES})
    unknown = [YearInput(year, tmp_path / f"mines_{year}.gpkg") for year in (2016, 2017)]
    making = read_making(unknown)
    assert (making.mixed, making.notes, making.metadata) == ("", (), {})
    making = read_making([*unknown, YearInput(2018, polygons(tmp_path / "ours.gpkg"))])
    assert making.mixed == ""
    assert len(making.notes) == 1
    assert "polygons of 2016, 2017 were made (mines_2016.gpkg, mines_2017.gpkg): joined unchecked" in making.notes[0]
    assert making.metadata["threshold"] == "0.5"
    assert making.metadata["years that do not say how they were made"] == "2016, 2017"


def test_another_season_is_worth_a_word(tmp_path):
    inputs = [
        YearInput(year, polygons(tmp_path / f"{quarter}.gpkg", quarter=quarter))
        for year, quarter in ((2016, "Q1"), (2017, "Q3"))
    ]
    assert read_making(inputs).notes == (
        "years differ in options of their imagery: quarter: Q1 in 2016 and Q3 in 2017",
    )


def test_windows_that_are_not_those_of_the_polygons_are_refused(tmp_path):
    path = polygons(tmp_path / "mines.gpkg", mosaic="june")
    own, other = (windows(tmp_path / f"{mosaic}.gpkg", mosaic=mosaic) for mosaic in ("june", "july"))
    assert read_making([YearInput(2016, path, own)]).mixed == ""
    with pytest.raises(PipelineError, match=r"the windows of 2016 are .*mosaic july, not june"):
        read_making([YearInput(2016, path, other)])
    assert "mosaic july" in read_making([YearInput(2016, path, other)], mixed=True).metadata["mixed"]


def test_polygons_from_before_some_windows_were_written_are_refused(tmp_path):
    """Windows that were fetched after the polygons were made are no places where no mine was found."""
    path = polygons(tmp_path / "mines.gpkg", windows="9 of 10 written, sha256 0123")
    later = windows(tmp_path / "windows.gpkg", windows="10 of 10 written, sha256 4567")
    with pytest.raises(PipelineError, match="windows 10 of 10 written, sha256 4567, not 9 of 10 written"):
        read_making([YearInput(2016, path, later)])


def test_synthetic_years_are_not_joined_with_real_ones(tmp_path):
    real, drawn = polygons(tmp_path / "real.gpkg"), polygons(tmp_path / "drawn.gpkg", synthetic=INVENTED)
    with pytest.raises(PipelineError, match=f"synthetic: no in 2016 and {INVENTED} in 2017"):
        read_making([YearInput(2016, real), YearInput(2017, drawn)])
    # Windows say it of polygons that came by another way.
    write_years(tmp_path, {2018: MINES})
    looked = windows(tmp_path / "windows.gpkg", synthetic=INVENTED)
    making = read_making([YearInput(2018, tmp_path / "mines_2018.gpkg", looked)])
    assert (making.synthetic, making.metadata) == (INVENTED, {"synthetic": INVENTED})
    assert read_making([YearInput(2018, tmp_path / "mines_2018.gpkg")], demo=True).synthetic == INVENTED


def test_a_panel_of_synthetic_files_that_were_copied_elsewhere_says_so_everywhere(tmp_path, monkeypatch, capsys):
    WORLD.to_file(tmp_path / "world.gpkg")
    first = polygons(tmp_path / "workspace" / "mines.gpkg", synthetic=INVENTED)
    inputs = [f"{year}={shutil.copy(first, tmp_path / f'{year}.gpkg')}" for year in (2016, 2017)]
    folder = tmp_path / "panel"
    run(monkeypatch, "--inputs", *inputs, "--countries", tmp_path / "world.gpkg", "-o", folder)
    assert f"synthetic: {INVENTED}" in capsys.readouterr().out
    for path in (folder / "panel.gpkg", folder / "global_mining_polygons_2016_postprocessed.gpkg"):
        assert read_metadata(path)["synthetic"] == INVENTED
    for name in ("country_years", "site_years"):
        assert set(pd.read_csv(folder / f"{name}.csv")["synthetic"]) == {"yes"}
        assert pq.read_schema(folder / f"{name}.parquet").metadata[b"mining:synthetic"].decode() == INVENTED
    page = (folder / "map.html").read_text(encoding="utf-8")
    assert "<title>Mining areas by year (synthetic)</title>" in page
    assert INVENTED in page
    plot_countries(pd.read_csv(folder / "country_years.csv"), tmp_path / "plain.png")
    marked, plain = (matplotlib.image.imread(path) for path in (folder / "area_by_year.png", tmp_path / "plain.png"))
    assert (marked[:30, :, 0] < 0.5).sum() > (plain[:30, :, 0] < 0.5).sum() + 100
