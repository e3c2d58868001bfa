"""Letters as GDAL compares them: in Turkish and Azerbaijani, ``I`` is not the capital of ``i``."""

from __future__ import annotations

import contextlib
import locale

_DOTTED_I = ("tr_", "az_", "Turkish", "Azerbaijani")
# The first is there on Linux, the second everywhere.
_PLAIN = ("C.UTF-8", "C")


def ignore_case_in_ascii() -> None:
    """Let C libraries ignore the case of ASCII letters in every locale.

    GDAL looks up its options and drivers without regard to case. Under a Turkish locale it finds no name with an ``I``
    in it and complains of its own tables. Python's own encoding of files and their names was chosen before and stays.
    """
    if not (locale.setlocale(locale.LC_CTYPE) or "").startswith(_DOTTED_I):
        return
    for plain in _PLAIN:
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, plain)
            return
