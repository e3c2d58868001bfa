"""The least cloudy mosaic of each quad, asked of the demo's stand-in as of Planet."""

import statistics

import pytest

from segmentation.demo.landscape.districts import DISTRICTS, district_quad
from segmentation.demo.planet import scenes
from segmentation.demo.planet.catalogue import all_mosaics
from segmentation.demo.planet.standin import DEMO_KEY, standin
from segmentation.imagery.planet.client import Mosaic, PlanetClient
from segmentation.imagery.planet.clouds import CloudScores
from segmentation.imagery.planet.mosaics import candidate_mosaics, default_mosaic

YEAR = 2021
QUADS = [district_quad(district) for district in DISTRICTS[:5]]
NOWHERE = (700, 2000)  # far north of every mosaic


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with standin(tmp_path_factory.mktemp("rendered")) as url:
        yield url


@pytest.fixture
def client(api):
    return PlanetClient(DEMO_KEY, api, max_rps=1000)


@pytest.fixture
def candidates(client):
    return [client.mosaic(name) for name in candidate_mosaics(YEAR)]


@pytest.fixture
def default(client):
    return client.mosaic(default_mosaic(YEAR))


def expected_score(mosaic, quad):
    """The study's rule, worked out from what the stand-in knows of its scenes."""
    source = next(found for found in all_mosaics().values() if found.name == mosaic.name)
    figures = [scenes.scene_feature(scene, "")["properties"] for scene in set(scenes.scenes_of(source, *quad))]
    clear = [known["cloud_percent"] + known["heavy_haze_percent"] for known in figures if "cloud_percent" in known]
    return statistics.fmean(clear)


def test_the_candidates_of_a_year_are_the_studys():
    periods = {year: [name.split("_")[4:-1] for name in candidate_mosaics(year)] for year in (2019, 2020, 2021)}
    assert periods[2019] == [["2019-06", "2019-11"]]
    assert periods[2020] == [["2020-06", "2020-08"], ["2020-09"], ["2020-10"], ["2020-11"]]
    assert periods[2021] == [[f"2021-{month:02d}"] for month in range(6, 12)]


def test_each_quad_gets_its_least_cloudy_mosaic(client, candidates, default, tmp_path):
    chosen = CloudScores(client, tmp_path, threads=2, quiet=True).choose(QUADS, candidates, default)
    for quad in QUADS:
        scores = [expected_score(mosaic, quad) for mosaic in candidates]
        assert chosen[quad].cloud == pytest.approx(min(scores), abs=1e-3)
        assert chosen[quad].mosaic == candidates[scores.index(min(scores))]
    assert len({choice.mosaic for choice in chosen.values()}) > 1, "or the test shows nothing"


def test_a_tie_keeps_the_later_month(client, candidates, default, tmp_path):
    twice = [candidates[0], Mosaic(candidates[0].id, "later")]
    chosen = CloudScores(client, tmp_path, threads=1, quiet=True).choose(QUADS[:1], twice, default)
    assert chosen[QUADS[0]].mosaic.name == "later"


def test_a_quad_without_metadata_keeps_the_default(client, candidates, default, tmp_path):
    chosen = CloudScores(client, tmp_path, threads=1, quiet=True).choose([NOWHERE], candidates, default)
    assert chosen[NOWHERE].mosaic == default
    assert chosen[NOWHERE].cloud is None


def test_metadata_are_asked_for_once(client, candidates, default, tmp_path):
    first = CloudScores(client, tmp_path, threads=2, quiet=True).choose(QUADS, candidates, default)
    silent = PlanetClient(DEMO_KEY, "http://127.0.0.1:9", tries=1)
    again = CloudScores(silent, tmp_path, threads=2, quiet=True).choose(QUADS, candidates, default)
    assert again == first


def test_scenes_come_without_rapideye_and_fragments(client, candidates):
    found = client.scenes_of(candidates[0], *QUADS[0])
    assert found == sorted(set(found))
    assert all("RapidEye" not in scene and "#" not in scene for scene in found)


def test_many_scenes_are_asked_for_in_batches(client, candidates):
    known = sorted({scene for mosaic in candidates for quad in QUADS for scene in client.scenes_of(mosaic, *quad)})
    invented = [f"20210701_120000_{number:02d}_{number:04x}" for number in range(300)]
    answers = list(client.scene_clouds([*known, *invented]))
    assert len(answers) == -(-(len(known) + 300) // 250)
    together = {scene: cloud for answer in answers for scene, cloud in answer.items()}
    assert sorted(together) == sorted([*known, *invented])
    assert None not in together.values()
