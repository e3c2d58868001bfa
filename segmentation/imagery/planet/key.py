"""The API key: where it comes from."""

from __future__ import annotations

import io
import os
import string
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from segmentation.core.errors import PipelineError
from segmentation.core.files import read_text
from segmentation.core.workspace import REPOSITORY

KEY_NAMES = ("PL_API_KEY", "PLANET_API_KEY", "API_KEY")

# The quotation marks of word processors, and blanks of no width that come along when text is copied.
_QUOTES = dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"') | dict.fromkeys("\u2018\u2019\u201a\u201b", "'")
_STRAIGHT = str.maketrans(_QUOTES | dict.fromkeys("\ufeff\u200b\u2060", ""))
_AROUND = string.whitespace + "".join(_QUOTES) + "\"'\u00a0\ufeff\u200b\u2060"


def find_api_key() -> str:
    """The API key from the environment or from ``.env`` in the working directory or the repository.

    Raises:
        PipelineError: there is none, or it has characters that no request can carry.
    """
    places: dict[str, Mapping[str, str | None]] = {"the environment": os.environ}
    for file in (Path.cwd() / ".env", REPOSITORY / ".env"):
        places[str(file)] = _values(file)
    for place, values in places.items():
        for name in KEY_NAMES:
            if key := (values.get(name) or "").strip(_AROUND):
                return _usable(key, f"{name} in {place}")
    raise PipelineError(
        "no Planet API key: set PL_API_KEY in the environment or in a file .env (or try the built-in --demo)"
    )


def _values(file: Path) -> dict[str, str | None]:
    """What a ``.env`` says, whatever encoding an editor has left it in; nothing where there is none."""
    if not file.is_file():
        return {}
    # Typographic quotes around a value are as good as straight ones.
    lines = read_text(file).splitlines()
    return dotenv_values(stream=io.StringIO("\n".join(lines).translate(_STRAIGHT) + "\n"))


def _usable(key: str, where: str) -> str:
    """The key, if it can be sent; the error names its place, not the key."""
    if not (key.isascii() and key.isprintable()):
        raise PipelineError(f"{where} is no API key: it has characters other than plain letters, digits and signs")
    return key
