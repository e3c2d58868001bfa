"""The least cloudy mosaic of each quad, by the study's rule.

A quad's score in a mosaic is the mean, over the scenes that it was made from, of cloud and heavy haze in percent; the
lowest wins and ties keep the later month. The scores are of whole scenes, not of the pixels that made it into the
mosaic.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from segmentation.core.journal import Journal
from segmentation.core.progress import progress
from segmentation.geo.grid import quad_name
from segmentation.imagery.cache import Quad
from segmentation.imagery.planet.client import Mosaic, PlanetClient


@dataclass(frozen=True)
class ChosenMosaic:
    """A quad's mosaic, and its score where scene metadata decided."""

    mosaic: Mosaic
    cloud: float | None = None


class CloudScores:
    """Scenes behind quads and their cloudiness, each asked for once and kept on disk.

    Args:
        client: of the API.
        folder: keeps ``scenes_of_quads.jsonl`` and ``scene_clouds.jsonl``.
        threads: requests at the same time.
        quiet: no progress bars.
    """

    def __init__(self, client: PlanetClient, folder: Path, threads: int, *, quiet: bool = False):
        self._client = client
        self._threads = threads
        self._quiet = quiet
        self._scenes = Journal(folder / "scenes_of_quads.jsonl")
        self._clouds = Journal(folder / "scene_clouds.jsonl")

    def choose(self, quads: Sequence[Quad], candidates: Sequence[Mosaic], default: Mosaic) -> dict[Quad, ChosenMosaic]:
        """The least cloudy candidate of every quad; the default where no candidate has a score.

        Args:
            quads: to choose for.
            candidates: in the order of time.
            default: for quads without metadata.
        """
        self._ask_for_scenes(quads, candidates)
        asked = [
            (quad, number, scene)
            for quad in quads
            for number, mosaic in enumerate(candidates)
            for scene in self._scenes.get(_key(mosaic, quad))
        ]
        self._ask_for_clouds(sorted({scene for _, _, scene in asked}))
        table = pd.DataFrame(asked, columns=["quad", "number", "scene"])
        table["cloud"] = table["scene"].map(self._clouds.get).astype("float64")
        scores = table.groupby(["quad", "number"])["cloud"].mean().dropna().reset_index()
        best = scores.sort_values(["cloud", "number"], ascending=[True, False]).drop_duplicates("quad")
        chosen = {row.quad: ChosenMosaic(candidates[row.number], round(row.cloud, 3)) for row in best.itertuples()}
        return {quad: chosen.get(quad, ChosenMosaic(default)) for quad in quads}

    def _ask_for_scenes(self, quads: Sequence[Quad], candidates: Sequence[Mosaic]) -> None:
        pairs = [(mosaic, quad) for quad in quads for mosaic in candidates]
        missing = [(mosaic, quad) for mosaic, quad in pairs if _key(mosaic, quad) not in self._scenes]
        with ThreadPoolExecutor(self._threads) as pool:
            answers = pool.map(lambda pair: self._client.scenes_of(pair[0], *pair[1]), missing)
            bar = progress(answers, total=len(missing), desc="scenes", unit="quad", quiet=self._quiet or not missing)
            for (mosaic, quad), scenes in zip(missing, bar, strict=True):
                self._scenes.keep(_key(mosaic, quad), scenes)
        self._scenes.tidy()

    def _ask_for_clouds(self, scenes: Sequence[str]) -> None:
        missing = [scene for scene in scenes if scene not in self._clouds]
        with progress(total=len(missing), desc="clouds", unit="scene", quiet=self._quiet or not missing) as bar:
            for answer in self._client.scene_clouds(missing):
                for scene, cloud in answer.items():
                    self._clouds.keep(scene, cloud)
                bar.update(len(answer))
        self._clouds.tidy()


def _key(mosaic: Mosaic, quad: Quad) -> str:
    return f"{mosaic.name}/{quad_name(*quad)}"
