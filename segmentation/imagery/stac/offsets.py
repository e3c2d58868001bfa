"""The dark-pixel check: was the offset that a Sentinel-2 scene lists subtracted from its pixels already?

Catalogues are known to say it wrongly: Earth Search lists an offset of -0.1 for a good number of scenes from whose
files it has been taken off. Pixels tell, because nothing on the ground is darker than black.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pystac

from segmentation.core.journal import Journal
from segmentation.imagery.rasters.scales import Reflectance
from segmentation.imagery.stac.bands import SENTINEL2_OFFSET, SENTINEL2_SHIFTED_SINCE, baseline, is_sentinel2
from segmentation.imagery.web.parallel import SharedWork

# A scene of 110 x 110 km has at least this share of water, shade or dense forest.
_DARK_PERCENT = 1
# Atmospheric correction makes dark pixels negative now and then, but not a percent of a scene by more than this.
_DARKEST = -0.02

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checked:
    """What was found of a scene.

    Attributes:
        listed: offset by its metadata.
        darkest: reflectance of its dark pixels if no offset is applied; None where it has no pixels.
        taken_off: whether pixels prove that the listed offset was subtracted already.
    """

    listed: float
    darkest: float | None
    taken_off: bool

    @property
    def doubtful(self) -> bool:
        """Whether no offset is listed although the darkest pixels are as bright as one would make them."""
        return self.listed == 0 and self.darkest is not None and self.darkest >= -SENTINEL2_OFFSET


class Offsets:
    """The offsets of scenes, each checked once.

    Args:
        records: keeps what was found, by the scene's id.
        read_coarse: DN of a scene at low resolution, in the band that shows dark things darkest; NaN is no data.
    """

    def __init__(self, records: Journal, read_coarse: Callable[[pystac.Item], np.ndarray]):
        self._records = records
        self._read_coarse = read_coarse
        self._checks: SharedWork[Checked] = SharedWork()

    def of(self, item: pystac.Item, listed: Reflectance) -> float:
        """The offset to apply to a scene; its metadata's word for anything but shifted Sentinel-2 scenes.

        Args:
            item: the scene.
            listed: what its metadata says.
        """
        shifted = (baseline(item) or 0.0) >= SENTINEL2_SHIFTED_SINCE
        if not (shifted or (listed.offset < 0 and is_sentinel2(item))):
            return listed.offset
        if item.id in self._records:
            checked = Checked(**self._records.get(item.id))
        else:
            checked = self._checks.result(item.id, lambda: self._check(item, listed))
        return 0.0 if checked.taken_off else listed.offset

    def close(self) -> None:
        """Leave the record in order, and say which scenes' metadata is wrong or in doubt."""
        self._records.tidy()
        known = {name: Checked(**self._records.get(name)) for name in self._records}
        taken_off = sorted(name for name, checked in known.items() if checked.taken_off)
        doubtful = sorted(name for name, checked in known.items() if checked.doubtful)
        if taken_off:
            log.warning(
                "%d of %d checked scenes list an offset that their dark pixels show to be subtracted already; it was "
                "not applied again (%s, ...)",
                *(len(taken_off), len(known), taken_off[0]),
            )
        if doubtful:
            log.warning(
                "%d of %d checked scenes have no pixel darker than 0.1 though no offset is listed; taken as they are "
                "(%s, ...)",
                *(len(doubtful), len(known), doubtful[0]),
            )

    def _check(self, item: pystac.Item, listed: Reflectance) -> Checked:
        self._records.refresh()
        if item.id in self._records:  # another process has looked at it meanwhile
            return Checked(**self._records.get(item.id))
        dn = self._read_coarse(item)
        seen = dn[np.isfinite(dn)]
        darkest = round(float(np.percentile(seen, _DARK_PERCENT)) * listed.scale, 4) if seen.size else None
        taken_off = listed.offset < 0 and darkest is not None and darkest + listed.offset < _DARKEST
        checked = Checked(listed.offset, darkest, taken_off)
        self._records.keep(item.id, asdict(checked))
        return checked
