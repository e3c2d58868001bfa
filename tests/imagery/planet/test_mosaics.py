"""Which mosaic shows a year, and which days a mosaic shows."""

import re
from datetime import date

import pytest

from segmentation.core.errors import PipelineError
from segmentation.imagery.planet.mosaics import FIRST_YEAR, LAST_YEAR, default_mosaic

_PERIOD = re.compile(r"_(\d{4})-(\d{2})(?:_(\d{4})-(\d{2}))?_mosaic$")


def mosaic_period(name: str) -> tuple[date, date] | None:
    """First day shown by a mosaic and first day after it, read from its name; None where the name has no dates."""
    match = _PERIOD.search(name)
    if match is None:
        return None
    first_year, first_month, last_year, last_month = match.groups()
    last_year, last_month = last_year or first_year, last_month or first_month
    after = int(last_year) * 12 + int(last_month)
    return date(int(first_year), int(first_month), 1), date(after // 12, after % 12 + 1, 1)


@pytest.mark.parametrize(
    ("year", "period"),
    [
        (2016, "2016-06_2016-11"),
        (2019, "2019-06_2019-11"),
        (2020, "2020-06_2020-08"),
        (2021, "2021-09"),
        (2024, "2024-09"),
    ],
)
def test_a_year_is_seen_in_its_second_half(year, period):
    assert default_mosaic(year) == f"planet_medres_normalized_analytic_{period}_mosaic"


@pytest.mark.parametrize("year", [2015, 2025, 0, -2019])
def test_a_year_without_mosaic_is_refused_with_the_way_out(year):
    with pytest.raises(PipelineError, match=f"year {year} .*2016 to 2024.*--mosaic"):
        default_mosaic(year)


@pytest.mark.parametrize("year", range(FIRST_YEAR, LAST_YEAR + 1))
def test_the_mosaic_of_a_year_shows_days_of_that_year_alone(year):
    first, after = mosaic_period(default_mosaic(year))
    assert first < after
    assert date(year, 6, 1) <= first
    assert after <= date(year, 12, 1)


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("planet_medres_normalized_analytic_2015-12_2016-05_mosaic", (date(2015, 12, 1), date(2016, 6, 1))),
        ("planet_medres_normalized_analytic_2021-12_mosaic", (date(2021, 12, 1), date(2022, 1, 1))),
        ("planet_medres_visual_2020-09_mosaic", (date(2020, 9, 1), date(2020, 10, 1))),
        ("my_own_mosaic", None),
    ],
)
def test_a_mosaics_period_is_read_from_its_name(name, period):
    assert mosaic_period(name) == period
