"""Step 1 against an API that fails in every way at once: the same files in the end, and nothing asked for in vain."""

import pytest
from helpers.step_1 import QUADS, calm_run, counts, digests_under, partial_files, polygons_file, rendered_quads, run

from segmentation.demo.planet.faults import Faults, Rule
from segmentation.demo.planet.standin import standin

STORM = {
    "429": 0.05,
    "429 retry at once": 0.05,
    "429 retry in 1 s": 0.05,
    "429 retry from a date": 0.05,
    "500": 0.1,
    "truncated": 0.05,
    "reset": 0.05,
    "corrupt block": 0.05,
}
# What chance may leave out: an answer of the API that breaks off, files that are none.
CERTAIN = (
    Rule("truncated", "/quads/1169-962$", last=1),
    Rule("corrupt header", "/1169-962.tif$", last=1),
    Rule("html", "/692-1058.tif$", last=1),
)
LOST_QUAD = "1169-962"


@pytest.fixture(scope="module")
def polygons(tmp_path_factory):
    return polygons_file(tmp_path_factory.mktemp("polygons"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return rendered_quads(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    return calm_run(tmp_path_factory.getbasetemp())


def total(counted, port):
    return sum(counted["requests"][port].values())


def test_on_a_calm_day_a_quad_takes_two_requests_of_the_api(calm):
    asked = calm.counts["requests"]["api"]
    assert "/basemaps/v1/mosaics" in asked
    assert set(asked.values()) == {1}
    # The mosaic's lookup aside; and the quad that no key may download takes only one.
    assert len(asked) - 1 == 2 * (QUADS - 1) + 1
    assert total(calm.counts, "storage") == QUADS - 1


def weather(cache, polygons, root, faults):
    """Run step 1 in a storm; returns how it ended and what the stand-in counted."""
    with standin(cache, faults=faults) as url:
        done = run(root, polygons, url, "--verbose")
        return done, counts(url)


def assert_weathered(done, counted, calm, root):
    assert done.status == 0, done.printed
    assert digests_under(root) == calm.digests
    assert not partial_files(root)
    # Every fault is worth one more request; where a file came wrong, its download starts over at the API.
    faulted = {port: sum(paths.values()) for port, paths in counted["faulted"].items()}
    assert done.printed.count("trying again") == sum(faulted.values())
    assert total(counted, "api") <= total(calm.counts, "api") + faulted["api"] + faulted["storage"]
    assert total(counted, "storage") <= total(calm.counts, "storage") + faulted["storage"]
    assert counted["leaks"] == []


def test_a_storm_costs_a_few_requests_and_changes_no_file(polygons, cache, calm, tmp_path):
    done, counted = weather(cache, polygons, tmp_path, Faults(STORM, CERTAIN, seed=10))
    assert set(counted["faults"]) == {*STORM, *(rule.kind for rule in CERTAIN)}
    assert_weathered(done, counted, calm, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_no_storm_changes_a_file(polygons, cache, calm, tmp_path, seed):
    done, counted = weather(cache, polygons, tmp_path, Faults(STORM, seed=seed, at_most=2))
    assert_weathered(done, counted, calm, tmp_path)


def test_a_quad_that_never_comes_is_told_and_alone_fetched_by_the_next_run(polygons, cache, calm, tmp_path):
    tries = 3
    always = Faults(rules=(Rule("503", rf"/{LOST_QUAD}\.tif$"),))
    with standin(cache, faults=always) as url:
        done = run(tmp_path, polygons, url, "--quiet", "--tries", tries)
        assert counts(url)["faults"] == {"503": tries}
    assert done.status == 1
    assert f"quad {LOST_QUAD}: download of {LOST_QUAD}: gave up after {tries} tries" in done.printed
    assert f"{'  failed':<44}{1:>12}" in done.printed
    assert "failed: kolwezi-07" in done.printed
    assert not partial_files(tmp_path)

    with standin(cache, faults=Faults()) as url:
        assert run(tmp_path, polygons, url, "--quiet").status == 0
        asked = counts(url)["requests"]
    assert [path.rpartition("/mosaics")[2].rpartition("/quads")[2] for path in asked["api"]] == [
        "",
        f"/{LOST_QUAD}",
        f"/{LOST_QUAD}/full",
    ]
    assert sum(asked["api"].values()) == 3
    assert sum(asked["storage"].values()) == 1
    assert digests_under(tmp_path) == calm.digests
