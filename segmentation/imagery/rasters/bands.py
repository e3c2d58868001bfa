"""Which bands of a raster file are the colours, and which is its alpha."""

from __future__ import annotations

import re
from collections.abc import Sequence

import rasterio
from rasterio.enums import ColorInterp

from segmentation.core.errors import PipelineError
from segmentation.imagery.rasters.quads import is_planet_quad
from segmentation.imagery.reflectance import ALPHA, BLUE, GREEN, NIR, RED

COLOURS = ("red", "green", "blue", "nir")

# What files call the colours, in lower case and without anything but letters and digits; B02 to B08 are Sentinel-2's.
_CALLED = {
    "red": {"red", "r", "b04"},
    "green": {"green", "g", "b03"},
    "blue": {"blue", "b", "b02"},
    "nir": {"nir", "nearinfrared", "n", "b08"},
}
_INTERPRETED = {
    "red": ColorInterp.red,
    "green": ColorInterp.green,
    "blue": ColorInterp.blue,
    "nir": ColorInterp.nir,
}
_PLANET = {"red": RED, "green": GREEN, "blue": BLUE, "nir": NIR}


def named_bands(file: rasterio.DatasetReader, names: Sequence[str]) -> tuple[int, ...]:
    """The bands (from 1) that the user names, by number or description.

    Raises:
        PipelineError: the file has no such band; the message lists those that it has.
    """
    described = {_plain(text): band for band, text in zip(file.indexes, file.descriptions, strict=True) if text}
    bands = []
    for name in names:
        band = int(name) if name.isdecimal() else described.get(_plain(name))
        if band is None or band not in file.indexes:
            raise PipelineError(f"{file.name} has no band {name!r}; {_listed(file)}")
        bands.append(band)
    return tuple(bands)


def recognised_bands(file: rasterio.DatasetReader) -> tuple[int, ...]:
    """The bands (from 1) of red, green, blue and, where there is one, near infrared, by what the file says.

    Raises:
        PipelineError: it does not say enough.
    """
    found = _PLANET if is_planet_quad(file) else _by_words(file)
    if not found.keys() >= {"red", "green", "blue"}:
        missing = next(colour for colour in COLOURS if colour not in found)
        raise PipelineError(
            f"{file.name} does not say which band is {missing}: name them by number or description "
            f"with --bands RED,GREEN,BLUE[,NIR]; {_listed(file)}"
        )
    return tuple(found[colour] for colour in COLOURS if colour in found)


def alpha_band(file: rasterio.DatasetReader, bands: Sequence[int]) -> int | None:
    """The band (from 1) that is 0 where there is no data, beside the chosen ones; None where there is none."""
    if is_planet_quad(file):
        return ALPHA if file.count >= ALPHA else None
    alphas = [
        band
        for band, seen in zip(file.indexes, file.colorinterp, strict=True)
        if seen == ColorInterp.alpha and band not in bands
    ]
    return alphas[0] if alphas else None


def colour_called(description: str) -> str | None:
    """The colour (see ``COLOURS``) that a band's description names, None for any other."""
    return next((colour for colour, words in _CALLED.items() if _plain(description) in words), None)


def _by_words(file: rasterio.DatasetReader) -> dict[str, int]:
    """Bands by colour: as described; those without a description by their colour interpretation."""
    bands = list(zip(file.indexes, file.descriptions, file.colorinterp, strict=True))
    found: dict[str, int] = {}
    for colour, words in _CALLED.items():
        described = [band for band, text, _ in bands if text and _plain(text) in words]
        interpreted = [band for band, text, seen in bands if not text and seen == _INTERPRETED[colour]]
        if described or interpreted:
            found[colour] = (described or interpreted)[0]
    return found


def _listed(file: rasterio.DatasetReader) -> str:
    """The bands of a file, in words."""
    told = [
        f"{band} {text!r}" if text else f"{band} ({seen.name})"
        for band, text, seen in zip(file.indexes, file.descriptions, file.colorinterp, strict=True)
    ]
    return f"its bands are {', '.join(told)}"


def _plain(text: str) -> str:
    """A text in lower case, without anything but letters and digits."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
