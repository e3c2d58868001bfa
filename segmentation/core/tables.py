"""Tables of plain text, as the commands print them: what there is and how much of it, in columns that stand in line."""

from __future__ import annotations

# A label, and how much there is of it.
_AMOUNT = "{:<44}{:>12}"


def amount(label: str, value: int | str) -> str:
    """A line of a list of amounts: ``windows planned          1,234``.

    Args:
        label: what is counted; what is a part of the line above is indented by two blanks.
        value: a whole number, or a text with its unit.
    """
    return table_row(_AMOUNT, label, value)


def table_row(template: str, *cells: int | str) -> str:
    """A row of a table, or its head.

    Args:
        template: how wide the columns are, in the language of ``str.format``: ``{:<20}{:>8}`` has names that begin at
            the left in 20 characters, and figures that end at the right of 8 more.
        cells: a text or a whole number each; numbers get a comma between thousands.
    """
    texts = [cell if isinstance(cell, str) else f"{cell:,}" for cell in cells]
    return template.format(*texts)
