"""The ids of a user's polygons as names: of windows, of chips, of files."""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.core.errors import PipelineError

_logger = logging.getLogger(__name__)

_FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
_NO_PART_OF_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST, _HASH_DIGITS = 100, 8
_SHOWN = 3


def polygon_names(frame: gpd.GeoDataFrame, path: Path) -> np.ndarray:
    """A name for every polygon: its id, made fit for the names of files; without ids a number from 1.

    What is done to ids is said in a warning.

    Args:
        frame: rows of the file at ``path``, with or without a column ``id``.
        path: for messages.

    Returns:
        (n,) str, unique, whatever the case of their letters.

    Raises:
        PipelineError: some rows have an id and others none, or an id occurs more than once.
    """
    numbers = np.arange(1, len(frame) + 1).astype(str)
    if "id" not in frame.columns:
        return numbers.astype(object)
    ids = _texts(frame["id"])
    missing = ids == ""
    if missing.all():
        _logger.warning("%s has no ids: its polygons are numbered from 1 in the order of the file", path)
        return numbers.astype(object)
    if missing.any():
        raise PipelineError(
            f"{path}: {int(missing.sum())} rows have no 'id'; fill the column, or remove it to have all rows numbered"
        )
    again = ids.str.lower().duplicated()
    if again.any():
        raise PipelineError(
            f"{path}: id {ids[again].iloc[0]!r} occurs more than once; give each polygon its own or remove the column"
        )
    return _fit(ids, path).to_numpy(dtype=object)


def as_name(text: str) -> str:
    """An id as a name that any file system takes: ``way/101`` becomes ``way-101``, ``São João`` ``Sao-Joao``.

    What is too long, or has no letter or digit that every file system knows, is told apart by a part of its SHA-256.
    """
    if re.fullmatch(_FILE_NAME, text):
        return text
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = _NO_PART_OF_A_NAME.sub("-", plain).strip("-_.")
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]
    if not name:
        return f"id-{digest}"
    if len(name) > _LONGEST:
        return f"{name[: _LONGEST - _HASH_DIGITS - 1]}-{digest}"
    return name


def _texts(column: pd.Series) -> pd.Series:
    """Ids as texts, empty where there is none."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        # A column of whole numbers that some format keeps as 1.0, 2.0, ...
        texts = column.map("{:.0f}".format)
    else:
        texts = column.astype(str)
    return texts.where(column.notna(), "").str.strip()


def _fit(ids: pd.Series, path: Path) -> pd.Series:
    """Make names of those ids that are none; two that become the same are told apart by their SHA-256."""
    names = ids.map(as_name)
    changed = names != ids
    if not changed.any():
        return ids
    shared = names.str.lower().duplicated(keep=False) & changed
    names[shared] = [
        f"{name[: _LONGEST - _HASH_DIGITS - 1]}-{hashlib.sha256(own.encode()).hexdigest()[:_HASH_DIGITS]}"
        for name, own in zip(names[shared], ids[shared], strict=True)
    ]
    if names.str.lower().duplicated().any():
        raise PipelineError(f"{path}: its ids cannot be told apart once they are names of files; remove the column")
    mapping = [f"{own!r} is {name!r}" for own, name in zip(ids[changed], names[changed], strict=True)]
    more = f" and {len(mapping) - _SHOWN:,} more alike" if len(mapping) > _SHOWN else ""
    _logger.warning(
        "%s: %d ids cannot name files and were turned into names: %s%s",
        path,
        len(mapping),
        ", ".join(mapping[:_SHOWN]),
        more,
    )
    return names
