"""What tests of several stations share, and how they are spread over processes."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from helpers.models import trained
from helpers.step_1 import YEAR, Done

import segmentation_dataset_generation as script
from segmentation.core import cli
from segmentation.core.process.cores import usable_cores
from segmentation.predict.runs import ModelRun

# The tests' own requests go to this machine alone, whatever proxies and logins it is used to; those of the product are
# tested with some in tests/imagery/test_sessions.py.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1,::1"
os.environ["NETRC"] = os.devnull

# A script that starts the tests in the background has them, and all that they start, ignore Ctrl-C; tests that press it
# start commands as a terminal does.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Files that take half a minute and more; see ``together``.
_LONGEST = (
    "test_end_to_end.py",
    "test_plug.py",
    "test_alignment.py",
    "test_train.py",
    "test_predictor.py",
    "test_stac_imagery.py",
    "test_configs.py",
    "test_s2_imagery.py",
    "test_benchmarks.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the others in the order that they have anyway."""
    rank = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: now and then each waits for a command that it has started."""
    return usable_cores() + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """How ``pytest --numprocesses N`` shares the tests out."""
    from together import Together

    return Together(config, log)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20190601)


@pytest.fixture(scope="session")
def trained_model(tmp_path_factory) -> ModelRun:
    """A small SegFormer that has learned to find ``models.picture``'s blobs: some seconds, once for all tests."""
    return trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def vector_file(tmp_path) -> Iterator:
    """Writes geometries to a vector file: ``vector_file([polygon], id=[7])``."""

    def write(geometries, name="polygons.gpkg", crs="EPSG:4326", **columns) -> Path:
        path = tmp_path / name
        gpd.GeoDataFrame(columns, geometry=list(geometries), crs=crs).to_file(path)
        return path

    return write


@pytest.fixture
def step_1(monkeypatch, capsys) -> Callable[..., Done]:
    """Step 1 as it is typed, in this process: ``step_1(data root, *options, year=2019)``."""

    def typed(root: Path, *options, year: int = YEAR) -> Done:
        words = ("step_1", f"-year={year}", "--data-root", root, "--workers=1", "--quiet", *options)
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as left:
            cli.run(script.main, script.arguments())
        told = capsys.readouterr()
        return Done(left.value.code, told.out + told.err)

    return typed
