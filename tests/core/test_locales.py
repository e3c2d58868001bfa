"""Every locale serves, the Turkish one too, in which C does not take ``I`` for the capital of ``i``."""

import locale
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from segmentation.core.process.locales import ignore_case_in_ascii
from segmentation.core.workspace import REPOSITORY

SOURCES = Path("/usr/share/i18n/locales")
# GDAL checks its tables when it looks up its first option.
ASK_GDAL = "import segmentation, rasterio, pyogrio; print(len(rasterio.drivers.raster_driver_extensions()) > 20)"


@pytest.mark.parametrize("name", ["tr_TR", "de_DE"])
def test_gdal_finds_its_options_under_a_locale(tmp_path, name):
    if not (shutil.which("localedef") and (SOURCES / name).exists()):
        pytest.skip("no locale can be made here: localedef and the sources of locales are needed")
    made = f"{name}.UTF-8"
    subprocess.run(["localedef", "-i", name, "-f", "UTF-8", tmp_path / made], check=True, capture_output=True)
    environment = os.environ | {"LOCPATH": str(tmp_path), "LC_ALL": made}
    done = subprocess.run(
        [sys.executable, "-c", ASK_GDAL], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ("tr_TR.UTF-8", "C.UTF-8"),
        ("az_AZ", "C.UTF-8"),
        ("Turkish_Türkiye.utf8", "C.UTF-8"),
        ("de_DE.UTF-8", "de_DE.UTF-8"),
        ("C", "C"),
    ],
)
def test_only_a_locale_with_a_dotted_capital_is_left(monkeypatch, found, left):
    now = [found]

    def setlocale(category, name=None):
        assert category == locale.LC_CTYPE, "numbers and dates are as they were"
        if name is not None:
            now[0] = name
        return now[0]

    monkeypatch.setattr(locale, "setlocale", setlocale)
    ignore_case_in_ascii()
    assert now == [left]


def test_where_c_in_utf_8_is_missing_plain_c_serves(monkeypatch):
    now = ["tr_TR.UTF-8"]

    def setlocale(_, name=None):
        if name == "C.UTF-8":
            raise locale.Error("unsupported locale setting")
        now[0] = name or now[0]
        return now[0]

    monkeypatch.setattr(locale, "setlocale", setlocale)
    ignore_case_in_ascii()
    assert now == ["C"]
