"""What numbers mean as reflectance: in a quad of Planet's, and in a chip."""

from __future__ import annotations

import numpy as np

from segmentation.imagery.source import Pixels

# DN 1 is reflectance 0, DN 255 is 0.508 in the visible and 0.635 in the near infrared: bright tailings reach about
# 0.35 to 0.40 (99.9 % of the pixels of real tailings scenes lie below 0.37) and stay unsaturated.
BAND_SCALES = (0.002, 0.002, 0.002, 0.0025)
NO_DATA = 0
STRETCH, PUBLISHED = "stretch", "published"

# Bands of an analytic quad, 1-based: blue, green, red, near infrared and, in most, alpha.
RED, GREEN, BLUE, NIR, ALPHA = 3, 2, 1, 4, 5
# DN per unit of reflectance of the normalized analytic mosaics.
REFLECTANCE_SCALE = 1e-4


def encode(pixels: Pixels, encoding: str = STRETCH) -> np.ndarray:
    """Reflectance to DN: (bands, 512, 512) uint8, 0 where not valid.

    ``STRETCH`` gives 1 to 255 elsewhere. ``PUBLISHED`` repeats what the study's scripts did to reflectance x 10000:
    255 times that, wrapped around at 16 bits, of which readers of the chips took the upper 8.
    """
    if encoding == PUBLISHED:
        # Clipped to what quads hold: a cast would turn what is below or beyond into some other number.
        quad_dn = np.clip(np.rint(pixels.reflectance / np.float32(REFLECTANCE_SCALE)), 0, 65535).astype("uint32")
        dn = ((255 * quad_dn % 65536) >> 8).astype("uint8")
    else:
        scales = np.array(BAND_SCALES[: len(pixels.reflectance)], "float32")[:, None, None]
        dn = np.clip(np.rint(pixels.reflectance / scales) + 1, 1, 255).astype("uint8")
    return np.where(pixels.valid, dn, np.uint8(NO_DATA))
