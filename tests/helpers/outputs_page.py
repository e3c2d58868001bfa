"""The page of outputs as tests ask it: which columns and keys does it name under a heading?"""

import re
from pathlib import Path

import pandas as pd
import pyogrio

from segmentation.core.workspace import REPOSITORY

PAGE = (REPOSITORY / "docs" / "outputs.md").read_text(encoding="utf-8")


def rows(heading: str, first: str, page: str) -> list[tuple[list[str], list[str]]]:
    """The rows of the table under a heading that begins with ``column`` or ``key``: its names, and its other cells."""
    section = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#|\Z)", page, re.DOTALL | re.MULTILINE)
    assert section, heading
    found, inside = [], False
    for line in section[2].splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]] or [""]
        inside = cells[0] == first or (inside and line.startswith("|"))
        names = re.findall(r"`([^`]+)`", cells[0])
        if inside and names:
            found.append((names, cells[1:]))
    return found


def documented(heading: str, first: str = "column", page: str = PAGE) -> list[str]:
    """The names in the first column of the table under a heading that begins with ``column`` or ``key``."""
    return [name for names, _ in rows(heading, first, page) for name in names]


def surprising_nulls(heading: str, table: pd.DataFrame, page: str = PAGE) -> list[str]:
    """Columns that hold a null although the page says that they do not."""
    never = {name for names, cells in rows(heading, "column", page) if cells[2] == "no" for name in names}
    return [name for name in table if plain([name]) & never and table[name].isna().any()]


def plain(names) -> set[str]:
    """Columns without the geometry, those of single years by one name."""
    return {re.sub(r"_(19|20)\d\d$", "_YEAR", name) for name in names} - {"geometry"}


def layer(path: Path, name: str) -> set[str]:
    return plain(pyogrio.read_info(path, layer=name)["fields"])


def named_in(heading: str, before: str) -> set[str]:
    """Everything in code font between a heading and the next one of a kind."""
    section = PAGE.partition(heading)[2].partition(before)[0]
    return set(re.findall(r"`([^`]+)`", section))
