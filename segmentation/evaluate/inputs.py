"""What is compared: the windows of a split, their predictions, and masks or polygons as the reference."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from segmentation.core.errors import PipelineError
from segmentation.core.files import fingerprint, read_json
from segmentation.core.workspace import YearFolder
from segmentation.geo.grid import CRS
from segmentation.geo.vectors.clean import Account, clean
from segmentation.geo.vectors.files import VectorName, existing_vector
from segmentation.geo.vectors.read import read_vector
from segmentation.geo.vectors.swapped import warn_of_swapped
from segmentation.predict.runs import ModelRun
from segmentation.windows.record import WRITTEN


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
class Source:
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


def plan_pairs(windows: gpd.GeoDataFrame, source: Source) -> list[Pair]:
    """Say where the prediction and the reference of every window are.

    Args:
        windows: from ``written_windows``.
        source: of predictions and reference.

    Raises:
        PipelineError: predictions or masks are missing, or were made by other weights.
    """
    folder, run, reference = source.folder, source.run, source.reference
    probabilities = [folder.probability(run.name, name) for name in windows["id"]]
    masks = [folder.mask(split, name) for split, name in zip(windows["split"], windows["id"], strict=True)]
    again = f"run gpkg_dataset_generation.py -year={folder.year} first"
    if gone := [path for path in probabilities if not path.exists()]:
        raise PipelineError(f"no prediction at {gone[0]} ({len(gone)} of {len(probabilities)} are missing): {again}")
    if probabilities and not _of_this_model(probabilities[0].parent, run):
        raise PipelineError(f"{probabilities[0].parent} was predicted by other weights than {run.checkpoint}: {again}")
    if reference is None and (gone := [path for path in masks if not path.exists()]):
        raise PipelineError(
            f"no mask at {gone[0]} ({len(gone)} of {len(masks)} are missing): is {folder.year} the label year? "
            "--reference FILE compares with polygons instead"
        )
    near = _near(windows, reference)
    places = windows[["col", "row", "side_px"]].to_numpy("int64").tolist()
    return [
        Pair(probability, mask if reference is None else None, polygons, *place)
        for probability, mask, polygons, place in zip(probabilities, masks, near, places, strict=True)
    ]


def _of_this_model(predictions: Path, run: ModelRun) -> bool:
    """Whether step 3's record beside the predictions names these weights.

    Predictions without record pass, and so do weights that are no longer there: the run's name stands for them.
    """
    made_from = read_json(predictions / "model.json")
    return not run.checkpoint.is_file() or made_from.get("checkpoint") in (None, fingerprint(run.checkpoint))


def _near(windows: gpd.GeoDataFrame, reference: Reference | None) -> list[np.ndarray]:
    """The reference polygons that meet each window, in the order of the file."""
    if reference is None:
        return [np.array([], dtype=object)] * len(windows)
    tree = shapely.STRtree(reference.polygons_3857)
    window, polygon = tree.query(windows.geometry.to_numpy(), predicate="intersects")
    order = np.lexsort((polygon, window))
    starts = np.searchsorted(window[order], np.arange(len(windows) + 1))
    sorted_polygons = reference.polygons_3857[polygon[order]]
    return [sorted_polygons[start:end] for start, end in itertools.pairwise(starts)]
