"""Texts without secrets: what is taken out of addresses and answers before they reach a message, a log or a file."""

from __future__ import annotations

import re


def redact(text: str, key: str = "") -> str:
    """The text without API keys: the values of ``api_key=`` and the given key itself."""
    text = re.sub(r"(api_key=)[^&\s\"'>]+", r"\1***", text, flags=re.IGNORECASE)
    return text.replace(key, "***") if key else text


def without_login(text: str) -> str:
    """A text whose web addresses have lost the logins in them."""
    return re.sub(r"(?<=://)[^/\s'\"<>@]+@", "", text)


def without_query(text: str) -> str:
    """A text whose web addresses have lost what stands behind their question marks, and the logins in them."""
    return re.sub(r"\?[^\s'\"<>)]+", "?...", without_login(text))
