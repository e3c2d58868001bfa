"""Which assets of a scene are red, green, blue, near infrared and scene classes, and what their numbers mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segmentation.core.errors import PipelineError
from segmentation.imagery.rasters.scales import LARGEST_SCALE, SAY_THE_SCALE, Reflectance

if TYPE_CHECKING:
    import pystac

# Reflectance per DN of Sentinel-2 Level-2A; from processing baseline 04.00 on its DN are 1000 higher, so that slightly
# negative reflectance has a number. Reprocessed scenes of earlier years have these baselines too (05.xx).
SENTINEL2_SCALE, SENTINEL2_OFFSET, SENTINEL2_SHIFTED_SINCE = 1e-4, -0.1, 4.0

_BASELINES = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
_OFFSET_TAKEN_OFF = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")


@dataclass(frozen=True)
class Bands:
    """The assets to read.

    Attributes:
        colours: of red, green, blue and, where there is one, near infrared; ``ASSET.N`` is the N-th band of an asset.
        classes: of the scene classification (SCL) of Sentinel-2, None where there is none.
    """

    colours: tuple[str, ...]
    classes: str | None


# Names of the assets of Sentinel-2 L2A in Earth Search and in the Planetary Computer.
_KNOWN = (Bands(("red", "green", "blue", "nir"), "scl"), Bands(("B04", "B03", "B02", "B08"), "SCL"))


def find_bands(item: pystac.Item, named: Sequence[str] = ()) -> Bands:
    """The assets to read of scenes like this one.

    Args:
        item: a scene of the collection.
        named: assets of red, green, blue and near infrared, if the usual names will not do.

    Raises:
        PipelineError: it has no such assets.
    """
    has = item.assets.keys()
    if named:
        missing = [name for name in named if split_name(name)[0] not in has]
        if len(named) not in {3, 4} or missing:
            raise PipelineError(
                f"--bands {','.join(named)}: name the assets of red, green, blue and, if there is one, near infrared; "
                f"{item.collection_id} has {', '.join(sorted(has))}"
            )
        classes = next((known.classes for known in _KNOWN if known.classes in has), None)
        return Bands(tuple(named), classes)
    for known in _KNOWN:
        if has >= set(known.colours):
            return Bands(known.colours, known.classes if known.classes in has else None)
    raise PipelineError(
        f"{item.collection_id} has assets {', '.join(sorted(has))}; name those of red, green, blue and near infrared "
        "with --bands"
    )


def split_name(name: str) -> tuple[str, int]:
    """Asset and band (from 1) of a name such as ``image.4``."""
    asset, _, band = name.rpartition(".")
    return (asset, int(band)) if asset and band.isdigit() else (name, 1)


def is_sentinel2(item: pystac.Item) -> bool:
    """Whether a scene is one of Sentinel-2's; catalogues write the name differently."""
    names = item.properties.get("constellation"), item.properties.get("platform"), item.collection_id
    return any(str(name).lower().replace(" ", "-").startswith("sentinel-2") for name in names)


def baseline(item: pystac.Item) -> float | None:
    """Processing baseline of a Sentinel-2 scene, None where it is not said and for other scenes."""
    said = next((item.properties[name] for name in _BASELINES if name in item.properties), None)
    if said is None or not is_sentinel2(item):
        return None
    try:
        return float(said)
    except (TypeError, ValueError):
        return None


def listed_reflectance(item: pystac.Item, name: str, given: Reflectance | None = None) -> Reflectance:
    """How the numbers of a band become reflectance, as the metadata of its scene says.

    Args:
        item: the scene.
        name: of the band, see ``Bands``.
        given: by the user, for scenes that do not say it, or say what cannot be meant.

    Raises:
        PipelineError: neither do they say it nor is it known.
    """
    made_by = baseline(item)
    listed = _listed(item, name)
    if listed is None and made_by is not None:
        listed = Reflectance(SENTINEL2_SCALE, SENTINEL2_OFFSET if made_by >= SENTINEL2_SHIFTED_SINCE else 0.0)
    if listed is not None and not 0 < listed.scale <= LARGEST_SCALE:
        if given is None:
            raise PipelineError(
                f"{item.collection_id} lists a scale of {listed.scale:g} for {name} ({item.id}), which no values need; "
                f"{SAY_THE_SCALE}"
            )
        listed = given
    listed = listed or given
    if listed is None:
        raise PipelineError(
            f"{item.collection_id} does not say what the numbers of {name} mean; name the reflectance per DN with "
            "--reflectance-scale"
        )
    old = made_by is not None and made_by < SENTINEL2_SHIFTED_SINCE
    if old or any(item.properties.get(flag) is True for flag in _OFFSET_TAKEN_OFF):
        return Reflectance(listed.scale)
    return listed


def no_data(item: pystac.Item, name: str) -> float | None:
    """The number that means no data, as far as the metadata says."""
    value = _described(item, name).get("nodata")
    return None if value is None else _number(item, name, "nodata", value)


def pixel_m(item: pystac.Item, name: str) -> float | None:
    """Side of a band's pixel on the ground in metres, as far as the metadata says."""
    described = _described(item, name)
    side = described.get("spatial_resolution") or described.get("gsd") or item.properties.get("gsd")
    return None if side is None else _number(item, name, "size of pixels", side)


def _listed(item: pystac.Item, name: str) -> Reflectance | None:
    """Scale and offset by the raster extension, in its first version or in that of STAC 1.1."""
    described = _described(item, name)
    scale = described.get("scale", described.get("raster:scale"))
    offset = described.get("offset", described.get("raster:offset")) or 0.0
    if scale is None:
        return None
    return Reflectance(_number(item, name, "scale", scale), _number(item, name, "offset", offset))


def _number(item: pystac.Item, name: str, what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise PipelineError(f"scene {item.id}: the {what} of {name} is {value!r}, no number") from None


def _described(item: pystac.Item, name: str) -> dict:
    asset, band = split_name(name)
    fields = item.assets[asset].extra_fields
    bands = fields.get("raster:bands") or fields.get("bands") or [{}]
    return fields | bands[min(band, len(bands)) - 1]
