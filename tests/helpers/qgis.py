"""QGIS itself, in the system's own Python and without a screen, and what is seen on its pictures."""

import os
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

PYTHON = "/usr/bin/python3"


def run_qgis(*arguments):
    # A virtual environment's settings must not reach the other Python.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["QT_QPA_PLATFORM"] = "offscreen"
    # Isolated: a script that lies beside this file would take it for the package of the same name.
    command = [PYTHON, "-I", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@cache
def qgis_is_there():
    return Path(PYTHON).exists() and run_qgis("-c", "import qgis.core").returncode == 0


@pytest.fixture(autouse=True)
def needs_qgis():
    if not qgis_is_there():
        pytest.skip(f"{PYTHON} has no qgis.core")


def has_colour(image, *rgb):
    """Whether many pixels are (nearly) of a colour given in 0 to 255."""
    return (np.abs(image - np.array(rgb) / 255).max(axis=-1) < 0.06).sum() > 100
