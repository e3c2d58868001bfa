"""The pixels of scenes on a window's grid, through odc-stac and GDAL's range requests."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from scipy import ndimage

from segmentation.core.errors import PipelineError
from segmentation.core.journal import Journal
from segmentation.geo.grid import CHIP_PX, CRS
from segmentation.imagery.rasters.scales import Reflectance
from segmentation.imagery.stac.bands import Bands, listed_reflectance, no_data, pixel_m
from segmentation.imagery.stac.catalogue import TIMEOUT_S, TRANSIENT, USER_AGENT
from segmentation.imagery.stac.composite import SceneReader
from segmentation.imagery.stac.looks import bounds_of
from segmentation.imagery.stac.offsets import Offsets
from segmentation.imagery.stac.tokens import Tokens
from segmentation.imagery.web.redaction import without_query
from segmentation.imagery.web.sessions import GDAL_WITHOUT_LOGINS, leave_gdal_without_logins

# Classes of Sentinel-2's scene classification (SCL) that show no ground: no data, defective, cloud shadow, the three
# of cloud, thin cirrus. Copernicus' own cloudless mosaics leave the same ones out.
NOT_GROUND = (0, 1, 3, 7, 8, 9, 10)
# Clouds and their shadows fade out: so much around them is left out too, two pixels of the classification.
_FADING, _FADING_M = (3, 8, 9, 10), 40.0

# Sentinel-2's, for collections that do not say how large their pixels are.
_USUAL_PIXEL_M = 10.0
# A scene's pixels count as no larger than the chip's up to this ratio.
_SAME_SIZE = 1.001
_COARSE_PX = 256
_FAILURES = (RasterioError, ValueError)

log = logging.getLogger(__name__)


class SceneLost(PipelineError):
    """A scene's pixels cannot be had."""


class ScenePixels:
    """Reads scenes of one collection, safe to use from several threads.

    Args:
        bands: the assets to read.
        tokens: sign the addresses of assets.
        checked: file that keeps what the dark-pixel check finds.
        reflectance: how numbers become reflectance in scenes that do not say it.
        tries: how often a request is tried before it has failed for good.
    """

    def __init__(
        self, bands: Bands, tokens: Tokens, checked: Path, reflectance: Reflectance | None = None, tries: int = 8
    ):
        self.bands = bands
        self.offsets = Offsets(Journal(checked), self._coarse)
        self._tokens = tokens
        self._given = reflectance
        _configure_gdal(tries)

    def reader(self, transform: Affine, chip_pixel_m: float) -> SceneReader:
        """What reads scenes onto the 512 x 512 pixels of a chip.

        Where these are the coarser ones, each is the mean of the scene's pixels (or of an overview's) by area.

        Args:
            transform: of the chip, EPSG:3857.
            chip_pixel_m: side of the chip's pixels on the ground.
        """
        geobox = GeoBox((CHIP_PX, CHIP_PX), transform, CRS)

        def read(scene: pystac.Item, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
            clear = wanted
            coarser = chip_pixel_m > _SAME_SIZE * (pixel_m(scene, self.bands.colours[0]) or _USUAL_PIXEL_M)
            smooth, classes = ("average", "mode") if coarser else ("cubic", "nearest")
            if self.bands.classes:
                seen = self._load(scene, (self.bands.classes,), geobox, classes)[0]
                clear = wanted & ~_hidden(seen, chip_pixel_m)
                if not clear.any():
                    return None
            dn = self._load(scene, self.bands.colours, geobox, smooth)
            reflectance, valid = self._reflectance(scene, dn)
            clear = clear & valid
            return (reflectance, clear) if clear.any() else None

        return read

    def _reflectance(self, scene: pystac.Item, dn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reflectance (bands, h, w) float32, not below 0, and where every band has data.

        Scenes that do not say what means no data have none where all bands are 0: that is fill, not ground.
        """
        valid = np.isfinite(dn).all(axis=0)
        if all(no_data(scene, name) is None for name in self.bands.colours):
            valid &= (dn != 0).any(axis=0)
        reflectance = np.empty_like(dn)
        for band, name in enumerate(self.bands.colours):
            listed = listed_reflectance(scene, name, self._given)
            missing = no_data(scene, name)
            if missing is not None:
                valid &= dn[band] != missing
            offset = self.offsets.of(scene, listed) if valid.any() else listed.offset
            reflectance[band] = dn[band] * listed.scale + offset
        return np.maximum(reflectance, 0), valid

    def _coarse(self, scene: pystac.Item) -> np.ndarray:
        """Blue of a whole scene in few pixels, DN as float32: from an overview, where the file has them."""
        geobox = GeoBox.from_bbox(bounds_of(scene), "EPSG:4326", shape=(_COARSE_PX, _COARSE_PX))
        blue = self.bands.colours[2]
        dn = self._load(scene, (blue,), geobox, "nearest")[0]
        return np.where(dn == no_data(scene, blue), np.nan, dn)

    def _load(self, scene: pystac.Item, names: tuple[str, ...], geobox: GeoBox, resampling: str) -> np.ndarray:
        """Bands of a scene on a grid, (bands, h, w) float32; NaN where it has none."""
        signed: set[str] = set()

        def sign(href: str) -> str:
            address = self._tokens.sign(href)
            if address != href:
                signed.add(address)
            return address

        load = partial(_load, scene, names, geobox, resampling, sign)
        try:
            return load()
        except _FAILURES as error:
            if not signed:
                raise _lost(scene, error) from None
        # GDAL does not always say that the storage refused; the token may have ended, so another one gets a try.
        self._tokens.forget_refused(signed)
        try:
            return load()
        except _FAILURES as error:
            raise _lost(scene, error) from None


def _hidden(classes: np.ndarray, pixel_m: float) -> np.ndarray:
    """Where no ground is seen, (h, w) bool, by scene classes (h, w) float32, NaN where the scene has none."""
    hidden = np.isin(classes, NOT_GROUND) | np.isnan(classes)
    margin_px = round(_FADING_M / pixel_m)
    if margin_px:
        hidden |= ndimage.binary_dilation(np.isin(classes, _FADING), iterations=margin_px)
    return hidden


def _load(
    scene: pystac.Item, names: tuple[str, ...], geobox: GeoBox, resampling: str, sign: Callable[[str], str]
) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = odc.stac.load(
            [scene],
            names,
            groupby="id",
            geobox=geobox,
            resampling=resampling,
            dtype="float32",
            nodata=np.nan,
            patch_url=sign,
        )
    return np.stack([loaded[name].values[0] for name in names])


def _lost(scene: pystac.Item, error: Exception) -> SceneLost:
    return SceneLost(f"scene {scene.id}: {without_query(' '.join(str(error).split()))}")


def _configure_gdal(tries: int) -> None:
    """How GDAL asks for parts of files in this process; what it complains of is heard with --verbose alone."""
    leave_gdal_without_logins()
    connect_s, read_s = TIMEOUT_S
    options: dict[str, Any] = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_USERAGENT": USER_AGENT,
        "GDAL_HTTP_MAX_RETRY": str(tries - 1),
        "GDAL_HTTP_RETRY_DELAY": "0.5",
        "GDAL_HTTP_RETRY_CODES": ",".join(map(str, TRANSIENT)),
        "GDAL_HTTP_CONNECTTIMEOUT": str(connect_s),
        "GDAL_HTTP_TIMEOUT": str(read_s),
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",  # bytes a second
        "GDAL_HTTP_LOW_SPEED_TIME": "30",
        # The head of a file in one request, the blocks of a band together.
        "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
        "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
        **GDAL_WITHOUT_LOGINS,
    }
    odc.stac.configure_rio(**options)
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] in {"rasterio", "odc"} and isinstance(logger, logging.Logger):
            logger.addFilter(_LIBRARY_MESSAGES)


class _LibraryMessages(logging.Filter):
    """Passes on what libraries log, softly and without the queries of addresses: they hold tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        log.log(min(record.levelno, logging.INFO), "%s", without_query(record.getMessage()))
        return False


_LIBRARY_MESSAGES = _LibraryMessages()
