"""Land cover as one byte a pixel, and what each code reflects in the four bands.

Values are surface reflectance x 10000 of the bands Blue, Green, Red and NIR, of the order that tropical imagery
shows. ``roughness`` is the relative amplitude of the fine texture (tree crowns, furrows) of a cover.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

# Codes 0 to 63 are a ramp of natural vegetation, from closed forest to dry grass.
RAMP = 64
FIELDS = 64  # first of the codes of fields
N_FIELDS = 24
HEDGE, RIVER, SAND, LAKE, DRY_POND, BURNT, CLEARING, BARE, ROAD, ROOF, YARD = range(100, 111)

_RAMP_STOPS = (
    # position, blue, green, red, NIR, roughness
    (0, 190, 370, 240, 2700, 0.135),
    (16, 230, 460, 300, 3150, 0.125),
    (26, 280, 570, 410, 3300, 0.100),
    (36, 380, 730, 650, 2900, 0.070),
    (48, 560, 930, 1040, 2600, 0.050),
    (63, 760, 1150, 1480, 2500, 0.020),
)
_FIELD_STOPS = (
    (250, 640, 330, 4100, 0.018),  # lush crop
    (300, 720, 470, 3700, 0.020),  # young crop
    (330, 640, 520, 3200, 0.040),  # pasture
    (520, 900, 900, 2700, 0.025),  # ripening
    (800, 1250, 1650, 2900, 0.020),  # stubble
    (620, 880, 1150, 1900, 0.020),  # ploughed brown
    (640, 1000, 1700, 2500, 0.020),  # ploughed red
    (1300, 1720, 2150, 2900, 0.015),  # bare and bright
)
_SINGLE = {
    HEDGE: (260, 500, 360, 2900, 0.12),
    RIVER: (560, 860, 900, 520, 0.012),
    SAND: (1750, 2250, 2650, 3200, 0.020),
    LAKE: (330, 450, 330, 190, 0.012),
    DRY_POND: (1350, 1750, 2050, 2500, 0.030),
    BURNT: (340, 400, 450, 900, 0.090),
    CLEARING: (640, 980, 1350, 2500, 0.050),
    BARE: (1250, 1700, 2250, 2900, 0.020),
    ROAD: (900, 1250, 1750, 2300, 0.020),
    ROOF: (1900, 2150, 2450, 2900, 0.080),
    YARD: (800, 1080, 1400, 2300, 0.080),
}


@lru_cache(maxsize=4)
def reflectance_table(dryness: float) -> np.ndarray:
    """What every code reflects in a season.

    Args:
        dryness: 0 for the wet season, 1 for the dry one; grass and ripening crops follow it.

    Returns:
        (5, 256) float32: Blue, Green, Red, NIR in reflectance x 10000, and the roughness.
    """
    table = np.zeros((5, 256), dtype="float32")
    stops = np.array(_RAMP_STOPS)
    # Dry seasons push grassland along the ramp; closed forest stays as it is.
    position = np.arange(RAMP)
    position = np.clip(position + (dryness - 0.5) * 10 * (position / RAMP) ** 0.7, 0, RAMP - 1)
    for band in range(5):
        table[band, :RAMP] = np.interp(position, stops[:, 0], stops[:, band + 1])
    fields = np.array(_FIELD_STOPS)
    along = np.linspace(0, len(fields) - 1, N_FIELDS)
    for band in range(5):
        table[band, FIELDS : FIELDS + N_FIELDS] = np.interp(along, np.arange(len(fields)), fields[:, band])
    for code, values in _SINGLE.items():
        table[:, code] = values
    table.flags.writeable = False
    return table
