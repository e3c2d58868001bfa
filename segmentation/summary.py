"""Step 1's account of itself: every polygon of the input is either written or named with its reason."""

from __future__ import annotations

import geopandas as gpd

from segmentation.polygons import LiteraturePolygons
from segmentation.splits import leakage_m2
from segmentation.windows import FAILED, WRITTEN, as_windows
from segmentation.workspace import SPLITS

_NAMED = 12


def summarise(polygons: LiteraturePolygons, windows: gpd.GeoDataFrame, quads: gpd.GeoDataFrame) -> str:
    """A table of what came in, what was left out and why, and what was made; ready to print.

    Args:
        polygons: as read.
        windows: from ``dataset.cut_windows``.
        quads: from the imagery source's ``footprint``.
    """
    lines = [_line("polygons read", polygons.read)]
    if polygons.repaired:
        lines.append(_line("  geometries repaired", polygons.repaired))
    lines += [_line(f"  dropped: {reason}", count) for reason, count in polygons.dropped.items()]
    lines.append(_line("windows planned", len(windows)))
    lines += [_line(f"  {status}", count) for status, count in windows["status"].value_counts().items()]
    lines += _unwritten(windows)
    lines.append(_line("quads needed", len(quads)))
    lines += [_line(f"  {status}", count) for status, count in quads["status"].value_counts().items()]
    written = windows[windows["status"] == WRITTEN]
    lines.append(_line("chips", len(written)))
    lines += [_split_line(written[written["split"] == split], split) for split in SPLITS]
    bounds = windows.geometry.bounds.to_numpy()
    leak = leakage_m2(bounds, as_windows(windows), windows["split"].to_numpy(dtype=str))
    lines.append(_line("overlap between splits", f"{leak:.0f} m2"))
    return "\n".join(lines)


def failures(windows: gpd.GeoDataFrame) -> int:
    """Number of windows that were lost to failed downloads; the next run fetches them again."""
    return int((windows["status"] == FAILED).sum())


def _line(what: str, value: int | str) -> str:
    return f"{what:<44}{value if isinstance(value, str) else format(value, ','):>12}"


def _split_line(chips: gpd.GeoDataFrame, split: str) -> str:
    line = _line(f"  {split}", len(chips))
    # Chips differ in their no-data, so the share of mine pixels is weighted with the valid ones.
    weight = chips["valid_share"].sum()
    if chips["mine_share"].notna().any() and weight > 0:
        share = (chips["mine_share"] * chips["valid_share"]).sum() / weight
        line += f"   {share:6.1%} of the pixels are mine"
    return line


def _unwritten(windows: gpd.GeoDataFrame) -> list[str]:
    """The ids of the windows that were not written, by status."""
    lines = []
    for status, rows in windows[windows["status"] != WRITTEN].groupby("status"):
        ids = rows["id"].tolist()
        more = f" and {len(ids) - _NAMED} more (see windows.gpkg)" if len(ids) > _NAMED else ""
        lines.append(f"    {status}: {', '.join(ids[:_NAMED])}{more}")
    return lines
