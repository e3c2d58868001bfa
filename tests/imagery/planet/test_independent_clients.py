"""Clients that others wrote read the stand-in as they read Planet: what the tests rely on is no language of our own."""

import asyncio
import filecmp

import numpy as np
import pytest
import rasterio
from helpers.quads import QUAD_PX, quad_transform
from helpers.step_1 import counts, rendered_quads
from rasterio.windows import Window

from segmentation.demo.landscape import sites
from segmentation.demo.planet.catalogue import unlisted_mosaic
from segmentation.demo.planet.faults import Faults
from segmentation.demo.planet.standin import DEMO_KEY, standin

NAME = "planet_medres_normalized_analytic_2019-06_2019-11_mosaic"
X, Y = sites.district_quad(next(district for district in sites.DISTRICTS if district.name == "linden"))
QUAD = f"{X}-{Y}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return rendered_quads(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def api(cache):
    with standin(cache, faults=Faults(page_size=7)) as url:
        yield url


@pytest.fixture
def sdk(api):
    """Runs a coroutine that takes the mosaics client of Planet's SDK."""
    planet = pytest.importorskip("planet")
    from planet.clients.mosaics import MosaicsClient

    def ask(question):
        async def session():
            async with planet.Session(auth=planet.Auth.from_key(DEMO_KEY)) as opened:
                return await question(MosaicsClient(opened, base_url=api))

        return asyncio.run(session())

    return ask


async def all_of(listing):
    return [entry async for entry in listing]


def test_planets_sdk_lists_all_mosaics_over_several_pages(sdk):
    names = [mosaic["name"] for mosaic in sdk(lambda client: all_of(client.list_mosaics()))]
    assert len(names) == len(set(names)) == 61
    assert NAME in names
    assert unlisted_mosaic().name not in names


def test_planets_sdk_finds_a_mosaic_by_name_and_by_id(sdk):
    by_name = sdk(lambda client: client.get_mosaic(NAME))
    assert by_name["name"] == NAME
    assert sdk(lambda client: client.get_mosaic(by_name["id"])) == by_name
    with pytest.raises(Exception, match="Mosaic Not Found: nothing"):
        sdk(lambda client: client.get_mosaic("nothing"))


def test_planets_sdk_lists_quads_of_a_box_over_several_pages(sdk):
    mosaic = sdk(lambda client: client.get_mosaic(NAME))
    west, south, east, north = -58.5, 5.7, -57.6, 6.2
    quads = sdk(lambda client: all_of(client.list_quads(mosaic, bbox=[west, south, east, north])))
    assert len(quads) > 7, "more than a page holds"
    assert len({quad["id"] for quad in quads}) == len(quads)
    assert QUAD in {quad["id"] for quad in quads}
    for quad in quads:
        minx, miny, maxx, maxy = quad["bbox"]
        assert minx < east
        assert maxx > west
        assert miny < north
        assert maxy > south
    summary = sdk(lambda client: client.summarize_quads(mosaic, bbox=[west, south, east, north]))
    assert summary["total_quads"] == len(quads)


def test_planets_sdk_downloads_a_quad_byte_for_byte(sdk, api, cache, tmp_path):
    async def download(client):
        quad = await client.get_quad(await client.get_mosaic(NAME), QUAD)
        await client.download_quad(quad, directory=tmp_path)

    sdk(download)
    assert filecmp.cmp(tmp_path / f"{QUAD}.tif", cache / NAME / f"{QUAD}.tif", shallow=False)
    assert counts(api)["leaks"] == []


def has_plmosaic():
    with rasterio.Env() as gdal:
        return "PLMOSAIC" in gdal.drivers()


@pytest.mark.skipif(not has_plmosaic(), reason="this build of GDAL has no PLMosaic driver")
def test_gdals_driver_reads_the_pixels_of_a_quad(api, cache):
    mosaic, part_px = unlisted_mosaic().name, 256
    with (
        rasterio.Env(PL_URL=f"{api}/mosaics"),
        rasterio.open(f"PLMosaic:mosaic={mosaic},api_key={DEMO_KEY},cache_path=") as world,
    ):
        corner = ~world.transform @ (quad_transform(X, Y).c, quad_transform(X, Y).f)
        col, row = (round(place) for place in corner)
        seen = [world.read(window=Window(col + at, row + at, part_px, part_px)) for at in (0, 2048, QUAD_PX - part_px)]
    with rasterio.open(cache / mosaic / f"{QUAD}.tif") as quad:
        served = [quad.read(window=Window(at, at, part_px, part_px)) for at in (0, 2048, QUAD_PX - part_px)]
    # The driver answers zeros where it fails, so that pixels alone tell.
    assert np.all([part.any(axis=(1, 2)) for part in served])
    np.testing.assert_array_equal(seen, served)
