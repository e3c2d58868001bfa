"""Which basemap mosaics show a year.

NICFI's analytic mosaics are biannual up to May 2020, one covers June to August 2020, and they are monthly from
September 2020. As in the study, a year is seen in its second half (June to November).
"""

from __future__ import annotations

from segmentation.core.errors import PipelineError

FIRST_YEAR, LAST_YEAR = 2016, 2024

# September lies in the middle of the study's season and in the dry season of most mining regions of the tropics.
_DEFAULT_MONTH = 9
_NAME = "planet_medres_normalized_analytic_{}_mosaic"


def default_mosaic(year: int) -> str:
    """Name of the mosaic that shows a year.

    Raises:
        PipelineError: NICFI has no mosaic of that year.
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise PipelineError(
            f"year {year} is out of range: the NICFI mosaics show {FIRST_YEAR} to {LAST_YEAR} "
            "(name any other mosaic with --mosaic)"
        )
    if year < 2020:
        return _NAME.format(f"{year}-06_{year}-11")
    if year == 2020:
        return _NAME.format("2020-06_2020-08")
    return _NAME.format(f"{year}-{_DEFAULT_MONTH:02d}")


def candidate_mosaics(year: int) -> tuple[str, ...]:
    """Names of the mosaics among which the study takes the least cloudy one, in the order of time.

    Raises:
        PipelineError: the year lies before NICFI's first mosaic.
    """
    if year < 2020:
        return (default_mosaic(year),)
    first_month = 9 if year == 2020 else 6
    names = [_NAME.format(f"{year}-{month:02d}") for month in range(first_month, 12)]
    if year == 2020:  # one mosaic shows its June to August
        names.insert(0, default_mosaic(year))
    return tuple(names)
