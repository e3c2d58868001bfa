"""The curves: precision against recall, the measures by threshold, and how far probabilities can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from segmentation.core.figures import pyplot, save_png
from segmentation.evaluate.judgement import Judgement, as_threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAIN, _SECOND, _THIRD, _FOURTH, _GUIDE = "#d95f0e", "#1b6ca8", "#5a5a5a", "#6a994e", "#b0b0b0"


def plot_curves(judgement: Judgement, title: str, chosen_on: str, path: Path) -> None:
    """Draw the curves with their 95 % bands.

    Args:
        judgement: what was computed.
        title: of the picture.
        chosen_on: the windows on which the best threshold was chosen.
        path: of the PNG.
    """
    figure, axes = pyplot().subplots(1, 3, figsize=(13.5, 4.7), layout="constrained")
    _precision_recall(axes[0], judgement)
    _by_threshold(axes[1], judgement, chosen_on)
    _reliability(axes[2], judgement.calibration)
    for axis in axes:
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_aspect("equal")
        axis.grid(color="#ececec")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    save_png(figure, path, dpi=110)


def _precision_recall(axis: Axes, judgement: Judgement) -> None:
    table = judgement.thresholds
    known = table["precision"].notna()
    axis.fill_between(
        table["recall"][known],
        table["precision_low"][known],
        table["precision_high"][known],
        color=_MAIN,
        alpha=0.18,
        linewidth=0,
        label="95 % interval of precision",
    )
    axis.plot(table["recall"], table["precision"], color=_MAIN)
    _guides(axis)
    marks = [(judgement.level, "o", "threshold"), (judgement.best, "D", "best threshold")]
    for level, marker, label in marks:
        if level is not None:
            row = table.iloc[level - 1]
            text = f"{label} {as_threshold(level):.3g}"
            axis.plot(row["recall"], row["precision"], marker, color=_MAIN, markeredgecolor="black", label=text)
    axis.set_xlabel("recall")
    axis.set_ylabel("precision")
    axis.set_title("Precision and recall", fontsize=10, loc="left")


def _guides(axis: Axes) -> None:
    """Curves of equal IoU: ``1 / IoU = 1 / precision + 1 / recall - 1``."""
    for iou in (0.2, 0.4, 0.6, 0.8):
        recall = np.linspace(iou + 1e-6, 1, 200)
        precision = 1 / (1 / iou + 1 - 1 / recall)
        axis.plot(recall, precision, color=_GUIDE, linewidth=0.8, linestyle=":")
        axis.text(0.995, iou, f"IoU {iou}", color="#808080", fontsize=7, ha="right", va="bottom")


def _by_threshold(axis: Axes, judgement: Judgement, chosen_on: str) -> None:
    table = judgement.thresholds
    lines = (
        ("f1", "F1", _MAIN),
        ("iou", "IoU", _SECOND),
        ("precision", "precision", _THIRD),
        ("recall", "recall", _FOURTH),
    )
    for name, label, colour in lines:
        main = name in ("f1", "iou")
        axis.plot(
            table["threshold"],
            table[name],
            color=colour,
            label=label,
            lw=1.8 if main else 1.0,
            ls="-" if main else "--",
        )
        if main:
            low, high = table[f"{name}_low"], table[f"{name}_high"]
            axis.fill_between(table["threshold"], low, high, color=colour, alpha=0.15, linewidth=0)
    if judgement.best is not None:
        label = f"best on {chosen_on}: {as_threshold(judgement.best):.3g}"
        axis.axvline(as_threshold(judgement.best), color="black", linewidth=0.9, label=label)
    axis.set_xlabel("threshold")
    axis.set_title("Every threshold", fontsize=10, loc="left")


def _reliability(axis: Axes, table: pd.DataFrame) -> None:
    axis.plot([0, 1], [0, 1], color=_GUIDE, linewidth=0.9)
    known = table[table["mine_share"].notna()]
    middle, share = known["mean_probability"], known["mine_share"]
    reach = np.clip(np.stack([share - known["mine_share_low"], known["mine_share_high"] - share]), 0, None)
    axis.errorbar(
        middle, share, yerr=np.nan_to_num(reach), fmt="o-", color=_MAIN, ms=5, capsize=2.5, lw=1.2, label="pixels"
    )
    axis.bar(
        table["from"] + 0.05,
        table["pixels"] / max(table["pixels"].sum(), 1),
        width=0.1,
        color="#dedede",
        edgecolor="white",
        zorder=0,
        label="share of all pixels",
    )
    axis.set_xlabel("probability of mine that the model gives")
    axis.set_ylabel("share of those pixels that is mine")
    axis.set_title("Reliability", fontsize=10, loc="left")
