"""What the panel's command says: what was read, what the filter took, what came out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.core.provenance import listed
from segmentation.core.tables import table_row
from segmentation.geo.vectors.clean import Account
from segmentation.panel.inputs import YearInput
from segmentation.panel.observed import Observed, observed_share
from segmentation.panel.sites import LEAST_SHARE, History

_HA, _KM2 = 1e4, 1e6
# A year, and what the filter takes of it; a year, and what the panel has of it.
_FILTERED = "{:<6}{:>10}{:>8}{:>14}{:>12}   {:>29}"
_PANEL = "{:<6}{:>10}{:>8}{:>10}{:>11}{:>10}{:>10}{:>10}{:>15}"


def say_input(inputs: Sequence[YearInput], accounts: dict[int, Account], wanted: Sequence[int]) -> None:
    """Say what was read and mended, which years are missing, and of which nothing is known about what was seen."""
    years = [source.year for source in inputs]
    for year, account in accounts.items():
        mended = {"repaired": account.repaired, "flattened": account.flattened} | account.dropped
        notes = "".join(f", {count:,} {what}" for what, count in mended.items() if count)
        print(f"{year}: {account.read:,} polygons read{notes}")
    span = {*wanted, *range(min(years), max(years) + 1)}
    if missing := sorted(span - set(years)):
        print(
            f"no polygons of {listed(missing)}: the nearest year on either side that has some counts as the "
            "neighbour, and changes run from one such year to the next"
        )
    if unknown := [source.year for source in inputs if source.windows is None]:
        print(f"no windows of {listed(unknown)}: what was looked at is unknown, sites without polygon count as closed")


def say_notes(notes: Sequence[str]) -> None:
    """Say what there is to say about where something comes from, a line each."""
    for note in notes:
        print(note)


def say_filter(
    polygons: gpd.GeoDataFrame, years: Sequence[int], stays: np.ndarray, observed: Observed, buffer_m: float
) -> None:
    """Say how many polygons and hectares each year loses to the filter, and for how many nobody looked again."""
    lost = polygons[~stays]
    blind = _nobody_looked(lost, years, observed)
    rule = f"within {buffer_m:g} m of" if buffer_m else "intersecting"
    print(f"temporal filter: a polygon stays if there is one {rule} it in the previous or the next year")
    print(table_row(_FILTERED, "", "polygons", "lost", "ha", "lost", "lost, neighbours not observed"))
    for year in years:
        gone = lost["year"] == year
        _say_loss(str(year), polygons[polygons["year"] == year], lost[gone], blind[gone.to_numpy()])
    _say_loss("all", polygons, lost, blind)


def _say_loss(name: str, polygons: gpd.GeoDataFrame, lost: gpd.GeoDataFrame, blind: np.ndarray) -> None:
    all_ha, lost_ha = polygons["area"].sum() / _HA, lost["area"].sum() / _HA
    print(table_row(_FILTERED, name, len(polygons), len(lost), f"{all_ha:,.1f}", f"{lost_ha:,.1f}", blind.sum()))


def _nobody_looked(lost: gpd.GeoDataFrame, years: Sequence[int], observed: Observed) -> np.ndarray:
    """Which polygons were observed in no neighbouring year, so that nothing could have confirmed them: bool."""
    if lost.empty:
        return np.zeros(0, dtype=bool)
    hidden = observed_share(lost.geometry.to_numpy(), observed, years) < LEAST_SHARE
    # Before the first and after the last year, nobody looked either.
    framed = np.pad(hidden, ((0, 0), (1, 1)), constant_values=True)
    row = np.arange(len(lost))
    column = 1 + np.searchsorted(years, lost["year"])
    return framed[row, column - 1] & framed[row, column + 1]


def say_panel(
    polygons: gpd.GeoDataFrame,
    history: History,
    *,
    by_country: pd.DataFrame,
    sites: pd.DataFrame,
    written: Sequence[Path],
) -> None:
    """Say what the panel holds and where it lies."""
    hidden = history.hidden.sum(axis=0)
    seen = by_country.groupby("year")["observed_km2"].sum(min_count=1)
    print()
    print(table_row(_PANEL, "", "polygons", "sites", "not obs.", "km2", "gained", "lost", "kept", "observed km2"))
    for column, year in enumerate(history.years):
        parts = history.parts[:, column]
        area_km2 = f"{history.area[:, column].sum() / _KM2:,.2f}"
        change_km2 = _change_texts(history, column)
        observed_km2 = "unknown" if np.isnan(seen[year]) else f"{seen[year]:,.0f}"
        counts = (parts.sum(), (parts > 0).sum(), hidden[column])
        print(table_row(_PANEL, str(year), *counts, area_km2, *change_km2, observed_km2))
    print(
        f"{len(polygons):,} polygons, {len(sites):,} sites in {sites['iso_a3'].nunique()} countries, "
        f"{(sites['years_seen'] == len(history.years)).sum():,} of them seen every year; "
        f"{sites['mergers'].sum():,} mergers, {sites['splits'].sum():,} splits"
    )
    twice = polygons["area"].sum() - history.area.sum()
    if twice > 1:
        print(f"polygons of the same year overlap: {twice / _HA:,.2f} ha counted twice in the polygons' areas")
    for path in written:
        print(f"written: {path}")


def _change_texts(history: History, column: int) -> list[str]:
    """What all sites gained, lost and kept since the year before, in km2; dashes for the first year."""
    if column == 0:
        return ["-", "-", "-"]
    km2 = [areas[:, column].sum() / _KM2 for areas in (history.gained, history.lost, history.kept)]
    return [f"{value:,.2f}" for value in km2]
