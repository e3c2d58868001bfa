"""Step 1's account of itself: every polygon of the input is either written or named with its reason."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.chips.dataset import Dataset
from segmentation.core.tables import amount
from segmentation.core.workspace import SPLITS
from segmentation.geo.vectors.clean import Account
from segmentation.imagery.cache import FAILED, NOT_COVERED
from segmentation.polygons.literature import LiteraturePolygons
from segmentation.windows.plan import as_windows
from segmentation.windows.record import Footprint
from segmentation.windows.splits import far_from_shares, leakage_m2
from segmentation.windows.statuses import WRITTEN

_NAMED = 12


def summarise(
    polygons: LiteraturePolygons, dataset: Dataset, footprint: Footprint, *, chosen_test: bool = False
) -> str:
    """A table of what came in, what was left out and why, and what was made; ready to print.

    Args:
        polygons: as read.
        dataset: what was made of them.
        footprint: from the imagery source.
        chosen_test: whether the polygons to test on were chosen by hand.
    """
    windows = dataset.windows
    written = windows[windows["status"] == WRITTEN]
    lines = [
        *_of_polygons(polygons.account),
        *_of_plan(windows),
        *_of_imagery(footprint),
        *_of_chips(written, chosen_test=chosen_test),
    ]
    if dataset.train is not None:
        lines.append(f"train chips, DN by band: mean {_figures(dataset.train.mean)}, std {_figures(dataset.train.std)}")
    bounds_3857, splits = windows.geometry.bounds.to_numpy(), windows["split"].to_numpy(dtype=str)
    leak_m2 = leakage_m2(bounds_3857, as_windows(windows), splits)
    lines.append(amount("overlap between splits", f"{leak_m2:.0f} m2"))
    return "\n".join(lines)


def _of_polygons(account: Account) -> list[str]:
    lines = [amount("polygons read", account.read)]
    if account.invalid:
        lines.append(amount("  geometries repaired", account.invalid))
    lines += [amount(f"  dropped: {reason}", count) for reason, count in account.dropped.items()]
    return lines


def _of_plan(windows: gpd.GeoDataFrame) -> list[str]:
    """How many windows have come to what, and the ids of those that were not written."""
    lines = [amount("windows planned", len(windows))]
    lines += [amount(f"  {status}", count) for status, count in windows["status"].value_counts().items()]
    for status, ids in windows[windows["status"] != WRITTEN].groupby("status")["id"]:
        lines += _named(ids, status)
    return lines


def _of_imagery(footprint: Footprint) -> list[str]:
    pieces, unit = footprint.pieces, footprint.unit
    lines = [] if footprint.at_hand is None else [amount(f"{unit}s read", footprint.at_hand)]
    lines.append(amount(f"{unit}s needed", len(pieces)))
    # Failures have reasons of their own, one each; windows.gpkg holds them.
    reasons = (": " + pieces["reason"]).where(pieces["status"] == NOT_COVERED, "")
    states = pieces["status"] + reasons
    lines += [amount(f"  {state}", count) for state, count in states.groupby(states).size().items()]
    lines += _named(pieces.loc[pieces["status"] == FAILED, "name"], FAILED)
    return lines


def _of_chips(written: gpd.GeoDataFrame, *, chosen_test: bool) -> list[str]:
    lines = [amount("chips", len(written))]
    lines += [_split_line(written[written["split"] == split], split) for split in SPLITS]
    lopsided = far_from_shares(written["split"].to_numpy(dtype=str), chosen_test=chosen_test)
    if lopsided:
        lines.append(f"  {lopsided}")
    return lines


def failures(windows: gpd.GeoDataFrame) -> int:
    """Number of windows that were lost to failed downloads; the next run fetches them again."""
    return int((windows["status"] == FAILED).sum())


def _figures(values: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:.2f}" for value in values) + "]"


def _split_line(chips: gpd.GeoDataFrame, split: str) -> str:
    line = amount(f"  {split}", len(chips))
    # Chips differ in their no-data, so the share of mine pixels is weighted with the valid ones.
    weight = chips["valid_share"].sum()
    if chips["mine_share"].notna().any() and weight > 0:
        share = (chips["mine_share"] * chips["valid_share"]).sum() / weight
        line += f"   {share:6.1%} of the pixels are mine"
    return line


def _named(ids: pd.Series, status: str) -> list[str]:
    if ids.empty:
        return []
    more = f" and {len(ids) - _NAMED} more (see windows.gpkg)" if len(ids) > _NAMED else ""
    return [f"    {status}: {', '.join(ids[:_NAMED])}{more}"]
