"""Pictures: Matplotlib without a display, and PNGs that appear whole."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from segmentation.core.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pyplot() -> ModuleType:
    """``matplotlib.pyplot``, drawing without a display; imported with the first call, as that takes long."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    return plt


def save_png(figure: Figure, path: Path, dpi: int) -> None:
    """Write a PNG whole, and let go of the figure.

    Args:
        figure: made with ``pyplot``, which keeps it in memory until it is closed here.
        path: of the PNG.
        dpi: dots an inch.

    Raises:
        DiskFull: there is no room.
        PipelineError: the folder cannot be written to.
    """
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=dpi, format="png")
    pyplot().close(figure)
