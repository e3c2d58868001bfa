"""Step 1 with the plug pulled at random moments, and started again: the same files as if nothing had happened."""

import random
import time
from contextlib import ExitStack

import pytest
from helpers.step_1 import (
    YEAR,
    calm_run,
    digests_under,
    kill,
    partial_files,
    polygons_file,
    rendered_quads,
    run,
    started,
)

from segmentation.demo.planet.faults import Faults
from segmentation.demo.planet.standin import standin

OTHER_YEAR = 2022
# The other year shows the same mosaic and has masks too: its files are the label year's under another name.
OPTIONS = {
    YEAR: (),
    OTHER_YEAR: ("--label-year", OTHER_YEAR, "--mosaic", "planet_medres_normalized_analytic_2019-06_2019-11_mosaic"),
}
LONGEST_DELAY_S = 0.4


@pytest.fixture(scope="module")
def polygons(tmp_path_factory):
    return polygons_file(tmp_path_factory.mktemp("polygons"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return rendered_quads(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    return calm_run(tmp_path_factory.getbasetemp()).digests


@pytest.fixture(scope="module")
def api(cache):
    """The stand-in, with some bodies slow enough to be caught halfway."""
    with standin(cache, faults=Faults({"slow": 0.5})) as url:
        yield url


def start(stack, root, polygons, api, years):
    """Start step 1 for each year, all at once; what still runs when the stack ends is killed."""
    return [stack.enter_context(started(root, polygons, api, "--quiet", *OPTIONS[year], year=year)) for year in years]


def pull_the_plug(root, polygons, api, chance, years=(YEAR,)):
    """Start step 1 for some years at once, and kill all of it once there are a few more files; whether it ran."""
    enough = entries(root) + chance.randint(1, 4 * len(years))
    with ExitStack() as stack:
        running = start(stack, root, polygons, api, years)
        while entries(root) < enough and all(process.poll() is None for process in running):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, LONGEST_DELAY_S))
        were_running = all(process.poll() is None for process in running)
        for process in running:
            kill(process)
        return were_running


def entries(root):
    """How many files there are, half-written ones included."""
    return sum(path.is_file() for path in root.rglob("*"))


def assert_killed_and_resumed(root, polygons, api, calm, kills, seed):
    chance = random.Random(seed)
    pulled = sum(pull_the_plug(root, polygons, api, chance) for _ in range(kills))
    assert pulled, "every run had ended before its plug was pulled"
    done = run(root, polygons, api, "--quiet")
    assert done.status == 0, done.printed
    assert digests_under(root) == calm
    assert not partial_files(root)


def test_a_killed_run_started_again_ends_with_the_same_files(polygons, api, calm, tmp_path):
    assert_killed_and_resumed(tmp_path, polygons, api, calm, kills=3, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_no_moment_to_pull_the_plug_changes_a_file(polygons, api, calm, tmp_path, seed):
    assert_killed_and_resumed(tmp_path, polygons, api, calm, kills=1 + seed % 3, seed=seed)


def test_two_years_side_by_side_survive_the_plug(polygons, api, calm, tmp_path):
    both = (YEAR, OTHER_YEAR)
    assert pull_the_plug(tmp_path, polygons, api, random.Random(2), both)
    with ExitStack() as stack:
        for process in start(stack, tmp_path, polygons, api, both):
            printed, _ = process.communicate()
            assert process.returncode == 0, printed
    other_calm = {name.replace(f"/{YEAR}/", f"/{OTHER_YEAR}/"): digest for name, digest in calm.items()}
    assert digests_under(tmp_path) == calm | other_calm
    assert not partial_files(tmp_path)


def test_no_worker_outlives_a_killed_main_process(polygons, api, tmp_path):
    with started(tmp_path, polygons, api, "--quiet") as process:
        while not list(tmp_path.rglob("img_dir/*/*.tif")) and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        # Workers hold its standard output open as long as they live.
        process.communicate(timeout=30)
