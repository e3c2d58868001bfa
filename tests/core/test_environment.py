"""What other software leaves in the environment."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pyproj
import pytest
import rasterio

from segmentation.core.process.environment import check_projections
from segmentation.core.workspace import REPOSITORY

_OWN = Path(rasterio.__file__).parent / "proj_data"


def check(**variables):
    """The check in its own process, as libraries look at the environment once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJ_")}
    code = "import argparse; from segmentation.core import cli; cli.run(lambda _: 0, argparse.Namespace(verbose=False))"
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {name: str(value) for name, value in variables.items()},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not _OWN.is_dir(), reason="rasterio was built against the system's PROJ")
@pytest.mark.parametrize("variable", ["PROJ_LIB", "PROJ_DATA"])
def test_a_folder_of_another_proj_is_refused_in_one_line(tmp_path, variable):
    if variable == "PROJ_DATA":
        shutil.copy(Path(pyproj.datadir.get_data_dir()) / "proj.db", tmp_path)
        with closing(sqlite3.connect(tmp_path / "proj.db")) as database, database:
            database.execute("UPDATE metadata SET value = '0' WHERE key = 'DATABASE.LAYOUT.VERSION.MINOR'")
    found = check(**{variable: tmp_path})
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: {variable}={tmp_path} belongs to another installation of PROJ (")
    assert found.stderr.endswith(f"unset {variable}; the libraries here bring their own\n")
    assert len(found.stderr.splitlines()) == 1


@pytest.mark.skipif(not _OWN.is_dir(), reason="rasterio was built against the system's PROJ")
def test_a_folder_that_serves_is_taken():
    found = check(PROJ_LIB=_OWN)
    assert (found.returncode, found.stderr) == (0, "")


def test_without_such_a_variable_nothing_is_tried(monkeypatch):
    for name in ("PROJ_LIB", "PROJ_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "rasterio", None)  # importing it now would fail
    check_projections()
