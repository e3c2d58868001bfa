"""Outlining chips: ours along pixel edges and smooth, against tracing pixel centres and a plain loop over shapes."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import cv2
import numpy as np
import shapely
from rasterio import Affine
from rasterio.features import shapes
from scipy import ndimage

from benchmarks.timing import RUNS, median_s, parser
from segmentation.predict.outlines.trace import outline_pixels, outline_smoothly

CHIPS = 40
# As much mine as in the demo.
MINE_SHARE = 0.06


def chips(smooth: float, count: int) -> list[np.ndarray]:
    """Levels of smooth random probabilities: shapes as a segmentor draws them, the smaller ``smooth``, the more."""
    rng = np.random.default_rng(4)
    made = []
    for _ in range(count):
        field = ndimage.gaussian_filter(rng.standard_normal((512, 512)), smooth, mode="wrap") * smooth * 3
        logits = 4 * (field - np.quantile(field, 1 - MINE_SHARE))
        made.append(np.rint(250 / (1 + np.exp(-logits))).astype("uint8"))
    return made


def by_pixel_edges(levels: np.ndarray) -> np.ndarray:
    return outline_pixels(levels, 0.5, Affine.identity()).polygons


def smoothly(levels: np.ndarray) -> np.ndarray:
    return outline_smoothly(np.pad(levels, 1, mode="edge"), 0.5, Affine.identity()).polygons


def loop_over_shapes(levels: np.ndarray) -> np.ndarray:
    mine = (levels >= 125).astype("uint8")
    found = [shapely.geometry.shape(geojson) for geojson, value in shapes(mine, connectivity=4) if value == 1]
    return np.array(found, dtype=object)


def by_pixel_centres(levels: np.ndarray) -> np.ndarray:
    contours, _ = cv2.findContours((levels >= 125).astype("uint8"), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.array([shapely.Polygon(line[:, 0]) for line in contours if len(line) > 2], dtype=object)


WAYS = {
    "ours, pixel (with mean probabilities)": by_pixel_edges,
    "ours, smooth (with mean probabilities)": smoothly,
    "loop over rasterio's shapes": loop_over_shapes,
    "OpenCV's findContours (no holes)": by_pixel_centres,
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__, "chips", (CHIPS,), RUNS).parse_args(arguments)
    for count in options.sizes:
        measure(count, options.runs)


def measure(count: int, runs: int) -> None:
    print(f"{platform.machine()}, one process, Python {platform.python_version()}, {count} chips\n")
    print("| mines a chip | way | chips a second | area against the pixels |\n|---:|---|---:|---:|")
    for smooth in (24, 12, 6):
        levels = chips(smooth, count)
        filled = sum(int(ndimage.binary_fill_holes(chip >= 125).sum()) for chip in levels)
        exact = sum(int((chip >= 125).sum()) for chip in levels)
        mines = np.mean([ndimage.label(chip >= 125)[1] for chip in levels])
        for name, way in WAYS.items():
            area = sum(shapely.area(way(chip)).sum() for chip in levels)
            seconds = median_s(lambda way=way, levels=levels: [way(chip) for chip in levels], runs)
            against = filled if way is by_pixel_centres else exact
            print(f"| {mines:.0f} | {name} | {count / seconds:.0f} | {area / against - 1:+.2%} |", flush=True)


if __name__ == "__main__":
    main()
