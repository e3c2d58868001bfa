"""Shapefiles are several files, of which some get lost or are cut off on their way; GDAL reads on without a word.

Layout of headers: ESRI Shapefile Technical Description (1998), and the dBASE III file format.
"""

from __future__ import annotations

import codecs
import logging
import re
import shutil
import threading
from pathlib import Path

import pyogrio

from segmentation.core.errors import PipelineError
from segmentation.core.files import read_text

_logger = logging.getLogger(__name__)

_HEADER_BYTES = 100
_FILE_CODE = 9994
_INDEX_ENTRY_BYTES = 8
_RESTORE = "SHAPE_RESTORE_SHX"
# GDAL's options are those of the whole process.
_restoring = threading.Lock()


def sound_shapefile(path: Path, called: str, folder: Path) -> Path:
    """Check that a shapefile is whole; where its index (.shx) is lost, make it anew in a copy.

    Args:
        path: of the .shp.
        called: what the user knows it as, for messages.
        folder: where a copy may be put; what is beside the user's file stays as it is.

    Returns:
        The path of a shapefile that GDAL can open.

    Raises:
        PipelineError: the .shp or the .dbf is cut off.
    """
    _refuse_cut(path, called)
    table = _beside(path, ".dbf")
    if table is None or table.stat().st_size == 0:
        _logger.warning("%s comes without its .dbf: its polygons have no attributes, no ids among them", called)
    else:
        _refuse_cut_table(table, called)
    index = _beside(path, ".shx")
    if index is not None and _is_index(index):
        _refuse_strangers(index, table, called)
        return path
    what = "comes without its .shx" if index is None else "has a damaged .shx"
    _logger.warning("%s %s: the index was made anew", called, what)
    return _with_new_index(path, folder)


def table_encoding(path: Path) -> str | None:
    """The encoding of a shapefile's texts where GDAL does not understand what its .cpg says; None where it does.

    Args:
        path: of the .shp.
    """
    declared = _beside(path, ".cpg")
    said = read_text(declared).strip().lower() if declared else ""
    if said.startswith(("utf-16", "utf16", "ucs")) or said.endswith("65001"):
        return "utf-8"  # 65001 is Windows' number for it, and no dBASE table takes two bytes a letter
    code_page = re.fullmatch(r"(?:oem|ansi|cp|windows)[ -]?(\d{3,4})", said)
    return f"cp{code_page[1]}" if code_page and _is_codec(f"cp{code_page[1]}") else None


def _is_codec(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True


def _refuse_cut(path: Path, called: str) -> None:
    """Compare the length that the header of a .shp gives with the file's own."""
    there = path.stat().st_size
    header = _header(path)
    if int.from_bytes(header[:4], "big") != _FILE_CODE:
        raise PipelineError(f"{called} is no shapefile, whatever its name says; get the file again")
    # A file that ends within its header is shorter than any header can say.
    said = max(_said_bytes(header), _HEADER_BYTES)
    if said > there:
        raise PipelineError(
            f"{called} is cut off: {said:,} bytes were written, {there:,} are there; get the file again"
        )


def _refuse_cut_table(path: Path, called: str) -> None:
    """Compare the rows that the header of a .dbf counts with the file's length."""
    there = path.stat().st_size
    header = _header(path)
    rows = int.from_bytes(header[4:8], "little")
    header_bytes, row_bytes = int.from_bytes(header[8:10], "little"), int.from_bytes(header[10:12], "little")
    if there < header_bytes + rows * row_bytes:
        raise PipelineError(
            f"the .dbf of {called} is cut off: {max(there - header_bytes, 0) // max(row_bytes, 1):,} of {rows:,} rows "
            "are there; get the file again"
        )


def _refuse_strangers(index: Path, table: Path | None, called: str) -> None:
    """Compare the number of shapes in an index with that of the rows in a table."""
    shapes = (_said_bytes(_header(index)) - _HEADER_BYTES) // _INDEX_ENTRY_BYTES
    rows = int.from_bytes(_header(table)[4:8], "little") if table and table.stat().st_size else shapes
    if rows != shapes:
        raise PipelineError(
            f"{called}: its .shx counts {shapes:,} shapes, its .dbf {rows:,} rows; they do not belong together"
        )


def _is_index(path: Path) -> bool:
    header, there = _header(path), path.stat().st_size
    if len(header) < _HEADER_BYTES or int.from_bytes(header[:4], "big") != _FILE_CODE:
        return False
    return _said_bytes(header) <= there and (there - _HEADER_BYTES) % _INDEX_ENTRY_BYTES == 0


def _with_new_index(path: Path, folder: Path) -> Path:
    folder.mkdir()
    for suffix in (".shp", ".dbf", ".prj", ".cpg"):
        if (companion := _beside(path, suffix)) is not None:
            shutil.copyfile(companion, folder / f"{path.stem}{suffix}")
    copy = folder / f"{path.stem}.shp"
    with _restoring:
        before = pyogrio.get_gdal_config_option(_RESTORE)
        pyogrio.set_gdal_config_options({_RESTORE: True})
        try:
            pyogrio.read_info(copy)  # opening is what makes the index
        finally:
            pyogrio.set_gdal_config_options({_RESTORE: before})
    return copy


def _beside(path: Path, suffix: str) -> Path | None:
    """The file of the same name with another suffix, in small or capital letters."""
    for candidate in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
        if candidate.is_file():
            return candidate
    return None


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)


def _said_bytes(header: bytes) -> int:
    # Counted in words of 16 bits.
    return 2 * int.from_bytes(header[24:28], "big")
