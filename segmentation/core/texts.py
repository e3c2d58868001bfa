"""Text files that a user brings, in whatever encoding an editor or a spreadsheet left them."""

from __future__ import annotations

import codecs
from pathlib import Path

# The marks that editors of Windows put first. UTF-32's begins with UTF-16's, so that it has to be tried first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text of a small file in UTF-8, UTF-16, UTF-32 or Windows' western encoding, with or without a mark.

    Raises:
        OSError: the file cannot be read.
    """
    return decode(path.read_bytes())


def is_wide(start: bytes) -> bool:
    """Whether a text takes two or four bytes a letter, by its first four."""
    return start.startswith((codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in start


def decode(raw: bytes) -> str:
    """Bytes as text: by their mark, by the zeros of UTF-16, as UTF-8, or else as Windows-1252."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace")
    # Western text in UTF-16 has a zero in every pair of bytes, and no other text has any.
    if b"\0" in raw:
        little_endian = raw[1::2].count(0) >= raw[0::2].count(0)
        return raw.decode("utf-16-le" if little_endian else "utf-16-be", errors="replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        # Windows-1252 leaves five bytes undefined; none of them belongs to an id or to a key.
        return raw.decode("cp1252", errors="replace")
