"""The API key: where it comes from, and how it stays out of every text."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dotenv import dotenv_values

from segmentation.errors import PipelineError
from segmentation.workspace import REPOSITORY

KEY_NAMES = ("PL_API_KEY", "PLANET_API_KEY", "API_KEY")


def find_api_key() -> str:
    """The API key from the environment or from ``.env`` in the working directory or the repository.

    Raises:
        PipelineError: there is none.
    """
    places = [os.environ, dotenv_values(Path.cwd() / ".env"), dotenv_values(REPOSITORY / ".env")]
    for place in places:
        for name in KEY_NAMES:
            if key := (place.get(name) or "").strip():
                return key
    raise PipelineError(
        "no Planet API key: set PL_API_KEY in the environment or in a file .env (or try the built-in --demo)"
    )


def redact(text: str, key: str = "") -> str:
    """The text without API keys: the values of ``api_key=`` and the given key itself."""
    text = re.sub(r"(api_key=)[^&\s\"'>]+", r"\1***", text, flags=re.IGNORECASE)
    return text.replace(key, "***") if key else text
