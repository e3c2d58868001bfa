"""Step 1 on a few polygons of the demo, as a user starts it, and what several tests ask about a run."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urljoin

import requests

from segmentation.core.files import fingerprint
from segmentation.core.workspace import REPOSITORY
from segmentation.demo.landscape.sites import literature_polygons
from segmentation.demo.planet.faults import COUNTS_PATH, Faults
from segmentation.demo.planet.standin import DEMO_KEY, standin
from segmentation.imagery.planet.key import KEY_NAMES

YEAR = 2019
# A mine across two quads, two in the midst of one, and one in a quad that no key may download.
POLYGONS = ("kolwezi-07", "linden-02", "linden-03", "linden-08")
QUADS = 4
_LONGEST_S = 300


@dataclass(frozen=True)
class Done:
    """How a run ended."""

    status: int
    printed: str


@dataclass(frozen=True)
class Calm:
    """What an uninterrupted run without faults leaves, and what it asks for."""

    digests: dict[str, str]
    counts: dict


def rendered_quads(base: Path) -> Path:
    """The quads that stand-ins have rendered so far, for all tests together.

    Args:
        base: the folder of this session's tests, ``tmp_path_factory.getbasetemp()``.
    """
    return base / "rendered"


def polygons_file(folder: Path) -> Path:
    """The polygons as a file."""
    path = folder / "polygons.gpkg"
    drawn = literature_polygons()
    drawn[drawn["id"].isin(POLYGONS)].to_file(path)
    return path


@contextmanager
def started(root: Path, polygons: Path, api_url: str, *options, year: int = YEAR, key: str = DEMO_KEY):
    """Start step 1 in a process group of its own; no key but the given one, wherever the tests run.

    ``api_url`` is None where the options name another source of imagery.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in KEY_NAMES}
    source = ("--data-root", root, "--polygons", polygons, "--max-rps", 100, "--workers", 2)
    if api_url is not None:
        source += ("--api-url", api_url)
    command = ("segmentation_dataset_generation.py", f"-year={year}", *source, *options)
    with subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=REPOSITORY,
        env=inherited | {"PL_API_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen) -> None:
    """End a run without warning, its worker processes too."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(*arguments, **settings) -> Done:
    """Run step 1 to its end."""
    with started(*arguments, **settings) as process:
        printed, _ = process.communicate(timeout=_LONGEST_S)
        return Done(process.returncode, printed)


def digests_under(folder: Path) -> dict[str, str]:
    """Fingerprints of everything that a run left, but for locks, which are empty."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): fingerprint(path) for path in files}


def partial_files(folder: Path) -> list[Path]:
    """What an interrupted run left half-written."""
    return list(folder.rglob(".partial-*"))


def counts(api_url: str) -> dict:
    """What the stand-in has counted so far."""
    return requests.get(urljoin(api_url, COUNTS_PATH), timeout=10).json()


@lru_cache(maxsize=1)
def calm_run(base: Path) -> Calm:
    """One uninterrupted run without faults, for all tests together."""
    root = base / "calm"
    root.mkdir()
    with standin(rendered_quads(base), faults=Faults()) as url:
        done = run(root / "data", polygons_file(root), url, "--quiet")
        assert done.status == 0, done.printed
        return Calm(digests_under(root / "data"), counts(url))
