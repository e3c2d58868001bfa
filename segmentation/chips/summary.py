"""Step 1's account of itself: every polygon of the input is either written or named with its reason."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.chips.dataset import Dataset
from segmentation.core.tables import amount
from segmentation.core.workspace import SPLITS
from segmentation.imagery.cache import FAILED, NOT_COVERED
from segmentation.polygons.literature import LiteraturePolygons
from segmentation.windows.plan import as_windows
from segmentation.windows.record import WRITTEN, Footprint
from segmentation.windows.splits import far_from_shares, leakage_m2

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
    windows, pieces = dataset.windows, footprint.pieces
    lines = [amount("polygons read", polygons.account.read)]
    if polygons.account.invalid:
        lines.append(amount("  geometries repaired", polygons.account.invalid))
    lines += [amount(f"  dropped: {reason}", count) for reason, count in polygons.account.dropped.items()]
    lines.append(amount("windows planned", len(windows)))
    lines += [amount(f"  {status}", count) for status, count in windows["status"].value_counts().items()]
    lines += _unwritten(windows)
    lines += _at_hand(footprint)
    lines.append(amount(f"{footprint.unit}s needed", len(pieces)))
    # Failures have reasons of their own, one each; windows.gpkg holds them.
    states = pieces["status"] + (": " + pieces["reason"]).where(pieces["status"] == NOT_COVERED, "")
    lines += [amount(f"  {state}", count) for state, count in states.groupby(states).size().items()]
    lines += _named(pieces.loc[pieces["status"] == FAILED, "name"], FAILED)
    written = windows[windows["status"] == WRITTEN]
    lines.append(amount("chips", len(written)))
    lines += [_split_line(written[written["split"] == split], split) for split in SPLITS]
    lopsided = far_from_shares(written["split"].to_numpy(dtype=str), chosen_test=chosen_test)
    if lopsided:
        lines.append(f"  {lopsided}")
    if dataset.train is not None:
        lines.append(f"train chips, DN by band: mean {_figures(dataset.train.mean)}, std {_figures(dataset.train.std)}")
    bounds = windows.geometry.bounds.to_numpy()
    leak = leakage_m2(bounds, as_windows(windows), windows["split"].to_numpy(dtype=str))
    lines.append(amount("overlap between splits", f"{leak:.0f} m2"))
    return "\n".join(lines)


def failures(windows: gpd.GeoDataFrame) -> int:
    """Number of windows that were lost to failed downloads; the next run fetches them again."""
    return int((windows["status"] == FAILED).sum())


def _at_hand(footprint: Footprint) -> list[str]:
    return [] if footprint.at_hand is None else [amount(f"{footprint.unit}s read", footprint.at_hand)]


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


def _unwritten(windows: gpd.GeoDataFrame) -> list[str]:
    """The ids of the windows that were not written, by status."""
    missing = windows[windows["status"] != WRITTEN].groupby("status")["id"]
    lines: list[str] = []
    for status, ids in missing:
        lines += _named(ids, status)
    return lines


def _named(ids: pd.Series, status: str) -> list[str]:
    if ids.empty:
        return []
    more = f" and {len(ids) - _NAMED} more (see windows.gpkg)" if len(ids) > _NAMED else ""
    return [f"    {status}: {', '.join(ids[:_NAMED])}{more}"]
