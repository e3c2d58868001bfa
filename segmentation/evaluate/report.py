"""What the evaluation says: the table on screen, and the files of its folder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from segmentation.core.provenance import SYNTHETIC, marked, with_mark
from segmentation.core.workspace import whole_file, write_json
from segmentation.evaluate.bootstrap import CONFIDENCE, LEAST_GROUPS
from segmentation.evaluate.estimates import ALL
from segmentation.evaluate.judgement import AT_BEST, Judgement, as_threshold
from segmentation.evaluate.objects import MATCHING_IOU
from segmentation.evaluate.pixels import MEASURES
from segmentation.geo.geopackage import Layer, write_geopackage

Facts = dict[str, str | int | float]
_MOST_COUNTRIES = 12
_WIDTHS = (("precision", 11), ("recall", 8), ("f1", 8), ("iou", 8))


def write_judgement(folder: Path, judgement: Judgement, facts: Facts) -> list[Path]:
    """Write everything that was computed, each file whole.

    Args:
        folder: where to.
        judgement: what was computed.
        facts: what was evaluated, and how; for the record.

    Returns:
        The files: ``evaluation.json``, ``measures.csv``, ``objects_by_size.csv``, ``thresholds.csv``,
        ``calibration.csv``, ``windows.csv`` and ``objects.gpkg``.
    """
    tables = {
        "measures": judgement.measures,
        "objects_by_size": judgement.sizes,
        "thresholds": judgement.thresholds,
        "calibration": judgement.calibration,
        "windows": pd.DataFrame(judgement.windows.drop(columns="geometry")),
    }
    written = [folder / "evaluation.json", *(folder / f"{name}.csv" for name in tables), folder / "objects.gpkg"]
    write_json(written[0], as_json(judgement, facts))
    for path, table in zip(written[1:-1], tables.values(), strict=True):
        with whole_file(path) as partial:
            marked_rows = with_mark(table, facts.get(SYNTHETIC))
            marked_rows.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    layers = [Layer(name, objects, "Polygon") for name, objects in judgement.objects.items()]
    write_geopackage(written[-1], layers, {name: str(value) for name, value in facts.items()})
    return written


def as_json(judgement: Judgement, facts: Facts) -> dict:
    """The judgement as plain numbers and texts; what is not defined is null."""
    figures = {}
    for row in judgement.measures.itertuples():
        place = figures.setdefault(row.unit, {}).setdefault(row.by, {}).setdefault(row.subset, {})
        place[row.measure] = {"value": row.value, "low": row.low, "high": row.high}
        place |= {"windows": row.windows, "groups": row.groups}
    return _plain(
        facts
        | {
            "best_threshold": None if judgement.best is None else as_threshold(judgement.best),
            "measures": figures,
            "objects_by_size": judgement.sizes.to_dict("records"),
            "calibration": judgement.calibration.to_dict("records"),
        }
    )


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value


def say(judgement: Judgement, facts: Facts) -> None:
    """Print the table."""
    of = _Figures(judgement.measures)
    if facts.get(SYNTHETIC):
        print(marked("", facts[SYNTHETIC]))
    print(
        f"{facts['run']} on {facts['windows']:,} {facts['split']} windows of {facts['year']} in {facts['groups']:,} "
        f"independent groups, against {facts['reference']}, threshold {as_threshold(judgement.level):.3g}"
    )
    _say_pixels(of)
    _say_objects(of, judgement.measures, judgement.sizes, facts)
    for by in ("chip pixel", "country"):
        _say_subsets(judgement.measures, by)
    _say_threshold(of, judgement, facts)
    _say_calibration(of, judgement.calibration)


class _Figures:
    """Looks up figures of all windows together."""

    def __init__(self, measures: pd.DataFrame):
        self._rows = measures[measures["by"] == ALL].set_index(["unit", "measure"])

    def value(self, unit: str, measure: str) -> str:
        return _number(self._rows["value"].get((unit, measure), math.nan))

    def spread(self, unit: str, measure: str) -> str:
        return _spread(self._rows.loc[(unit, measure)])


def _say_pixels(of: _Figures) -> None:
    percent = f"{100 * CONFIDENCE:.0f} % interval"
    print(f"\n{'mine class':<20}{'pixels':>8}  {percent:<16}{'by ground area':>16}{'mean of windows':>17}")
    for name in MEASURES:
        rest = f"{of.value('ground area', name):>16}{of.value('windows', name):>17}"
        print(f"{name:<20}{of.value('pixels', name):>8}  {of.spread('pixels', name):<16}{rest}")


def _say_objects(of: _Figures, measures: pd.DataFrame, sizes: pd.DataFrame, facts: Facts) -> None:
    smallest = f", predicted ones of {facts['min_area_m2']:g} m2 or more" if facts["min_area_m2"] else ""
    print(f"\nobjects{smallest}, matched one to one at an IoU of {MATCHING_IOU}")
    for name in ("precision", "recall", "f1"):
        print(f"{name:<20}{of.value('objects', name):>8}  {of.spread('objects', name)}")
    print(
        f"{'ground area':<16}{'reference':>11}{'missed':>8}{'untouched':>11}{'recall':>8}"
        f"{'predicted':>12}{'false':>8}{'baseless':>10}{'precision':>11}"
    )
    by_size = measures[measures["by"] == "object size"].set_index(["measure", "subset"])["value"]
    for row in sizes.to_dict("records"):
        size = row["size"]
        print(
            f"{size:<16}{row['reference']:>11,}{row['missed']:>8,}{row['untouched']:>11,}"
            f"{_number(by_size['recall', size]):>8}{row['predicted']:>12,}{row['false']:>8,}{row['baseless']:>10,}"
            f"{_number(by_size['precision', size]):>11}"
        )
    print(
        f"on the ground, overlaps once: reference {sizes['reference_km2'].sum():,.2f} km2, "
        f"predicted {sizes['predicted_km2'].sum():,.2f} km2"
    )


def _say_subsets(measures: pd.DataFrame, by: str) -> None:
    rows = measures[(measures["unit"] == "pixels") & (measures["by"] == by)]
    value = rows.set_index(["subset", "measure"])["value"]
    iou = rows[rows["measure"] == "iou"].set_index("subset").sort_values("windows", ascending=False, kind="stable")
    label = {"chip pixel": "chip pixel (grid px)", "country": "country"}[by]
    print(f"\n{label:<20}{'windows':>8}{'groups':>8}{'precision':>11}{'recall':>8}{'f1':>8}{'iou':>8}  interval of iou")
    for subset, row in iou.head(_MOST_COUNTRIES).iterrows():
        values = "".join(f"{_number(value[subset, name]):>{width}}" for name, width in _WIDTHS)
        print(f"{subset:<20}{row['windows']:>8,}{row['groups']:>8,}{values}  {_spread(row)}")
    if len(iou) > _MOST_COUNTRIES:
        print(f"and {len(iou) - _MOST_COUNTRIES} more in measures.csv")


def _say_threshold(of: _Figures, judgement: Judgement, facts: Facts) -> None:
    print(f"\naverage precision over all thresholds {of.value('pixels', 'average_precision')}", end="")
    print(f", {of.spread('pixels', 'average_precision')}")
    if judgement.best is None:
        print(f"no threshold chosen: {facts['chosen_on']}, no mine in them")
        return
    row = judgement.thresholds.iloc[judgement.best - 1]
    print(
        f"best threshold {as_threshold(judgement.best):.3g}, chosen on {facts['chosen_on']} "
        f"(f1 {_number(row['chosen_on_f1'])}, iou {_number(row['chosen_on_iou'])}); here it gives"
    )
    for name in ("precision", "recall", "f1", "iou", "area_ratio"):
        print(f"{name:<20}{of.value(AT_BEST, name):>8}  {of.spread(AT_BEST, name)}")


def _say_calibration(of: _Figures, table: pd.DataFrame) -> None:
    print(f"\ncalibration: expected error {of.value('pixels', 'calibration_error')}", end="")
    print(f", {of.spread('pixels', 'calibration_error')}")
    print(f"{'probability':<20}{'pixels':>12}{'said':>9}{'mine':>9}")
    for row in table.to_dict("records"):
        said, mine = _number(row["mean_probability"]), _number(row["mine_share"])
        print(f"{row['from']:.1f} to {row['to']:.1f}{'':<10}{row['pixels']:>12,}{said:>9}{mine:>9}")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _spread(row: pd.Series) -> str:
    if math.isnan(row["low"]):
        return "too few groups" if row["groups"] < LEAST_GROUPS else "-"
    return f"{row['low']:.3f} to {row['high']:.3f}"
