"""Train, validation and test splits without leakage: windows that overlap go to the same split, whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from segmentation.core.errors import PipelineError
from segmentation.core.files import read_text
from segmentation.core.workspace import SPLITS
from segmentation.geo.grid import CRS, Windows, boxes
from segmentation.geo.unions import connected_groups
from segmentation.polygons.names import as_name

SHARES = (0.8, 0.1, 0.1)
SEED = 42
# A group with more of the windows than validation and test are to hold together can only be trained on.
DOMINANT = 0.2
# How far the share of a split may lie from the one that is meant, of all windows, before it is said.
FAR = 0.05


def overlapping_pairs(windows: Windows) -> np.ndarray:
    """Every pair of windows that share pixels: (m, 2) int64 positions, the first the smaller."""
    col, row, side = windows.col, windows.row, windows.side_px
    # Half a pixel off each edge, so that windows that merely touch do not count.
    cells = boxes(np.column_stack([col + 0.25, row + 0.25, col + side - 0.25, row + side - 0.25]))
    first, second = shapely.STRtree(cells).query(cells)
    return np.column_stack([first, second])[first < second]


def overlap_groups(windows: Windows) -> np.ndarray:
    """Connected components of overlap: (n,) int32, one label a group."""
    first, second = overlapping_pairs(windows).T
    return connected_groups(len(windows), first, second)


@dataclass(frozen=True)
class Splits:
    """The splits of windows.

    Attributes:
        group: (n,) int32, windows that overlap, or are joined by others that do, share a number.
        split: (n,) str: train, val or test, the same for all of a group.
    """

    group: np.ndarray
    split: np.ndarray


def split_windows(ids: np.ndarray, windows: Windows, test_ids: frozenset[str], seed: int) -> Splits:
    """A split for every window; windows that overlap go to the same one.

    Args:
        ids: (n,) str, the polygons' ids.
        windows: around the polygons.
        test_ids: ids of the polygons that are to be the test split.
        seed: of the random order in which groups are split.
    """
    group = overlap_groups(windows)
    return Splits(group, assign_splits(ids, group, test_ids, seed))


def assign_splits(
    ids: np.ndarray,
    groups: np.ndarray,
    test_ids: frozenset[str] = frozenset(),
    seed: int = SEED,
    *,
    dominant_to_train: bool = True,
) -> np.ndarray:
    """A split for every window, the same for a polygon in every year and whatever the order of the rows.

    Groups are put in a random order that depends on the seed and on their smallest id alone, and cut at the shares.
    Where that leaves a dominant group to validation or test, dominant groups go to train and the others are cut.

    Args:
        ids: (n,) str, the polygons' ids.
        groups: (n,) int, windows with the same label stay together.
        test_ids: ids whose groups form the test split; the others are then divided between train and val.
        seed: of the random order.
        dominant_to_train: False cuts the random order as it comes, whatever is left to train on.

    Returns:
        (n,) str: train, val or test.
    """
    windows = pd.DataFrame({"id": ids.astype(str), "group": groups})
    windows["chosen"] = windows["id"].isin(test_ids)
    in_order = _groups_in_random_order(windows, seed)
    free = in_order[~in_order["chosen"]]
    sizes = free["size"].to_numpy()
    shares = np.array(SHARES[:2] if test_ids else SHARES)
    number = _cut(sizes, shares)
    dominant = _to_be_trained_on(sizes, others_needed=len(shares) - 1)
    if dominant_to_train and (number[dominant] != 0).any():
        number = _cut_around(dominant, sizes, shares)
    split_of_group = dict.fromkeys(in_order.index, "test")
    split_of_group.update(zip(free.index, np.array(SPLITS)[number], strict=True))
    return windows["group"].map(split_of_group).to_numpy(dtype=str)


def _groups_in_random_order(windows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A row a group: its number as the index, its ``size``, and whether it was ``chosen`` to test on.

    Args:
        windows: columns ``id``, ``group`` and ``chosen``.
        seed: of the order, which knows a group by its smallest id alone.
    """
    table = windows.groupby("group").agg(key=("id", "min"), size=("id", "size"), chosen=("chosen", "any"))
    table["order"] = pd.util.hash_array(table["key"].to_numpy(dtype=object), hash_key=f"{seed:016d}"[-16:])
    return table.sort_values(["order", "key"])


def _cut(sizes: np.ndarray, shares: np.ndarray, held: tuple[int, ...] = ()) -> np.ndarray:
    """Cut a sequence of groups at the shares of their total size: (n,) int, the number of each group's split.

    Args:
        sizes: (n,) int, of the groups.
        shares: of the splits, in any unit.
        held: the splits that hold other groups already; each of the rest gets a group here if there are enough.
    """
    # A group belongs to the split in whose share the middle of its windows lies.
    middle = (np.cumsum(sizes) - sizes / 2) / max(sizes.sum(), 1)
    boundaries = np.cumsum(shares)[:-1] / shares.sum()
    number = np.searchsorted(boundaries, middle, side="right")
    if len(number) >= len(shares) - len(held):
        # However few the groups, training needs every split.
        if 0 not in held:
            number[0] = 0
        for split in range(len(shares) - 1, 0, -1):
            if split not in number:
                number[split - len(shares)] = split
    return number


def _to_be_trained_on(sizes: np.ndarray, others_needed: int) -> np.ndarray:
    """The dominant groups, (n,) bool, or the largest of them alone where the others are too few for other splits.

    Args:
        sizes: (n,) int, of the groups.
        others_needed: number of splits beside train, each of which needs a group.
    """
    dominant = sizes > DOMINANT * sizes.sum()
    if dominant.any() and (~dominant).sum() < others_needed:
        dominant = np.arange(len(sizes)) == np.argmax(sizes)
    return dominant


def _cut_around(dominant: np.ndarray, sizes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Give dominant groups to train and cut the others at what then remains of the shares: (n,) int, as ``_cut``."""
    remaining = shares * sizes.sum() / shares.sum()
    remaining[0] = max(remaining[0] - sizes[dominant].sum(), 0)
    number = np.zeros(len(sizes), "int64")
    number[~dominant] = _cut(sizes[~dominant], remaining, held=(0,))
    return number


def far_from_shares(splits: np.ndarray, *, chosen_test: bool = False) -> str:
    """A line that says how chips are shared out, where that is far from what is meant; else nothing.

    Args:
        splits: (n,) str, of the chips.
        chosen_test: whether the test split was chosen by hand; only the rest is then meant to have shares.
    """
    names = SPLITS[:2] if chosen_test else SPLITS
    meant = np.array(SHARES[: len(names)]) / sum(SHARES[: len(names)])
    counts = np.array([(splits == name).sum() for name in names])
    total = counts.sum()
    # Of few chips, one more or less is much.
    if not total or (np.abs(counts / total - meant) <= max(FAR, 1 / total)).all():
        return ""
    told = []
    for name, count, share in zip(names, counts, meant, strict=True):
        told.append(f"{name} {count:,} ({count / total:.1%}, meant {share:.0%})")
    return f"splits far from their shares, as windows that overlap stay together: {', '.join(told)}"


def read_test_ids(path: Path | None, known: np.ndarray) -> frozenset[str]:
    """Ids, one a line, of the polygons that are to be the test split.

    Args:
        path: a text file in any common encoding; None for no ids.
        known: (n,) str, the polygons' names; an id that had to be turned into a name may be given as it was.

    Raises:
        PipelineError: no such file, or an id in it is not among the known ones.
    """
    if path is None:
        return frozenset()
    if not path.is_file():
        raise PipelineError(f"no file of test ids at {path}")
    lines = [line.strip() for line in read_text(path).splitlines()]
    names = set(known)
    wanted = frozenset(line if line in names else as_name(line) for line in lines if line)
    unknown = sorted({line for line in lines if line and line not in names and as_name(line) not in names})
    if unknown:
        raise PipelineError(f"{path}: {len(unknown)} ids are not among the polygons, for example {unknown[0]!r}")
    return wanted


def leakage_m2(bounds_3857: np.ndarray, windows: Windows, splits: np.ndarray) -> float:
    """Area on the ground (EPSG:6933, m2) shared by windows of different splits, summed over the pairs."""
    first, second = overlapping_pairs(windows).T
    across = splits[first] != splits[second]
    one, other = bounds_3857[first[across]], bounds_3857[second[across]]
    south_west = np.maximum(one[:, :2], other[:, :2])
    north_east = np.minimum(one[:, 2:], other[:, 2:])
    shared = np.column_stack([south_west, north_east])
    # The projection is cylindrical: a box stays a box.
    return float(gpd.GeoSeries(boxes(shared), crs=CRS).to_crs("EPSG:6933").area.sum())
