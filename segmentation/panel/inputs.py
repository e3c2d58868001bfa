"""The polygons of all years as one table: from step 3, or from any files."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.core.errors import PipelineError
from segmentation.core.process.cores import usable_cores
from segmentation.core.workspace import Workspace
from segmentation.geo.areas import area_m2
from segmentation.geo.countries import assign_countries
from segmentation.geo.vectors.clean import Account, clean
from segmentation.geo.vectors.read import read_vector
from segmentation.geo.vectors.swapped import warn_of_swapped

_COUNTRY = ["iso_a3", "country_name"]
_COLUMNS = ("id", *_COUNTRY, "mean_probability")


@dataclass(frozen=True)
class YearInput:
    """The files of one year.

    Attributes:
        year: of the imagery.
        polygons: mining polygons, ``FILE`` or ``FILE:LAYER``, see ``vectors.read.read_vector``.
        windows: a ``windows.gpkg``, the record of what was looked at; None where it is not known.
    """

    year: int
    polygons: Path
    windows: Path | None = None


def find_run_name(workspace: Workspace, model: str, iteration: int | None) -> str:
    """The name (``MODEL_ITER``) of the one model run in the workspace that fits.

    Unlike ``predict.runs.find_run`` this goes by the polygons that step 3 left and needs no checkpoint.

    Raises:
        PipelineError: there is none, or more than one.
    """
    known = sorted({run for year in workspace.years() for run in workspace.runs(year)})
    ending = f"_{iteration}" if iteration else ""
    model_of = {run: run.rpartition("_")[0] for run in known}
    fitting = [run for run in known if model in model_of[run] and run.endswith(ending)]
    exact = [run for run in fitting if model_of[run] == model]
    if len(exact or fitting) != 1:
        wanted = f"-model={model}" + (f" -iter={iteration}" if iteration else "")
        there = ", ".join(fitting or known) or "none; run gpkg_dataset_generation.py first"
        which = "more than one model run fits" if fitting else "no polygons of a model run that fits"
        raise PipelineError(f"{which} {wanted} in {workspace.root}; there are: {there}")
    return (exact or fitting)[0]


def year_inputs(workspace: Workspace, run: str, wanted: Sequence[int]) -> list[YearInput]:
    """The years of a model run that are there, of those wanted (none named: of all)."""
    years = [year for year in workspace.years() if run in workspace.runs(year)]
    folders = [workspace.year(year) for year in years if not wanted or year in wanted]
    return [
        YearInput(folder.year, folder.predicted(run), folder.windows if folder.windows.exists() else None)
        for folder in folders
    ]


def read_panel(inputs: Sequence[YearInput], countries: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, dict[int, Account]]:
    """Read the polygons of all years.

    What a file knows is kept: ``id`` where it gives rows whole numbers of their own, ``iso_a3`` and ``country_name``,
    ``mean_probability``. What it does not know is added, for the whole file or for the single row (one drawn by hand
    has no attributes), ids from north to south, so that the order of the rows never matters.

    Args:
        inputs: a year at most once, in any order.
        countries: as from ``countries.read_countries``.

    Returns:
        ``id``, ``iso_a3``, ``country_name`` (categories), ``year``, ``area`` (m2, EPSG:6933),
        ``mean_probability`` (NaN where not known) and ``geometry`` (EPSG:4326), by year and id; and what became
        of every file's rows.

    Raises:
        PipelineError: a file cannot be read, or there is no polygon in any of them.
    """
    ascending = sorted(inputs, key=lambda source: source.year)
    with ThreadPoolExecutor(usable_cores()) as pool:
        read = list(pool.map(lambda source: _read_year(source, countries), ascending))
    panel = gpd.GeoDataFrame(pd.concat([table for table, _ in read], ignore_index=True), crs="EPSG:4326")
    if panel.empty:
        raise PipelineError(f"no polygon in {', '.join(str(source.polygons) for source in inputs)}")
    accounts = {source.year: account for source, (_, account) in zip(ascending, read, strict=True)}
    return panel.astype(dict.fromkeys(_COUNTRY, "category")), accounts


def _read_year(source: YearInput, countries: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, Account]:
    areas = clean(read_vector(source.polygons, _COLUMNS)).without_wrapped()
    warn_of_swapped(areas.frame.geometry, source.polygons)
    return _attribute(areas.frame, source.year, countries), areas.account


def _attribute(frame: gpd.GeoDataFrame, year: int, countries: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    country = _country(frame, countries)
    probability = frame["mean_probability"] if "mean_probability" in frame else pd.Series(np.nan, index=frame.index)
    table = gpd.GeoDataFrame(
        {
            "iso_a3": country["iso_a3"],
            "country_name": country["country_name"],
            "year": np.full(len(frame), year, dtype="int32"),
            "area": area_m2(frame.geometry),
            "mean_probability": pd.to_numeric(probability, errors="coerce").to_numpy("float64"),
        },
        geometry=frame.geometry,
        crs=frame.crs,
    )
    table.insert(0, "id", _ids(frame))
    return table.sort_values("id", ignore_index=True)


def _country(frame: gpd.GeoDataFrame, countries: gpd.GeoDataFrame) -> pd.DataFrame:
    """The file's own ``iso_a3`` and ``country_name``; where it has no code, those of the country at that place."""
    own = pd.DataFrame({name: _texts(frame, name) for name in _COUNTRY}, index=frame.index)
    nameless = (own["country_name"] == "") & (own["iso_a3"] != "")
    names = countries.drop_duplicates("iso_a3").set_index("iso_a3")["country_name"]
    own.loc[nameless, "country_name"] = own.loc[nameless, "iso_a3"].map(names).fillna("")
    empty = own["iso_a3"] == ""
    own.loc[empty, _COUNTRY] = assign_countries(frame.geometry[empty], countries)
    return own


def _texts(frame: gpd.GeoDataFrame, name: str) -> pd.Series:
    """A column as texts without blanks around them, empty where it is null or not there."""
    if name not in frame:
        return pd.Series("", index=frame.index, dtype=object)
    return frame[name].astype(object).where(frame[name].notna(), "").astype(str).str.strip()


def _ids(frame: gpd.GeoDataFrame) -> np.ndarray:
    """The file's own ids where they serve, else numbers from 1: (n,) int64.

    Rows without an id in a file whose ids serve are numbered on from its largest. New numbers go from north to south
    and from west to east.
    """
    own = _own_ids(frame)
    new = own.isna().to_numpy()
    ids = own.fillna(0).to_numpy("int64")
    first = ids.max(initial=0) + 1
    ids[new] = first + _rank_by_place(frame.geometry.to_numpy()[new])
    return ids


def _own_ids(frame: gpd.GeoDataFrame) -> pd.Series:
    """The ids of the file as whole numbers, null where it gives none; all null where they do not serve."""
    nothing = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    if "id" not in frame:
        return nothing
    given = _texts(frame, "id") != ""
    numbers = pd.to_numeric(frame["id"].where(given), errors="coerce")
    whole = numbers[given]
    if whole.isna().any() or (whole % 1 != 0).any() or whole.duplicated().any():
        return nothing
    return numbers.astype("Int64")


def _rank_by_place(shapes: np.ndarray) -> np.ndarray:
    """Numbers from 0, north to south, west to east: (n,) int64."""
    west, south, east, north = shapely.bounds(shapes).reshape(-1, 4).T
    # Polygons with the same bounds may still differ; the same polygon twice is the same whichever comes first.
    shape = shapely.to_wkb(shapely.normalize(shapes))
    frame = pd.DataFrame({"north": -north, "west": west, "south": south, "east": east, "shape": shape})
    rank = np.empty(len(frame), dtype="int64")
    rank[frame.sort_values(list(frame)).index] = np.arange(len(frame))
    return rank
