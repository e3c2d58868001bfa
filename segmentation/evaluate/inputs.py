"""What is compared: the windows of a split, their predictions, and masks or polygons as the reference."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from segmentation.core.errors import PipelineError
from segmentation.core.files import fingerprint
from segmentation.core.workspace import YearFolder
from segmentation.geo.grid import CRS
from segmentation.geo.vectors.clean import Account, clean
from segmentation.geo.vectors.files import VectorName, existing_vector
from segmentation.geo.vectors.read import read_vector
from segmentation.geo.vectors.swapped import warn_of_swapped
from segmentation.predict.kept import CHECKPOINT, read_kept
from segmentation.predict.runs import ModelRun
from segmentation.windows.statuses import WRITTEN


@dataclass(frozen=True)
class Pair:
    """A window's prediction and what it is compared with: all that a worker process needs to know.

    Attributes:
        probability: its GeoTIFF, which also says where there is data.
        mask: its GeoTIFF; None to compare with polygons.
        polygons_3857: (n,) shapely polygons in EPSG:3857 that meet the window; none where there is a mask.
        col: first pixel column of the window in the world's pixel grid, see ``Windows``.
        row: first pixel row.
        side_px: side in grid pixels.
    """

    probability: Path
    mask: Path | None
    polygons_3857: np.ndarray = field(repr=False)
    col: int
    row: int
    side_px: int


@dataclass(frozen=True)
class Reference:
    """Polygons to compare with, EPSG:3857, and what became of the file's other rows."""

    name: VectorName
    polygons_3857: np.ndarray
    account: Account

    @property
    def facts(self) -> dict[str, str | int]:
        """What the file is, for the record."""
        return {
            "reference_sha256": fingerprint(self.name.path) if self.name.path.is_file() else "",
            "reference_rows": self.account.read,
            "reference_repaired": self.account.repaired,
            **{f"reference left out, {reason}": count for reason, count in self.account.dropped.items()},
        }


@dataclass(frozen=True)
class Inputs:
    """Whose predictions are compared with what: a year, a model run, polygons instead of the year's masks."""

    folder: YearFolder
    run: ModelRun
    reference: Reference | None = None

    @property
    def reference_name(self) -> str:
        """What stands on pictures."""
        return self.reference.name.short if self.reference else "the masks"


def read_reference(path: Path) -> Reference:
    """Read polygons from any file that OGR reads, in any CRS.

    Args:
        path: ``FILE`` or ``FILE:LAYER``, see ``vectors.read.read_vector``.

    Raises:
        PipelineError: no such file, not a vector file, several layers with polygons, no usable CRS, or no polygon in
            it.
    """
    areas = clean(read_vector(path, columns=())).without_wrapped()
    polygons = areas.frame.geometry
    if polygons.empty:
        read = areas.account.read
        raise PipelineError(f"{path} holds no polygon ({read} rows read); --reference needs mining polygons")
    warn_of_swapped(polygons, path)
    return Reference(existing_vector(path), polygons.to_crs(CRS).to_numpy(), areas.account)


def written_windows(windows: gpd.GeoDataFrame, split: str) -> gpd.GeoDataFrame:
    """The windows of a split that have a chip, by id."""
    chosen = windows[(windows["split"] == split) & (windows["status"] == WRITTEN)]
    return chosen.sort_values("id", ignore_index=True)


def plan_pairs(windows: gpd.GeoDataFrame, inputs: Inputs) -> list[Pair]:
    """Say where the prediction and the reference of every window are.

    Args:
        windows: from ``written_windows``.
        inputs: whose predictions are compared with what.

    Raises:
        PipelineError: predictions or masks are missing, or were made by other weights.
    """
    folder = inputs.folder
    probabilities = [folder.probability(inputs.run.name, name) for name in windows["id"]]
    masks: Sequence[Path | None] = [None] * len(windows)
    if inputs.reference is None:
        masks = [folder.mask(split, name) for split, name in zip(windows["split"], windows["id"], strict=True)]
    _check_probabilities(probabilities, inputs)
    _check_masks([mask for mask in masks if mask is not None], folder.year)
    pairs = []
    places = windows[["col", "row", "side_px"]].to_numpy("int64").tolist()
    near = _polygons_near(windows, inputs.reference)
    for probability, mask, polygons_3857, (col, row, side_px) in zip(probabilities, masks, near, places, strict=True):
        pairs.append(Pair(probability, mask, polygons_3857, col, row, side_px))
    return pairs


def _check_probabilities(paths: Sequence[Path], inputs: Inputs) -> None:
    """Make sure that every window was predicted, by these very weights.

    Raises:
        PipelineError: one was not.
    """
    again = f"run gpkg_dataset_generation.py -year={inputs.folder.year} first"
    gone = [path for path in paths if not path.exists()]
    if gone:
        raise PipelineError(f"no prediction at {gone[0]} ({len(gone)} of {len(paths)} are missing): {again}")
    if paths and not _of_these_weights(inputs.folder, inputs.run):
        raise PipelineError(f"{paths[0].parent} was predicted by other weights than {inputs.run.checkpoint}: {again}")


def _check_masks(paths: Sequence[Path], year: int) -> None:
    """Make sure that every window has a mask.

    Raises:
        PipelineError: one has none.
    """
    gone = [path for path in paths if not path.exists()]
    if gone:
        raise PipelineError(
            f"no mask at {gone[0]} ({len(gone)} of {len(paths)} are missing): is {year} the label year? "
            "--reference FILE compares with polygons instead"
        )


def _of_these_weights(folder: YearFolder, run: ModelRun) -> bool:
    """Whether step 3's record beside the predictions names the weights of a run.

    Predictions without record pass, and so do weights that are no longer there: the run's name stands for them.
    """
    recorded = read_kept(folder, run.name).made_from.get(CHECKPOINT)
    return recorded is None or not run.checkpoint.is_file() or recorded == fingerprint(run.checkpoint)


def _polygons_near(windows: gpd.GeoDataFrame, reference: Reference | None) -> list[np.ndarray]:
    """The reference polygons that meet each window, in the order of the file."""
    if reference is None:
        return [np.array([], dtype=object)] * len(windows)
    tree = shapely.STRtree(reference.polygons_3857)
    window, polygon = tree.query(windows.geometry.to_numpy(), predicate="intersects")
    order = np.lexsort((polygon, window))
    starts = np.searchsorted(window[order], np.arange(len(windows) + 1))
    sorted_polygons = reference.polygons_3857[polygon[order]]
    return [sorted_polygons[start:end] for start, end in itertools.pairwise(starts)]
