"""Files: written whole or not at all, and read in whatever encoding an editor or a spreadsheet left them."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segmentation.core.errors import PipelineError, disk_full_at
from segmentation.core.process import leftovers

# Some network and virtual file systems have nothing to wait for.
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}

# The marks that editors of Windows put first. UTF-32's begins with UTF-16's, so that it has to be tried first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def make_folder(path: Path) -> Path:
    """Create a folder with its parents.

    Raises:
        PipelineError: it cannot be created or written to.
    """
    try:
        with disk_full_at(path):
            path.mkdir(parents=True, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError, OSError) as error:
        raise PipelineError(f"cannot write to {path}: {error.strerror}; choose another --data-root") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise PipelineError(f"cannot write to {path}: permission denied; choose another --data-root")
    return path


@contextmanager
def whole_file(path: Path, *, on_disk: bool = True) -> Iterator[Path]:
    """A path to write to that becomes ``path`` when the block ends well and vanishes when it does not.

    Args:
        path: the file's name in the end.
        on_disk: the file gets its name once it has reached the disk; a power cut would else leave the name without the
            content. To wait for that takes some 10 ms: not for small files by the ten thousand, which are looked
            through when they are read again.

    Raises:
        DiskFull: there is no room.
        PipelineError: the folder cannot be written to.
    """
    make_folder(path.parent)
    partial = leftovers.begin(path)
    try:
        with disk_full_at(path):
            yield partial
            if on_disk:
                _put_on_disk(partial)
            os.replace(partial, path)  # noqa: PTH105 - Path.replace is the same call, this name says atomic
    finally:
        leftovers.end(partial)


def _put_on_disk(path: Path) -> None:
    """Wait until a file's content has reached the disk, which a full one says no later than now."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(file)


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file whole, with sorted keys."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict:
    """Read a JSON object; empty where there is no file.

    Raises:
        PipelineError: the file is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise PipelineError(f"{path} is damaged ({error}); remove it and run again") from None


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


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
