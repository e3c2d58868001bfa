"""Planet's APIs as the pipeline needs them: mosaics, quads, and the scenes behind a quad."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import QUAD_PX, Grid, quad_name
from segmentation.imagery.planet.blocks import fetch_blocks
from segmentation.imagery.planet.key import KEY_NAMES
from segmentation.imagery.web.client import NoRanges, NotGiven, Server, Web
from segmentation.imagery.web.sessions import host_of
from segmentation.imagery.web.traffic import Traffic

API_URL = "https://api.planet.com/basemaps/v1"
_BASEMAPS, _DATA = "/basemaps/v1", "/data/v1"

_NOT_GIVEN = (403, 404)
_SCENE_TYPE = "PSScene"
# Mosaics that are named where the one asked for is not among them.
_NAMED = 12
# The most ids that one search takes.
_SEARCH_IDS = 250


class QuadNotCovered(Exception):
    """The mosaic has no imagery for this quad that the key may download."""


@dataclass(frozen=True)
class Mosaic:
    """A basemap mosaic as the API describes it."""

    id: str
    name: str


class PlanetClient:
    """A client for one key and one API address, safe to use from several threads.

    Args:
        key: the API key.
        api_url: address of the Basemaps API; the Data API is its neighbour.
        max_rps: requests a second, all threads together.
        tries: how often a request is tried before it has failed for good.
        connections: size of the connection pool, the number of threads.
    """

    def __init__(self, key: str, api_url: str = API_URL, *, max_rps: float = 5.0, tries: int = 8, connections: int = 8):
        self._api_url = api_url.rstrip("/")
        self._data_url = self._api_url.removesuffix(_BASEMAPS) + _DATA
        server = Server(
            host=host_of(api_url),
            domain="planet.com",
            key=key,
            check_address="check --api-url",
            check_answers="does not answer as Planet's Basemaps API does; check --api-url (or PL_API_URL)",
            check_key=f"check {', '.join(KEY_NAMES)} or .env",
        )
        self._web = Web(server, max_rps=max_rps, tries=tries, connections=connections)

    @property
    def traffic(self) -> Traffic:
        """What has gone over the wire."""
        return self._web.traffic

    def mosaic(self, name: str) -> Mosaic:
        """Find a mosaic by its exact name.

        Raises:
            PipelineError: the key is refused or does not see this mosaic, or it is of another kind.
        """
        found = next(self._listing("/mosaics", "mosaics", {"name__is": name}), None)
        if found is None:
            seen = sorted(item["name"] for item in self._listing("/mosaics", "mosaics", {"_page_size": 250}))
            more = ", ..." if len(seen) > _NAMED else ""
            sees = f"it sees {len(seen)}: {', '.join(seen[:_NAMED])}{more}" if seen else "it sees none at all"
            raise PipelineError(f"mosaic {name} is not visible to this API key; {sees}")
        # What the API leaves out is as usual.
        quad_px = found.get("grid", {}).get("quad_size", QUAD_PX)
        level = found.get("level", Grid().level)
        dtype = found.get("datatype")
        if (quad_px, level) != (QUAD_PX, Grid().level) or dtype not in {"uint16", None}:
            raise PipelineError(
                f"mosaic {name} has quads of {quad_px} px at level {level} in {dtype}; "
                f"needed are {QUAD_PX} px, level {Grid().level}, uint16 (an analytic mosaic)"
            )
        return Mosaic(found["id"], found["name"])

    def quad_link(self, mosaic: Mosaic, x: int, y: int) -> str:
        """Address from which a quad can be downloaded. It may hold the key: never store or log it.

        Raises:
            QuadNotCovered: the mosaic has no such quad, or this key may not download it.
            PipelineError: the request failed for good.
        """
        status, quad = self._web.json(self._quad_url(mosaic, x, y), accept=_NOT_GIVEN)
        if status in _NOT_GIVEN:
            raise QuadNotCovered(f"the API answers {status}")
        link = quad.get("_links", {}).get("download")
        if not link:
            raise QuadNotCovered("no download link")
        return link

    def download(self, link: str, target: Path, check: Callable[[Path], None]) -> None:
        """Download a quad; it has its name only once it has passed the check.

        Raises:
            QuadNotCovered: the download answers 403 or 404.
            PipelineError: it failed for good.
        """
        status = self._web.download(link, target, check, accept=_NOT_GIVEN)
        if status in _NOT_GIVEN:
            raise QuadNotCovered(f"the download answers {status}")

    def download_blocks(self, link: str, target: Path, blocks: Sequence[int], grid: Grid, x: int, y: int) -> bool:
        """Download some blocks of a quad, see ``planet.blocks.fetch_blocks``.

        Returns:
            Whether the server can do that; if not, there is no file.

        Raises:
            QuadNotCovered: the download answers 403 or 404.
            PipelineError: it failed for good.
        """
        try:
            fetch_blocks(self._web, link, target, blocks, grid, x, y)
        except NotGiven as refusal:
            raise QuadNotCovered(f"the download answers {refusal.status}") from None
        except NoRanges:
            return False
        return True

    def scenes_of(self, mosaic: Mosaic, x: int, y: int) -> list[str]:
        """Ids of the PlanetScope scenes that a quad was made from, sorted; none where there is no such quad.

        Links name scenes as ``.../item-types/TYPE/items/ID``, some with a fragment behind; other satellites'
        scenes (RapidEye) carry no cloud figures and are left out.
        """
        status, first = self._web.json(f"{self._quad_url(mosaic, x, y)}/items", accept=_NOT_GIVEN)
        if status in _NOT_GIVEN:
            return []
        scenes = set()
        for item in self._pages(first, "items"):
            *_, item_type, _, scene = urlsplit(item["link"]).path.split("/")
            if _SCENE_TYPE in item_type:
                scenes.add(scene)
        return sorted(scenes)

    def scene_clouds(self, ids: Iterable[str]) -> Iterator[dict[str, float | None]]:
        """Cloud and heavy haze of scenes, percent of the scene, added up; None where the metadata does not say.

        Asks for at most 250 scenes at a time. Answers have been seen to leave scenes out that smaller searches find,
        so these are asked for again in halves, as long as that finds any.

        Yields:
            The figures of one search after another, by id.
        """
        pending = iter(ids)
        while batch := list(islice(pending, _SEARCH_IDS)):
            yield self._clouds(batch)

    def _clouds(self, batch: list[str]) -> dict[str, float | None]:
        conditions = [
            {"type": "StringInFilter", "field_name": "id", "config": batch},
            {"type": "StringInFilter", "field_name": "item_type", "config": [_SCENE_TYPE]},
        ]
        search = {"item_types": [_SCENE_TYPE], "filter": {"type": "AndFilter", "config": conditions}}
        _, first = self._web.json(f"{self._data_url}/quick-search", params={"_page_size": _SEARCH_IDS}, body=search)
        found = {scene["id"]: _cloudiness(scene["properties"]) for scene in self._pages(first, "features")}
        left_out = [scene for scene in batch if scene not in found]
        if not found:
            return dict.fromkeys(batch)
        half = -(-len(left_out) // 2)
        for part in filter(None, (left_out[:half], left_out[half:])):
            found |= self._clouds(part)
        return found

    def _quad_url(self, mosaic: Mosaic, x: int, y: int) -> str:
        return f"{self._api_url}/mosaics/{mosaic.id}/quads/{quad_name(x, y)}"

    def _listing(self, path: str, key: str, params: dict) -> Iterator[dict]:
        _, first = self._web.json(self._api_url + path, params)
        yield from self._pages(first, key)

    def _pages(self, page: dict, key: str) -> Iterator[dict]:
        """Entries of a listing, page after page, until there is no ``_next``."""
        yield from page.get(key, [])
        while following := page.get("_links", {}).get("_next"):
            _, page = self._web.json(following)
            yield from page.get(key, [])


def _cloudiness(properties: dict) -> float | None:
    cloud, haze = properties.get("cloud_percent"), properties.get("heavy_haze_percent")
    return None if cloud is None or haze is None else float(cloud) + float(haze)
