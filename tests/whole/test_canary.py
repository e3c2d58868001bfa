"""A key of its own kind, looked for in everything that step 1 writes, prints and sends to the storage."""

import base64
import secrets

import pytest
from helpers.step_1 import counts, polygons_file, rendered_quads, run

from segmentation.demo.planet.faults import Faults, Rule
from segmentation.demo.planet.standin import standin

# Of everything that can be told about a failed request.
TROUBLE = (
    Rule("429 retry at once", "/mosaics$", last=1),
    Rule("502", "/quads/1168-962$", last=1),
    Rule("truncated", "/quads/1169-962$", last=1),
    Rule("html", "/quads/692-1058$", last=1),
    Rule("reset", "/1168-962/full$", last=1),
    Rule("500", "/692-1058/full$", last=1),
    Rule("corrupt block", r"/1168-962\.tif$", last=1),
    Rule("html", r"/692-1058\.tif$", last=1),
    Rule("400", r"/1169-962\.tif$"),
)


@pytest.fixture
def key():
    return f"canary-{secrets.token_hex(16)}"


@pytest.fixture(scope="module")
def polygons(tmp_path_factory):
    return polygons_file(tmp_path_factory.mktemp("polygons"))


@pytest.fixture
def cache(tmp_path_factory):
    return rendered_quads(tmp_path_factory.getbasetemp())


def forms(key):
    """The key, and its base64 wherever in a text it begins; what depends on the neighbours is cut off."""
    shifted = [base64.b64encode(b"x" * before + key.encode()) for before in range(3)]
    return [key.encode(), *(text[4 * bool(before) : -4] for before, text in enumerate(shifted))]


def sightings(key, root, printed):
    """Where the key shows: names and contents of files, and what was printed."""
    texts = {"printed": printed.encode()}
    for path in sorted(root.rglob("*"), reverse=True):
        name = str(path.relative_to(root))
        texts[f"name of {name}"] = name.encode()
        if path.is_file():
            texts[name] = path.read_bytes()
    return [place for place, text in texts.items() if any(form in text for form in forms(key))]


def test_the_key_would_be_found(key, tmp_path):
    (tmp_path / "log").write_bytes(b"GET / Authorization: Basic " + base64.b64encode(f"{key}:".encode()))
    (tmp_path / f"{key}.tif").touch()
    assert sightings(key, tmp_path, f"see ?api_key={key}") == ["printed", "log", f"name of {key}.tif"]


def test_a_run_in_trouble_shows_the_key_nowhere(key, polygons, cache, tmp_path):
    with standin(cache, key, Faults(rules=TROUBLE)) as url:
        done = run(tmp_path, polygons, url, "--verbose", key=key)
        counted = counts(url)
    assert done.status == 1, done.printed
    assert set(counted["faults"]) == {rule.kind for rule in TROUBLE}
    assert done.printed.count("trying again") == len(TROUBLE) - 1
    assert "answers 400" in done.printed
    assert list(tmp_path.rglob("*.tif"))
    assert sightings(key, tmp_path, done.printed) == []
    assert counted["leaks"] == []


@pytest.mark.parametrize("told", [{}, {"rules": (Rule("401", "/quads/"),)}])
def test_a_refused_key_is_not_shown(key, polygons, cache, tmp_path, told):
    accepted = key if told else "another"
    with standin(cache, accepted, Faults(**told)) as url:
        done = run(tmp_path, polygons, url, "--verbose", key=key)
        assert counts(url)["leaks"] == []
    assert done.status != 0
    assert "refuses the API key (401)" in done.printed
    assert sightings(key, tmp_path, done.printed) == []


def test_a_key_that_does_not_see_the_mosaic_is_not_shown(key, polygons, cache, tmp_path):
    with standin(cache, key, Faults(page_size=20)) as url:
        done = run(tmp_path, polygons, url, "--verbose", "--mosaic", "absent", key=key)
        # The search, and the pages of the listing that tells what the key does see.
        assert sum(counts(url)["requests"]["api"].values()) == 1 + 4
    assert done.status == 2
    assert "mosaic absent is not visible to this API key; it sees 61" in done.printed
    assert sightings(key, tmp_path, done.printed) == []
