"""The season that imagery of a year is taken from."""

from __future__ import annotations

import argparse
import calendar
import re
from dataclasses import dataclass
from datetime import date

_LEAP_YEAR = 2000


@dataclass(frozen=True)
class Season:
    """Days of every year, both ends included.

    Attributes:
        first: ``MM-DD``.
        last: ``MM-DD``; where it comes before ``first``, the season began the year before.
    """

    first: str
    last: str

    def of(self, year: int) -> tuple[date, date]:
        """First and last day of the season that ends in a year; 29 February is the 28th where there is none."""
        return _day(self.first, year - (self.first > self.last)), _day(self.last, year)

    def __str__(self) -> str:
        return f"{self.first}/{self.last}"


# The study's: its mosaics show June to November.
STUDY_SEASON = Season("06-01", "11-30")


def season(text: str) -> Season:
    """An argparse type: ``MM-DD/MM-DD``."""
    match = re.fullmatch(r"(\d\d-\d\d)/(\d\d-\d\d)", text)
    try:
        days = [_day(part, _LEAP_YEAR) for part in match.groups()] if match else []
    except ValueError:
        days = []
    if not days:
        raise argparse.ArgumentTypeError(f"{text!r} is no season such as 06-01/11-30 (first and last month-day)")
    return Season(*match.groups())


def _day(month_day: str, year: int) -> date:
    month, day = map(int, month_day.split("-"))
    if (month, day) == (2, 29) and not calendar.isleap(year):
        day = 28
    return date(year, month, day)
