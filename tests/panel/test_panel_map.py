"""The map, in a browser that has no network: it opens from disk, and its slider moves through the years."""

import geopandas as gpd
import matplotlib.image
import numpy as np
import pytest
from helpers import browser
from helpers.panels import follow, panel, square

from segmentation.panel.draw.webmap import write_map
from segmentation.panel.observed import Observed
from segmentation.panel.tables import country_years, sites_table

pytestmark = pytest.mark.chromium

# What a person does with the arrow keys: the slider's handle lies in the shadow trees of Bokeh's widgets.
PRESS = """
const find = root => { for (const e of root.querySelectorAll('*')) {
  if (e.classList.contains('noUi-handle')) return e
  const below = e.shadowRoot && find(e.shadowRoot); if (below) return below } }
const handle = find(document); handle.focus()
handle.dispatchEvent(new KeyboardEvent('keydown', {key: '%s', bubbles: true}))
"""
SLIDER = "Bokeh.documents[0].get_model_by_name('year').value"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A mine that grows from 1 to 100 hectares and then is not observed."""
    path = tmp_path_factory.mktemp("map") / "map.html"
    polygons = panel({2016: [square(4, 4)], 2018: [square(0, 0, 10, 10)]})
    field = gpd.GeoDataFrame({"year": [2016, 2018]}, geometry=[square(-9, -9, 30, 30)] * 2, crs=4326)
    observed = Observed(field.assign(valid_share=1.0, area=1.0), frozenset({2016, 2018, 2019}))
    overlaps, history, _ = follow(polygons, (2016, 2018, 2019), observed)
    sites = sites_table(polygons, history, overlaps)
    names = {"iso_a3": ["GAB"], "country_name": ["Gabon"]}
    land = gpd.GeoDataFrame(names, geometry=[square(-500, -500, 1000, 1000)], crs=4326)
    table = country_years(polygons, history, observed, land)
    write_map(path, polygons=polygons, sites=sites, history=history, by_country=table, countries=land)
    return path


@pytest.fixture(scope="module")
def chromium():
    if not browser.is_there():
        pytest.skip("no Chromium with its driver")
    with browser.chromium() as window:
        yield window


def orange(image):
    """Number of pixels in the colour of a mine's area on land."""
    return int((np.abs(image[..., :3] - np.array([237, 190, 160]) / 255).max(axis=-1) < 0.06).sum())


def test_the_slider_shows_one_year_after_the_other(page, chromium, tmp_path):
    chromium.open(page)
    chromium.wait_until("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
    pictures, years = [], []
    for _ in range(3):
        chromium.screenshot(tmp_path / "map.png")
        pictures.append(matplotlib.image.imread(tmp_path / "map.png"))
        years.append(chromium.run(f"return {SLIDER}"))
        chromium.run(PRESS % "ArrowLeft")
        chromium.wait_until(f"{SLIDER} != {years[-1]} || {years[-1]} == 2016")
        chromium.wait_until("Bokeh.documents[0].is_idle")
    assert years == ["2019", "2018", "2016"]
    unseen, large, small = (orange(picture) for picture in pictures)
    assert unseen < 20
    assert 20 < 20 * small < large
    assert chromium.errors() == []


def test_it_says_how_much_there_is_in_the_year(page, chromium):
    chromium.open(page)
    chromium.wait_until("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
    title = "Bokeh.documents[0].get_model_by_name('title').text"
    assert chromium.run(f"return {title}") == "<b>2019</b>: 0 mining polygons, 0.0 km², sites not observed: 1"
    chromium.run(PRESS % "ArrowLeft")
    chromium.wait_until(f"{title} == '<b>2018</b>: 1 mining polygons, 1.2 km², sites not observed: 0'")


def test_the_menu_leads_to_a_site(page, chromium):
    chromium.open(page)
    chromium.wait_until("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
    start = "Bokeh.documents[0].get_model_by_name('map').x_range.start"
    before = chromium.run(f"return {start}")
    chromium.run("const menu = Bokeh.documents[0].get_model_by_name('place'); menu.value = menu.options.at(-1)")
    chromium.wait_until(f"{start} != {before}")
