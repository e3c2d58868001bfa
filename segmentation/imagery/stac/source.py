"""A STAC collection as an imagery source: one composite a window, made while others are cut."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from segmentation.core.errors import PipelineError
from segmentation.core.workspace import keep_settings
from segmentation.geo.grid import CHIP_PX, CRS, Grid, Windows
from segmentation.imagery.cache import COVERED, FAILED
from segmentation.imagery.rasters.bands import COLOURS
from segmentation.imagery.rasters.scales import Reflectance
from segmentation.imagery.source import Forecast, Prepared
from segmentation.imagery.stac.bands import Bands, find_bands, listed_reflectance
from segmentation.imagery.stac.cache import CompositeCache, CompositeReader, CompositeRecord
from segmentation.imagery.stac.catalogue import Catalogue, retries
from segmentation.imagery.stac.looks import SceneSelection
from segmentation.imagery.stac.maker import CompositeMaker, cell_of, squares_of
from segmentation.imagery.stac.pixels import ScenePixels
from segmentation.imagery.stac.tokens import Tokens, token_url
from segmentation.imagery.web.parallel import as_they_end
from segmentation.imagery.web.redaction import without_query
from segmentation.windows.record import Footprint

# Of 10 m imagery.
LEVEL = 14
_UNIT, _PIECE = "scene", "composite"
# The API's landing page, the collection, one of its scenes.
_TO_CONNECT = 3

log = logging.getLogger(__name__)


class StacImagery:
    """Cloud-masked medians of the scenes of a collection.

    Every window's composite is kept beside the quads of other sources, with a record of the scenes behind it, in
    ``windows.jsonl``; remove that file to have all windows asked for again.

    Args:
        catalogue: has the collection.
        year: in which the season ends.
        selection: which scenes make a composite.
        cache: folder of the year's imagery.
        level: of the grid.
        bands: assets of red, green, blue and near infrared, if the usual names will not do.
        reflectance: how numbers become reflectance in scenes that do not say it.
        sas_url: where access tokens come from; None for the Planetary Computer's own, in its catalogue alone.
        threads: windows that are read at the same time.
        tries: how often a request is tried before it has failed for good.
        quiet: no progress bars.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        year: int,
        selection: SceneSelection,
        cache: Path,
        *,
        level: int | None = None,
        bands: Sequence[str] | None = None,
        reflectance: Reflectance | None = None,
        sas_url: str | None = None,
        threads: int = 4,
        tries: int = 8,
        quiet: bool = False,
    ):
        self.grid = Grid(LEVEL if level is None else level)
        self._catalogue = catalogue
        self._selection = selection
        self._period = selection.season.of(year)
        self._named = tuple(bands or ())
        self._given = reflectance
        self._tries = tries
        self._tokens = Tokens(sas_url or token_url(catalogue.url, catalogue.collection), retries(tries))
        self._cache = CompositeCache(
            cache / "_".join([re.sub(r"[^\w.-]+", "-", catalogue.collection), *map(str, self._period)])
        )
        self._threads = threads
        self._quiet = quiet
        self._pixels: ScenePixels | None = None

    @property
    def traffic(self) -> None:
        """Not counted: GDAL sends most of the requests."""
        return

    def settings(self) -> dict[str, str | int]:
        """The catalogue, the collection, and which of its scenes are combined how."""
        return {
            "imagery": f"stac:{self._catalogue.collection}",
            "mosaic": f"{self._catalogue.collection} {'/'.join(map(str, self._period))}",
            "level": self.grid.level,
            "bands": " ".join(COLOURS[: len(self._named) or len(COLOURS)]),
            "catalogue": without_query(self._catalogue.url),
            "looks": self._selection.looks,
            "max_cloud": f"{self._selection.max_cloud:g}",
            "assets": ",".join(self._named) or "as usual",
            "reflectance_scale": str(self._given) if self._given else "as listed",
        }

    def forecast(self, windows: Windows, left: np.ndarray | None = None) -> Forecast:
        """What to expect: all bands of as many scenes as a composite takes, uncompressed; requests to the API alone."""
        squares = squares_of(windows)
        unfinished = squares_of(windows.chosen(left))
        missing = [square for square in unfinished if not self._cache.is_complete(square)]
        complete = [square for square in squares if self._cache.is_complete(square)]
        kept = self._cache.sizes(squares)
        bands = len(self._named) or len(COLOURS)
        plane_bytes = CHIP_PX**2 * 2.0
        return Forecast(
            unit=_PIECE,
            pieces=len(squares),
            covered=len(kept),
            not_covered=len(complete) - len(kept),
            requests=_TO_CONNECT + len({cell_of(square) for square in missing}) if missing else 0,
            piece_bytes=self._selection.looks * bands * plane_bytes,
            kept_bytes=float(np.mean(kept)) if kept else bands * plane_bytes,
            on_disk_bytes=float(sum(kept)),
            spared=len(squares) - len(complete) - len(missing),
        )

    def connect(self, windows: Windows) -> None:
        """Find the collection and its assets, if any window has yet to be made.

        Raises:
            PipelineError: no API answers, it has no such collection, or its scenes do not say what their numbers mean.
        """
        if not all(self._cache.is_complete(square) for square in squares_of(windows)):
            self._connected()

    def _connected(self) -> ScenePixels:
        """What reads the collection's scenes, found out when it is first needed."""
        if self._pixels is None:
            self._pixels = ScenePixels(
                self._find_bands(), self._tokens, self._cache.folder / "offsets.jsonl", self._given, self._tries
            )
        return self._pixels

    def _find_bands(self) -> Bands:
        """The assets to read; says what may not be as expected of what is made of them.

        Raises:
            PipelineError: see ``connect``.
        """
        scene = self._catalogue.connect()
        if scene is None:
            raise PipelineError(f"{self._catalogue.collection} at {self._catalogue.url} has no scenes")
        bands = find_bands(scene, self._named)
        for name in bands.colours:
            listed_reflectance(scene, name, self._given)
        if not bands.classes:
            log.warning(
                "%s has no scene classification (SCL): clouds are not masked, only the least cloudy scenes taken",
                self._catalogue.collection,
            )
        _, last = self._period
        if last >= date.today():
            log.warning("the season goes on until %s: what is made now will lack its later scenes", last)
        return bands

    def prepare(self, windows: Windows) -> Iterator[Prepared]:
        """Make the missing composites; those at hand come out at once, the others as they are done."""
        self._cache.refresh()  # the year is locked now: what other runs have made before is known
        path = self._cache.folder / "settings.json"
        keep_settings(path, self.settings(), "the composites", empty=self._cache.is_empty())
        missing = []
        for position, square in enumerate(squares_of(windows)):
            if self._cache.is_complete(square):
                yield Prepared(position, _problem(self._cache.record(square)))
            else:
                missing.append(position)
        if missing:
            yield from self._make(windows, missing)

    def reader(self) -> CompositeReader:
        """Reads composites."""
        return CompositeReader(self._cache.folder)

    def release(self, positions: Sequence[int]) -> None:
        """Composites stay: making them takes much longer than cutting them."""

    def mark_damaged(self, path: Path) -> None:
        """Have a composite that cannot be read made again."""
        self._cache.mark_damaged(path)

    def close(self) -> None:
        """Leave the records in order, and say which scenes' metadata the pixels contradict."""
        self._cache.tidy()
        if self._pixels is not None:
            self._pixels.offsets.close()

    def footprint(self, windows: Windows) -> Footprint:
        """A piece a scene that gave pixels, by its id."""
        records = [self._cache.get(square) or CompositeRecord(FAILED) for square in squares_of(windows)]
        pairs = [(window, name) for window, record in enumerate(records) for name in record.scenes]
        touched = pd.DataFrame(pairs, columns=["window", "name"]).astype({"window": "int64", "name": object})
        names = sorted(set(touched["name"]))
        scenes = [self._cache.scene(name) for name in names]
        pieces = gpd.GeoDataFrame(
            {
                "name": np.array(names, object),
                "mosaic": self.settings()["mosaic"],
                "status": COVERED,
                "reason": "",
                "day": np.array([scene.day for scene in scenes], object),
                "cloud": np.array([scene.cloud for scene in scenes], "float64"),
            },
            geometry=gpd.GeoSeries.from_wkt([scene.outline for scene in scenes], crs="EPSG:4326").to_crs(CRS),
        )
        return Footprint(_UNIT, pieces, touched)

    def _make(self, windows: Windows, missing: list[int]) -> Iterator[Prepared]:
        """Make the composites of the windows at some positions; each comes out as it is done."""
        pixels = self._connected()
        todo = windows.chosen(np.array(missing))
        maker = CompositeMaker(
            self._catalogue, pixels, self._cache, self.grid, self._selection, self._period, windows=todo
        )
        jobs = {position: (square,) for position, square in zip(missing, squares_of(todo), strict=True)}
        ended = as_they_end(
            maker.make, jobs, give_up=maker.give_up, threads=self._threads, unit=_PIECE, quiet=self._quiet
        )
        for position, record in ended:
            yield Prepared(position, _problem(record))


def _problem(record: CompositeRecord) -> str | None:
    """Why a window with this record cannot be cut, None if it can."""
    return None if record.status == COVERED else record.status
