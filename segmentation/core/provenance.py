"""What files say of how they were made, and where years that are set side by side differ in it.

What differs in method differs on the map even where the pictures are the same: that is no growth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

# The setting that marks imagery, and everything made from it, as drawn and not photographed; what it says then.
SYNTHETIC = "synthetic"
INVENTED = "an invented landscape: no photograph, no real mine"

# What years must share to be compared with each other: the model, how it was run, how polygons were made of what it
# says, and the imagery. The mosaic's name differs from year to year by nature.
COMPARED = (
    *("model", "iteration", "checkpoint sha256", "precision"),
    *("threshold", "outline", "overlapping windows", "minimum area m2", "holes", "temporal filter"),
    *("imagery", "level", "bands", "encoding", "large windows", SYNTHETIC),
)
# What is worth a word where it differs: a source's own options, which people choose by year for good reasons.
MENTIONED = ("quarter", "looks", "max_cloud", "assets", "catalogue", "band_choice", "reflectance_scale")
# In what the windows of a year and the polygons made of them agree.
OF_WINDOWS = ("imagery", "mosaic", "level", "bands", "encoding", "large windows", "windows", SYNTHETIC)

# What it means if a file that knows of other settings is silent about one; of the rest it is not known then.
_SILENCE = {SYNTHETIC: "no", "temporal filter": "none"}

Settings = Mapping[str, str]


def is_told(settings: Settings) -> bool:
    """Whether a file says at all how it was made."""
    return any(settings.get(name) for name in COMPARED)


def differences(made: Mapping[int, Settings], names: Sequence[str] = COMPARED) -> dict[str, dict[str, list[int]]]:
    """In which settings years differ; a year that does not say one does not differ in it.

    Args:
        made: the settings of every year.
        names: of the settings to compare.

    Returns:
        By setting, in the order of ``names``: the years by value, in the order of years. Only those with two or more.
    """
    by_setting = {name: _years_by_value(made, name) for name in names}
    return {name: years for name, years in by_setting.items() if len(years) > 1}


def _years_by_value(made: Mapping[int, Settings], name: str) -> dict[str, list[int]]:
    years: dict[str, list[int]] = {}
    for year, settings in sorted(made.items()):
        if value := _value(settings, name):
            years.setdefault(value, []).append(year)
    return years


def _value(settings: Settings, name: str) -> str | None:
    """What a file says of a setting, or what its silence means; None where that is not known."""
    return settings.get(name) or (_SILENCE.get(name) if is_told(settings) else None)


def say_differences(found: Mapping[str, Mapping[str, Sequence[int]]]) -> str:
    """Differences in words: ``threshold: 0.5 in 2016, 2017 and 0.7 in 2018; holes: ...``."""
    settings = []
    for name, by_value in found.items():
        values = [f"{value} in {listed(years)}" for value, years in by_value.items()]
        settings.append(f"{name}: {' and '.join(values)}")
    return "; ".join(settings)


def windows_apart(year: int, polygons: Settings, windows: Settings) -> str:
    """In what a year's windows and polygons differ, in words; empty where they may belong together."""
    if not (is_told(polygons) and is_told(windows)):
        return ""
    apart = []
    for name in OF_WINDOWS:
        of_polygons, of_windows = _value(polygons, name), _value(windows, name)
        if of_polygons and of_windows and of_polygons != of_windows:
            apart.append(f"{name} {of_windows}, not {of_polygons}")
    return f"the windows of {year} are not those of its polygons ({', '.join(apart)})" if apart else ""


def together(made: Mapping[int, Settings]) -> dict[str, str]:
    """The settings of several years as one set: a value that all share as it is, others with their years.

    Years that do not say how they were made are named.
    """
    told = {year: settings for year, settings in made.items() if is_told(settings)}
    names: set[str] = set()
    for settings in told.values():
        names.update(settings)
    joined = {}
    for name in sorted(names):
        by_value = _years_by_value(told, name)
        if len(by_value) == 1:
            joined[name] = next(iter(by_value))
        elif by_value:
            joined[name] = "; ".join(f"{listed(years)}: {value}" for value, years in by_value.items())
    silent = sorted(made.keys() - told.keys())
    if silent and told:
        joined["years that do not say how they were made"] = listed(silent)
    return joined


def listed(years: Sequence[int]) -> str:
    """Years in a row: ``2016, 2017``."""
    return ", ".join(map(str, years))


def marked(title: str, synthetic: str | float | None) -> str:
    """A title that says so where what it stands above is synthetic.

    Args:
        title: of a picture or page; may be empty.
        synthetic: the setting ``SYNTHETIC`` of what is shown; None or empty for real imagery.
    """
    if not synthetic:
        return title
    return f"SYNTHETIC landscape, no real mine: {title}" if title else f"SYNTHETIC: {INVENTED}"


def with_mark(table: pd.DataFrame, synthetic: str | float | None) -> pd.DataFrame:
    """A table that goes out as text, with a column ``synthetic`` (``yes``) where it is of synthetic imagery."""
    return table.assign(**{SYNTHETIC: "yes"}) if synthetic else table
