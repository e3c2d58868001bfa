"""The command as a user calls it, on files with a known truth."""

import contextlib
import io
import subprocess
import sys

import geopandas as gpd
import matplotlib.image
import pandas as pd
import pyogrio
import pytest
from helpers.outputs_page import documented, layer, named_in, plain, surprising_nulls
from helpers.panels import WORLD, run, square, write_years

from segmentation.core.errors import PipelineError
from segmentation.core.workspace import REPOSITORY, Workspace
from segmentation.geo.areas import area_m2
from segmentation.geo.geopackage import Layer, read_metadata, write_geopackage
from segmentation.panel.layers import with_period

OPENING, STEADY, FLICKER = square(0), square(10), square(20)
GROWN = square(0, 0, 2, 1)
TRUTH = {2016: [STEADY], 2017: [STEADY, FLICKER], 2018: [STEADY, OPENING], 2019: [STEADY, GROWN]}


@pytest.fixture
def countries(tmp_path):
    WORLD.to_file(tmp_path / "world.gpkg")
    return tmp_path / "world.gpkg"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The panel of ``TRUTH`` without 2020, and what the command said."""
    folder, said = tmp_path_factory.mktemp("panel"), io.StringIO()
    WORLD.to_file(folder / "world.gpkg")
    inputs = write_years(folder, TRUTH | {2021: [STEADY]})
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(said):
        run(monkeypatch, "--inputs", *inputs, "--countries", folder / "world.gpkg", "-o", folder / "panel")
    return folder / "panel", said.getvalue()


def test_it_says_what_the_filter_takes_and_what_is_missing(made):
    _, said = made
    ha = area_m2(gpd.GeoSeries([FLICKER, STEADY], crs=4326)) / 1e4
    line = next(line for line in said.splitlines() if line.startswith("2017 "))
    assert line.split() == ["2017", "2", "1", f"{ha.sum():.1f}", f"{ha[0]:.1f}", "0"]
    assert "no polygons of 2020: the nearest year on either side" in said
    assert "no windows of 2016, 2017, 2018, 2019, 2021" in said


def test_the_page_of_outputs_describes_every_file_column_and_key(made):
    folder, _ = made
    path = folder / "panel.gpkg"
    for name in ("polygons", "change", "sites", "observed"):
        assert plain(documented(f"Layer {name}")) == layer(path, name), name
        assert surprising_nulls(f"Layer {name}", pyogrio.read_dataframe(path, layer=name)) == []
    for name in ("country_years", "site_years"):
        table = pd.read_csv(folder / f"{name}.csv")
        assert set(documented(name)) == set(table), name
        assert surprising_nulls(name, table) == []
    [filtered] = folder.glob("*_2019_postprocessed.gpkg")
    assert set(documented("The filtered years")) == layer(filtered, "mining_polygons")
    named = named_in("## The panel", "## The evaluation")
    assert set(read_metadata(path)) - {"DESCRIPTION"} <= named
    assert {each.name for each in folder.iterdir() if "_postprocessed" not in each.name} <= named


def test_the_geopackage_holds_the_truth(made):
    path = made[0] / "panel.gpkg"
    names = [name for name, kind in pyogrio.list_layers(path) if kind]
    assert names == ["polygons", "change", "sites", "observed"]
    layers = {name: gpd.read_file(path, layer=name) for name in names}
    polygons = layers["polygons"]
    assert polygons["year"].tolist() == [2016, 2017, 2018, 2018, 2019, 2019, 2021]
    assert polygons["site_id"].nunique() == 2
    assert polygons["valid_to"].iloc[0] == pd.Timestamp("2016-12-31")
    assert polygons["area"].tolist() == pytest.approx(area_m2(polygons.geometry))
    sites = layers["sites"].set_index("first_year")
    assert sites["last_year"].to_dict() == {2016: 2021, 2018: 2019}
    assert sites.loc[2018, "status_2021"] == "unknown"
    change = layers["change"]
    assert set(change["kind"]) == {"gained", "lost", "kept"}
    grown = change[(change["year_to"] == 2019) & (change["kind"] == "gained")]
    assert grown["area"].tolist() == pytest.approx(area_m2(gpd.GeoSeries([OPENING], crs=4326)), rel=1e-6)
    assert {(row.year_from, row.year_to) for row in change.itertuples()} >= {(2019, 2021)}
    assert read_metadata(path)["temporal filter"].startswith("previous or next year of 2016, 2017")


def test_every_year_comes_in_the_published_columns(made):
    for year, shapes in {2016: [STEADY], 2017: [STEADY], 2019: [STEADY, GROWN]}.items():
        table = gpd.read_file(made[0] / f"global_mining_polygons_{year}_postprocessed.gpkg", layer="mining_polygons")
        assert list(table.columns) == ["id", "iso_a3", "country_name", "year", "area", "geometry"]
        assert len(table) == len(shapes)
        assert table["country_name"].unique().tolist() == ["Gabon"]


def test_the_tables_agree_with_each_other_in_both_formats(made):
    folder, _ = made
    for name in ("country_years", "site_years"):
        as_text, as_columns = pd.read_csv(folder / f"{name}.csv"), pd.read_parquet(folder / f"{name}.parquet")
        pd.testing.assert_frame_equal(as_text, as_columns, check_dtype=False)
    countries = pd.read_parquet(folder / "country_years.parquet").set_index("year")
    sites = pd.read_parquet(folder / "site_years.parquet")
    assert countries["polygons"].to_dict() == {2016: 1, 2017: 1, 2018: 2, 2019: 2, 2021: 1}
    assert countries["observed_km2"].isna().all()
    assert (sites.groupby("year")["area_m2"].sum() / 1e6).tolist() == pytest.approx(countries["area_km2"].tolist())


def test_there_are_pictures(made):
    picture = matplotlib.image.imread(made[0] / "area_by_year.png")
    assert picture.shape[1] > 1000
    assert 0.01 < (picture[..., :3] < 0.9).any(axis=-1).mean() < 0.9
    page = (made[0] / "map.html").read_text(encoding="utf-8")
    assert "<script src=" not in page
    assert "<link" not in page


def test_the_same_input_in_any_order_gives_the_same_bytes(tmp_path, monkeypatch, countries):
    folders = []
    for turn, reverse in enumerate((False, True)):
        folder = tmp_path / str(turn)
        folder.mkdir()
        inputs = write_years(folder, {year: shapes[:: -1 if reverse else 1] for year, shapes in TRUTH.items()})
        run(monkeypatch, "--inputs", *inputs[:: -1 if reverse else 1], "--countries", countries, "-o", folder / "panel")
        folders.append(folder / "panel")
    for name in (
        "panel.gpkg",
        "site_years.csv",
        "country_years.parquet",
        "global_mining_polygons_2018_postprocessed.gpkg",
    ):
        assert folders[0].joinpath(name).read_bytes() == folders[1].joinpath(name).read_bytes()


def test_it_goes_on_from_step_3(tmp_path, monkeypatch, countries, capsys):
    workspace, run_name = Workspace(tmp_path), "segformer_tiny_100"
    for year, shapes in TRUTH.items():
        folder = workspace.year(year)
        table = gpd.GeoDataFrame({"id": range(1, len(shapes) + 1), "year": year}, geometry=shapes, crs=4326)
        table = with_period(table.assign(mean_probability=0.8, iso_a3="GAB", country_name="Gabon"))
        write_geopackage(folder.predicted(run_name), [Layer("mining_polygons", table, "Polygon")], {"threshold": "0.5"})
        seen = gpd.GeoDataFrame(
            {"id": ["a"], "status": "written", "valid_share": 1.0, "mosaic": "june"},
            geometry=[square(-5, -5, 20, 20)],
            crs=4326,
        )
        write_geopackage(folder.windows, [Layer("windows", seen.to_crs(3857), "Polygon")])
    words = ("-model=tiny", "--data-root", tmp_path, "--countries", countries)
    run(monkeypatch, *words, "-iter=100")
    said = capsys.readouterr().out
    assert "lost, neighbours not observed" in said
    assert next(line for line in said.splitlines() if line.startswith("2017 ")).split()[-1] == "1"
    kept = workspace.year(2017).postprocessed(run_name)
    assert len(gpd.read_file(kept, layer="mining_polygons")) == 1
    assert read_metadata(kept)["threshold"] == "0.5"
    sites = gpd.read_file(workspace.panel(run_name) / "panel.gpkg", layer="sites")
    assert sites.sort_values("first_year")["status_2016"].tolist() == ["mine", "absent"]
    # The filtered files are no input of the next run.
    run(monkeypatch, *words, "--no-filter", "--years", "2016-2018")
    table = pd.read_csv(workspace.panel(run_name) / "country_years.csv")
    assert table["polygons"].tolist() == [1, 2, 2]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "which polygons"),
        (["-model=b5", "--inputs", "2016=a.gpkg"], "which polygons"),
        (["--inputs", "2016=absent.gpkg", "2017=absent.gpkg"], "absent.gpkg"),
        (["--inputs", "2016=a.gpkg", "2016=b.gpkg"], "twice"),
        (["--inputs", "2016=a.gpkg"], "no neighbouring year"),
        (["--inputs", "2016=a.gpkg", "--years", "2020"], r"no polygons of \[2020\]"),
        (["-model=b5", "--windows", "2016=w.gpkg"], "--windows goes with --inputs"),
        (["-model=none", "-iter=3"], "no polygons of a model run"),
    ],
)
def test_a_bad_call_is_one_clear_line(tmp_path, monkeypatch, countries, words, reason):
    with pytest.raises(PipelineError, match=reason) as caught:
        run(monkeypatch, *words, "--data-root", tmp_path, "--countries", countries)
    assert "\n" not in str(caught.value)


def test_a_panel_that_loses_everything_says_so(tmp_path, monkeypatch, countries):
    inputs = write_years(tmp_path, {2016: [STEADY], 2017: [OPENING]})
    with pytest.raises(PipelineError, match="--no-filter"):
        run(monkeypatch, "--inputs", *inputs, "--countries", countries, "-o", tmp_path / "panel")


def test_it_loads_neither_the_imagery_nor_a_client_of_the_network():
    found = "[name for name in sys.modules if name.startswith(('requests', 'urllib3', 'segmentation.imagery'))]"
    program = f"import sys, segmentation.panel.__main__; print({found})"
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "words", [["--years", "2018-2016"], ["--inputs", "a.gpkg"], ["--buffer", "-5"], ["--years", "16"]]
)
def test_a_typing_error_is_answered_at_once(words):
    command = [sys.executable, "-m", "segmentation.panel", *words]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
