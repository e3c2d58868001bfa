"""What raster files hold that cannot be meant: fill that counts as ground, and scales that make all white or black."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rasterio import Affine

from segmentation.core.errors import PipelineError
from segmentation.imagery.files.content import Content
from segmentation.imagery.rasters.bands import COLOURS, colour_called
from segmentation.imagery.rasters.description import Raster
from segmentation.imagery.rasters.finding import Layout
from segmentation.imagery.rasters.scales import BRIGHTEST, SAY_THE_SCALE
from segmentation.imagery.rasters.warping import values_under
from segmentation.imagery.reflectance import BAND_SCALES

# Share of a file's pixels that, all alike in all bands, look like fill.
LEAST_FILL = 0.01
# No landscape is darker than this all over.
_TOO_DARK = 0.002
_POSSIBLE = (-0.05, BRIGHTEST)
# Every landscape has something brighter than this in one band at least, but open water may not.
_DARK = 0.03
# Reflectance that chips show as white, in the visible.
_WHITE = 254 * BAND_SCALES[0]
_NAMED = 3
_USUAL_SCALES = (1.0, 0.01, 0.001, 0.0001, 0.00001)

log = logging.getLogger(__name__)


def require_reflectance(contents: Mapping[Path, Content], rasters: Mapping[Path, Raster]) -> None:
    """Make sure that files show ground, as far as their brightness tells.

    Raises:
        PipelineError: a file would be white or black all over, whatever it shows; the message names it and what to do.
    """
    dark: dict[Path, float] = {}
    white: dict[Path, float] = {}
    for path, content in contents.items():
        if content.percentiles is None:
            continue
        _refuse_white_or_black(path, content, content.percentiles, rasters[path])
        _, middle, bright = content.percentiles
        visible = float(np.median(middle[:3]))
        if bright.max() < _DARK:
            dark[path] = float(bright.max())
        if visible > _WHITE:
            white[path] = visible
    if dark:
        log.warning(
            "%d of %d files have hardly anything brighter than a reflectance of %g (%s); check the scale: %s",
            *(len(dark), len(contents), _DARK, _listed(dark, "{:.2g}"), SAY_THE_SCALE),
        )
    if white:
        log.warning(
            "%d of %d files are white in more than half of their pixels (median reflectance %s); "
            "if that is not cloud, check the scale: %s",
            *(len(white), len(contents), _listed(white, "{:.2g}"), SAY_THE_SCALE),
        )


def _refuse_white_or_black(path: Path, content: Content, percentiles: np.ndarray, raster: Raster) -> None:
    """Refuse a file that shows nothing whatever it holds: by its percentiles, see ``Content``."""
    _, middle, bright = percentiles
    band = int(np.argmax(middle))
    is_white = middle[band] > BRIGHTEST
    is_black = bright.max() < max(_TOO_DARK, _reach(content, raster))
    if is_white or is_black:
        raise PipelineError(
            f"{path} would be {'white' if is_white else 'black'} all over: its {COLOURS[band]} band would have a "
            f"reflectance of {middle[band]:.3g} (the median) by {raster.reflectance(band)}; "
            f"{_advice(float(middle[band]), raster, band)}"
        )


def larger_shares(fills: Mapping[float, float], raster: Raster, chips: Sequence[Affine]) -> dict[float, float]:
    """Shares of a file's pixels that are alike in all bands, by value: of all of it or under some chips, the larger.

    Args:
        fills: the shares of all of it, see ``Content``.
        raster: the file.
        chips: their transforms, EPSG:3857.
    """
    alike, data = dict.fromkeys(fills, 0), 0
    for chip in chips:
        values, seen = values_under(raster, chip)
        data += int(seen.sum())
        for value in fills:
            alike[value] += int(((values == np.float32(value)).all(axis=0) & seen).sum())
    return {value: max(share, alike[value] / max(data, 1)) for value, share in fills.items()}


def warn_of_fill(
    shares: Mapping[Path, Mapping[float, float]], contents: Mapping[Path, Content], rasters: Mapping[Path, Raster]
) -> None:
    """Say which files have pixels that look like fill and count as ground.

    Args:
        shares: by file and value, of pixels that have it in all bands, see ``larger_shares``.
        contents: by file.
        rasters: by file.
    """
    found: dict[float, dict[Path, float]] = defaultdict(dict)
    for path, by_value in shares.items():
        for value, share in by_value.items():
            if share >= LEAST_FILL and _looks_like_fill(value, contents[path], rasters[path]):
                found[value][path] = share
    for value, files in found.items():
        said = {number for path in files for number in rasters[path].no_data}
        word = f"no data is {' or '.join(f'{number:g}' for number in sorted(said))} there" if said else "none says so"
        log.warning(
            "%d of %d files have pixels that are %s in all bands and count as ground (%s of the pixels); "
            "if they show nothing, say so with --nodata%s (%s)",
            *(len(files), len(contents), _exact(value), _listed(files, "{:.0%}"), _as_typed(value), word),
        )


def _exact(value: float) -> str:
    """A number in as many digits as it takes to tell it from all others of 32 bits."""
    short = f"{value:g}"
    return short if np.float32(short) == np.float32(value) else f"{value:.9g}"


def _as_typed(value: float) -> str:
    """A number behind the name of its option; a negative one would be taken for an option of its own."""
    return f"={_exact(value)}" if value < 0 else f" {_exact(value)}"


def warn_of_other_bands(rasters: Sequence[Raster], layouts: Mapping[Path, Layout]) -> None:
    """Say where the bands that the user has chosen are, by the files' own word, of other colours.

    Args:
        rasters: the files, with the chosen bands.
        layouts: by file.
    """
    found = []
    for raster in rasters:
        for colour, band in zip(COLOURS, raster.bands, strict=False):
            description = layouts[raster.path].descriptions[band - 1]
            if colour_called(description) not in {None, colour}:
                found.append(f"band {band} of {raster.path.name}, taken for {colour}, is {description!r}")
    if found:
        log.warning("--bands contradicts what files say of %d bands: %s", len(found), "; ".join(found[:_NAMED]))


def _looks_like_fill(value: float, content: Content, raster: Raster) -> bool:
    """Whether a value is more likely no data than light: 0, what a type ends with, or no possible reflectance."""
    kind = np.dtype(content.dtype)
    ends = {np.iinfo(kind).min, np.iinfo(kind).max} if kind.kind in "iu" else set()
    reflectance = value * raster.scales[0] + raster.offsets[0]
    return value == 0 or value in ends or not _POSSIBLE[0] <= reflectance <= _POSSIBLE[1]


def _reach(content: Content, raster: Raster) -> float:
    """``_DARK`` where the type of a file cannot hold anything much brighter, so that it is no matter of the scene."""
    kind = np.dtype(content.dtype)
    if kind.kind not in "iu":
        return 0.0
    largest = np.iinfo(kind).max * np.array(raster.scales) + np.array(raster.offsets)
    return _DARK if largest.max() < 2 * _DARK else 0.0


def _advice(median: float, raster: Raster, band: int) -> str:
    value = (median - raster.offsets[band]) / raster.scales[band]
    usual = [scale for scale in _USUAL_SCALES if 0.02 <= value * scale <= 0.6]
    if not usual:
        return SAY_THE_SCALE
    return f"{SAY_THE_SCALE}; by {usual[0]:g} the median would be {value * usual[0]:.2g}"


def _listed(files: Mapping[Path, float], form: str) -> str:
    told = [f"{path.name} {form.format(value)}" for path, value in list(files.items())[:_NAMED]]
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return ", ".join(told) + more
