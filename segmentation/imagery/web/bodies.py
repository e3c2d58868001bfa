"""The bodies of answers, read whole: what breaks off or is not what was asked for is worth another try."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from segmentation.imagery.web.retries import Transient

_BLOCK_BYTES = 1 << 20


def read_text(response: requests.Response) -> str:
    """What an answer says, nothing where it breaks off."""
    try:
        return response.text
    except requests.RequestException:
        return ""


def read_object(response: requests.Response) -> dict[str, Any] | None:
    """A JSON object; None where the body is anything else."""
    try:
        content = response.json()
    except requests.RequestException:
        return None
    return content if isinstance(content, dict) else None


def save_body(response: requests.Response, path: Path) -> int:
    """Stream a body to a file and make sure that all of it came.

    Returns:
        Its number of bytes.

    Raises:
        Transient: the transfer broke off.
    """
    try:
        with path.open("wb") as file:
            for block in response.iter_content(_BLOCK_BYTES):
                file.write(block)
    except requests.RequestException as error:
        raise Transient(f"the transfer broke off ({type(error).__name__})") from None
    expected, got = response.headers.get("Content-Length"), path.stat().st_size
    if expected is not None and int(expected) != got:
        raise Transient(f"the transfer ended at {got} of {expected} bytes")
    return got


def read_part(response: requests.Response, start: int) -> tuple[bytes, int]:
    """The bytes of a partial answer and the size of the whole, both held against its Content-Range (RFC 9110, 14.4).

    Args:
        response: the answer to a request for a range.
        start: the first byte that was asked for.

    Raises:
        Transient: the transfer broke off, or it is another part.
    """
    try:
        content = response.content
    except requests.RequestException as error:
        raise Transient(f"the transfer broke off ({type(error).__name__})") from None
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != start or int(match[2]) - start + 1 != len(content):
        raise Transient("the answer is not the part that was asked for")
    return content, int(match[3])


def require_usable(path: Path, check: Callable[[Path], None]) -> None:
    """Make sure that a downloaded file is what it should be.

    Args:
        path: of the file.
        check: raises ``ValueError`` where it is not.

    Raises:
        Transient: it is not.
    """
    try:
        check(path)
    except ValueError as error:
        raise Transient(f"not a usable file: {error}") from None
