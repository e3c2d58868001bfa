"""``--plan``: what step 1 would take, for one year or for several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segmentation.core.tables import amount, table_row
from segmentation.geo.grid import CHIP_PX
from segmentation.imagery.source import Forecast
from segmentation.polygons.literature import LiteraturePolygons

# Windows by how many pixels of the grid become one of the chip, along a side: first and last of each class.
_CLASSES = ((1, 1), (2, 2), (3, 5), (6, 10), (11, None))
# A year, and what it takes.
_YEARS = "{:<4}" + 7 * "{:>16}"


@dataclass(frozen=True)
class YearPlan:
    """What is to be done for a year.

    Attributes:
        year: the year.
        side_px: (n,) int64, sides of its windows in pixels of the grid.
        pixel_m: side of these pixels in metres of EPSG:3857.
        left: (n,) bool, windows that are not finished yet.
        forecast: of the imagery source.
    """

    year: int
    side_px: np.ndarray
    pixel_m: float
    left: np.ndarray
    forecast: Forecast


def cost_table(
    polygons: LiteraturePolygons, plans: Sequence[YearPlan], *, max_rps: float, bandwidth_mbit: float
) -> str:
    """A table of what fetching some years would take; ready to print.

    Args:
        polygons: as read.
        plans: a year each, of the same imagery.
        max_rps: requests a second at most.
        bandwidth_mbit: of the network, megabits a second.
    """
    rows = _by_year(plans, max_rps, bandwidth_mbit) if len(plans) > 1 else []
    rows.append(amount("polygons read", polygons.account.read))
    rows += [amount(f"  dropped: {reason}", count) for reason, count in polygons.account.dropped.items()]
    rows += _of_windows(plans)
    forecast = _together([plan.forecast for plan in plans])
    rows += _of_pieces(forecast)
    rows += [
        amount("requests, at least", forecast.requests),
        amount(f"  time for them at {max_rps:g} a second", _hours(_requests_h(forecast, max_rps))),
        amount(f"  time to download at {bandwidth_mbit:g} Mbit/s", _hours(_download_h(forecast, bandwidth_mbit))),
        amount("time, at least (the longer of the two)", _hours(_least_h(forecast, max_rps, bandwidth_mbit))),
    ]
    return "\n".join(rows)


def _of_windows(plans: Sequence[YearPlan]) -> list[str]:
    """How many windows there are, by the size of their pixels, and how many need nothing any more."""
    windows = sum(len(plan.left) for plan in plans)
    left = sum(int(plan.left.sum()) for plan in plans)
    rows = [amount("windows", windows), *_by_pixel_size(plans)]
    if left < windows:
        rows.append(amount("  finished before", windows - left))
    return rows


def _of_pieces(forecast: Forecast) -> list[str]:
    """How many pieces of imagery are needed, and how many bytes they take."""
    rows = []
    if forecast.at_hand is not None:
        rows.append(amount(f"{forecast.unit}s read", forecast.at_hand))
    rows += [
        amount(f"{forecast.unit}s needed", forecast.pieces),
        amount("  on disk", forecast.covered),
        amount("  known not to be covered", forecast.not_covered),
    ]
    if forecast.spared:
        rows.append(amount("  not needed any more", forecast.spared))
    megabytes = _figure(forecast.piece_bytes / 1e6)
    rows += [
        amount("  to fetch", forecast.missing),
        amount(f"to download, at {megabytes} MB a {forecast.unit}", _gigabytes(forecast.download_bytes)),
        amount("on disk then", _gigabytes(forecast.disk_bytes)),
    ]
    return rows


def _by_year(plans: Sequence[YearPlan], max_rps: float, bandwidth_mbit: float) -> list[str]:
    """A row a year; the sums stand below it."""
    unit = plans[0].forecast.unit
    columns = ("windows", "finished", f"{unit}s to fetch", "download", "on disk then", "requests", "time")
    rows = [table_row(_YEARS, "year", *columns)]
    for plan in plans:
        forecast = plan.forecast
        values = (
            len(plan.left),
            int((~plan.left).sum()),
            forecast.missing,
            _gigabytes(forecast.download_bytes),
            _gigabytes(forecast.disk_bytes),
            forecast.requests,
            _hours(_least_h(forecast, max_rps, bandwidth_mbit)),
        )
        rows.append(table_row(_YEARS, str(plan.year), *values))
    return [*rows, "", "together"]


def _by_pixel_size(plans: Sequence[YearPlan]) -> list[str]:
    """Windows by the size of their chips' pixels in EPSG:3857, classes that have none left out."""
    factor = np.concatenate([plan.side_px for plan in plans]) // CHIP_PX
    pixel_m = plans[0].pixel_m
    rows = []
    for first, last in _CLASSES:
        within = (factor >= first) & (factor <= (last or np.inf))
        if not within.any():
            continue
        smallest = f"{pixel_m * int(factor[within].min()):.1f}"
        largest = f"{pixel_m * int(factor[within].max()):.1f}"
        sizes = smallest if smallest == largest else f"{smallest} to {largest}"
        remark = " (full resolution)" if first == 1 else ""
        rows.append(amount(f"  of {sizes} m pixels{remark}", int(within.sum())))
    return rows


def _together(forecasts: Sequence[Forecast]) -> Forecast:
    """The sum of forecasts of the same imagery source."""
    missing = sum(each.missing for each in forecasts)
    coming = sum(each.disk_bytes - each.on_disk_bytes for each in forecasts)
    return Forecast(
        unit=forecasts[0].unit,
        pieces=sum(each.pieces for each in forecasts),
        covered=sum(each.covered for each in forecasts),
        not_covered=sum(each.not_covered for each in forecasts),
        requests=sum(each.requests for each in forecasts),
        piece_bytes=sum(each.download_bytes for each in forecasts) / missing if missing else forecasts[0].piece_bytes,
        kept_bytes=coming / missing if missing else 0.0,
        on_disk_bytes=sum(each.on_disk_bytes for each in forecasts),
        spared=sum(each.spared for each in forecasts),
        at_hand=forecasts[0].at_hand,
    )


def _requests_h(forecast: Forecast, max_rps: float) -> float:
    return forecast.requests / max_rps / 3600


def _download_h(forecast: Forecast, bandwidth_mbit: float) -> float:
    return forecast.download_bytes * 8 / (bandwidth_mbit * 1e6) / 3600


def _least_h(forecast: Forecast, max_rps: float, bandwidth_mbit: float) -> float:
    """Both go on at the same time, so the slower one decides."""
    return max(_requests_h(forecast, max_rps), _download_h(forecast, bandwidth_mbit))


def _gigabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:,.1f} GB"


def _hours(hours: float) -> str:
    return f"{hours:,.2f} h"


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
