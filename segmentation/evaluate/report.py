"""What the evaluation says: the table on screen, and the files of its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from segmentation.core.files import whole_file, write_json
from segmentation.core.provenance import SYNTHETIC, marked, with_mark
from segmentation.core.tables import table_row
from segmentation.evaluate.bootstrap import CONFIDENCE, LEAST_GROUPS
from segmentation.evaluate.estimates import ALL
from segmentation.evaluate.judgement import AT_BEST, Judgement, as_threshold
from segmentation.evaluate.objects import MATCHING_IOU
from segmentation.evaluate.pixels import MEASURES
from segmentation.geo.geopackage import Layer, write_geopackage

_MOST_COUNTRIES = 12
_OF_SUBSETS = ("precision", "recall", "f1", "iou")
# The columns of the tables, see ``tables.table_row``.
_PIXELS = "{:<20}{:>8}  {:<16}{:>16}{:>17}"
_MEASURE = "{:<20}{:>8}  {}"
_SIZES = "{:<16}{:>11}{:>8}{:>11}{:>8}{:>12}{:>8}{:>10}{:>11}"
_SUBSETS = "{:<20}{:>8}{:>8}{:>11}{:>8}{:>8}{:>8}  {}"
_PROBABILITIES = "{:<20}{:>12}{:>9}{:>9}"


@dataclass(frozen=True)
class Facts:
    """What was evaluated, and how.

    Attributes:
        run: the model run, ``MODEL_ITER``.
        year: whose windows.
        split: which of them.
        windows: their number.
        groups: number of groups of windows that overlap.
        reference: what they were compared with.
        threshold: least probability of mine, 0 to 1.
        min_area_m2: smaller predicted objects did not count.
        chosen_on: the windows on which the best threshold was chosen.
        bootstrap: replicates.
        seed: of the bootstrap.
        synthetic: says that the imagery or the reference is; None where neither is.
        of_reference: what file the reference is.
    """

    run: str
    year: int
    split: str
    windows: int
    groups: int
    reference: str
    threshold: float
    min_area_m2: float
    chosen_on: str
    bootstrap: int
    seed: int
    synthetic: str | None = None
    of_reference: Mapping[str, str | int] = field(default_factory=dict)

    def record(self) -> dict[str, str | int | float]:
        """As they are written down."""
        record = dict(vars(self))
        of_reference = record.pop("of_reference")
        synthetic = record.pop("synthetic")
        if synthetic:
            record[SYNTHETIC] = synthetic
        return record | of_reference


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
    as_numbers, objects = folder / "evaluation.json", folder / "objects.gpkg"
    write_json(as_numbers, as_json(judgement, facts))
    written = [as_numbers]
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        marked_rows = with_mark(table, facts.synthetic)
        with whole_file(path) as partial:
            marked_rows.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
        written.append(path)
    layers = [Layer(name, table, "Polygon") for name, table in judgement.objects.items()]
    write_geopackage(objects, layers, {name: str(value) for name, value in facts.record().items()})
    return [*written, objects]


def as_json(judgement: Judgement, facts: Facts) -> dict:
    """The judgement as plain numbers and texts; what is not defined is null."""
    figures: dict[str, dict] = {}
    for row in judgement.measures.to_dict("records"):
        of_unit = figures.setdefault(row["unit"], {})
        of_subset = of_unit.setdefault(row["by"], {}).setdefault(row["subset"], {})
        of_subset[row["measure"]] = {"value": row["value"], "low": row["low"], "high": row["high"]}
        of_subset |= {"windows": row["windows"], "groups": row["groups"]}
    content = {
        **facts.record(),
        "best_threshold": None if judgement.best is None else as_threshold(judgement.best),
        "measures": figures,
        "objects_by_size": judgement.sizes.to_dict("records"),
        "calibration": judgement.calibration.to_dict("records"),
    }
    return {name: _plain(value) for name, value in content.items()}


def _plain(value: object) -> object:
    """A value as JSON knows it, however it is nested."""
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
    if facts.synthetic:
        print(marked("", facts.synthetic))
    print(
        f"{facts.run} on {facts.windows:,} {facts.split} windows of {facts.year} in {facts.groups:,} "
        f"independent groups, against {facts.reference}, threshold {as_threshold(judgement.level):.3g}"
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
    print()
    print(table_row(_PIXELS, "mine class", "pixels", percent, "by ground area", "mean of windows"))
    for name in MEASURES:
        pixels, spread = of.value("pixels", name), of.spread("pixels", name)
        print(table_row(_PIXELS, name, pixels, spread, of.value("ground area", name), of.value("windows", name)))


def _say_objects(of: _Figures, measures: pd.DataFrame, sizes: pd.DataFrame, facts: Facts) -> None:
    smallest = f", predicted ones of {facts.min_area_m2:g} m2 or more" if facts.min_area_m2 else ""
    print(f"\nobjects{smallest}, matched one to one at an IoU of {MATCHING_IOU}")
    for name in ("precision", "recall", "f1"):
        print(table_row(_MEASURE, name, of.value("objects", name), of.spread("objects", name)))
    reference = ("reference", "missed", "untouched")
    predicted = ("predicted", "false", "baseless")
    print(table_row(_SIZES, "ground area", *reference, "recall", *predicted, "precision"))
    by_size = measures[measures["by"] == "object size"].set_index(["measure", "subset"])["value"]
    for counts in sizes.to_dict("records"):
        size = counts["size"]
        recall, precision = _number(by_size["recall", size]), _number(by_size["precision", size])
        missed, false = [counts[name] for name in reference], [counts[name] for name in predicted]
        print(table_row(_SIZES, size, *missed, recall, *false, precision))
    print(
        f"on the ground, overlaps once: reference {sizes['reference_km2'].sum():,.2f} km2, "
        f"predicted {sizes['predicted_km2'].sum():,.2f} km2"
    )


def _say_subsets(measures: pd.DataFrame, by: str) -> None:
    rows = measures[(measures["unit"] == "pixels") & (measures["by"] == by)]
    value = rows.set_index(["subset", "measure"])["value"]
    iou = rows[rows["measure"] == "iou"].set_index("subset").sort_values("windows", ascending=False, kind="stable")
    label = {"chip pixel": "chip pixel (grid px)", "country": "country"}[by]
    print()
    print(table_row(_SUBSETS, label, "windows", "groups", *_OF_SUBSETS, "interval of iou"))
    for subset, its_iou in iou.head(_MOST_COUNTRIES).iterrows():
        values = [_number(value[subset, name]) for name in _OF_SUBSETS]
        print(table_row(_SUBSETS, str(subset), its_iou["windows"], its_iou["groups"], *values, _spread(its_iou)))
    if len(iou) > _MOST_COUNTRIES:
        print(f"and {len(iou) - _MOST_COUNTRIES} more in measures.csv")


def _say_threshold(of: _Figures, judgement: Judgement, facts: Facts) -> None:
    print(f"\naverage precision over all thresholds {of.value('pixels', 'average_precision')}", end="")
    print(f", {of.spread('pixels', 'average_precision')}")
    if judgement.best is None:
        print(f"no threshold chosen: {facts.chosen_on}, no mine in them")
        return
    best = judgement.thresholds.iloc[judgement.best - 1]
    print(
        f"best threshold {as_threshold(judgement.best):.3g}, chosen on {facts.chosen_on} "
        f"(f1 {_number(best['chosen_on_f1'])}, iou {_number(best['chosen_on_iou'])}); here it gives"
    )
    for name in ("precision", "recall", "f1", "iou", "area_ratio"):
        print(table_row(_MEASURE, name, of.value(AT_BEST, name), of.spread(AT_BEST, name)))


def _say_calibration(of: _Figures, table: pd.DataFrame) -> None:
    print(f"\ncalibration: expected error {of.value('pixels', 'calibration_error')}", end="")
    print(f", {of.spread('pixels', 'calibration_error')}")
    print(table_row(_PROBABILITIES, "probability", "pixels", "said", "mine"))
    for of_bin in table.to_dict("records"):
        bounds = f"{of_bin['from']:.1f} to {of_bin['to']:.1f}"
        said, mine = _number(of_bin["mean_probability"]), _number(of_bin["mine_share"])
        print(table_row(_PROBABILITIES, bounds, of_bin["pixels"], said, mine))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _spread(row: pd.Series) -> str:
    if math.isnan(row["low"]):
        return "too few groups" if row["groups"] < LEAST_GROUPS else "-"
    return f"{row['low']:.3f} to {row['high']:.3f}"
