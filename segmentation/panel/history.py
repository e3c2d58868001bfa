"""The history of every site: its area and parts in every year, whether it was looked at, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.panel.sites import Sites

MINE, ABSENT, NOT_OBSERVED, UNKNOWN = "mine", "absent", "not observed", "unknown"
# A site counts as looked at if at least this share of it was.
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class History:
    """Sites by years: s sites in the order of ``Sites``, k years in ascending order.

    Attributes:
        sites: their names and polygons.
        years: those of the panel, also if nothing was found in one.
        parts: (s, k) int64, number of polygons.
        share: (s, k) float64, observed share of the site; NaN where nothing is known of what was looked at.
        area: (s, k) float64, m2, what a year's polygons cover together. This and the following are zeros
            until ``change.changes`` fills them in.
        gained: (s, k) float64, m2, since the year before in ``years``; 0 in the first. See ``change.KINDS``.
        lost: likewise.
        kept: likewise.
        unseen: likewise.
    """

    sites: Sites
    years: tuple[int, ...]
    parts: np.ndarray
    share: np.ndarray
    area: np.ndarray
    gained: np.ndarray
    lost: np.ndarray
    kept: np.ndarray
    unseen: np.ndarray

    @property
    def hidden(self) -> np.ndarray:
        """(s, k) bool, where a site has no polygon and was not looked at."""
        return (self.parts == 0) & (self.share < LEAST_SHARE)

    @property
    def status(self) -> np.ndarray:
        """(s, k) str: ``mine``, ``absent``, ``not observed``, or ``unknown`` where nobody noted what was looked at."""
        looked = np.where(np.isnan(self.share), UNKNOWN, ABSENT)
        return np.where(self.parts > 0, MINE, np.where(self.hidden, NOT_OBSERVED, looked)).astype(object)


def start_history(polygons: gpd.GeoDataFrame, years: tuple[int, ...], sites: Sites, share: np.ndarray) -> History:
    """Count the polygons of every site and year; areas and changes are yet to come."""
    column = np.searchsorted(years, polygons["year"])
    parts = np.zeros((len(sites), len(years)), dtype="int64")
    np.add.at(parts, (sites.of_polygon, column), 1)
    zeros = (np.zeros(parts.shape) for _ in range(5))
    return History(sites, years, parts, share, *zeros)


def site_years(history: History) -> pd.DataFrame:
    """A row a site and year.

    Returns:
        ``site_id``, ``year``, ``status``, ``polygons``, ``area_m2``, ``observed_share``, and since the year before
        ``gained_m2``, ``lost_m2``, ``kept_m2`` and ``unseen_m2`` (null in the first year).
    """
    since = {f"{name}_m2": getattr(history, name).copy() for name in ("gained", "lost", "kept", "unseen")}
    for values in since.values():
        values[:, 0] = np.nan
    return pd.DataFrame(
        {
            "site_id": np.repeat(history.sites.names, len(history.years)),
            "year": np.tile(np.array(history.years, dtype="int32"), len(history.sites)),
            "status": history.status.ravel(),
            "polygons": history.parts.ravel(),
            "area_m2": np.where(history.hidden, np.nan, history.area).ravel(),
            "observed_share": history.share.ravel(),
        }
        | {name: values.ravel() for name, values in since.items()}
    )
