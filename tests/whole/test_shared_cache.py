"""Runs that share a cache of imagery: nothing is fetched twice, lost, or removed under another one's hands."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import date
from threading import Event

import numpy as np
import pytest
from helpers.step_1 import YEAR, calm_run, counts, digests_under, partial_files, polygons_file, rendered_quads, started

from segmentation.core.errors import PipelineError
from segmentation.core.files import whole_file
from segmentation.core.journal import Journal
from segmentation.core.process import leftovers
from segmentation.core.process.locks import FolderLocks, GivenUp
from segmentation.core.workspace import REPOSITORY, Workspace
from segmentation.demo.planet.faults import Faults
from segmentation.demo.planet.standin import standin
from segmentation.geo.grid import Grid, Windows
from segmentation.imagery.cache import COVERED, PieceRecord, QuadCache, TileCache
from segmentation.imagery.planet.fetch import QuadFetcher
from segmentation.imagery.planet.source import PlanetImagery
from segmentation.imagery.sentinel2.fetch import TileFetcher
from segmentation.imagery.web.client import Server, Web

QUAD = (680, 1018)
NEVER = Event()

KEEP_MANY = """
import sys
from pathlib import Path
from segmentation.core.journal import Journal
records = Journal(Path(sys.argv[1]))
for number in range(60):
    records.keep(f"{sys.argv[2]}-{number}", {"number": number})
    if number % 20 == 0:
        records.tidy()
"""
FOLDER = """
import sys
from pathlib import Path
from threading import Event
from segmentation.imagery.cache import COVERED, QuadCache, PieceRecord
cache = QuadCache(Path(sys.argv[1]))
"""
USE = (
    FOLDER
    + """
cache.begin_reading()
print("ready", flush=True)
sys.stdin.read()
"""
)
FETCH = (
    FOLDER
    + """
with cache.held((680, 1018), Event()):
    print("ready", flush=True)
    sys.stdin.readline()
    cache.path((680, 1018)).write_bytes(b"pixels")
    cache.keep((680, 1018), PieceRecord("m", COVERED, size=6))
sys.stdin.read()
"""
)
WRITE = """
import sys
from pathlib import Path
from segmentation.core.files import whole_file
with whole_file(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print(partial, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def other_process(program, *arguments):
    """A program in another process, once it has printed a line."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        process.said = process.stdout.readline().strip()
        try:
            yield process
        finally:
            process.kill()


def test_what_several_processes_keep_and_tidy_is_all_there(tmp_path):
    path = tmp_path / "facts.jsonl"
    with ExitStack() as stack:
        writers = [stack.enter_context(other_process(KEEP_MANY, path, name)) for name in "abc"]
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    records = Journal(path)
    assert set(records) == {f"{name}-{number}" for name in "abc" for number in range(60)}
    records.tidy()
    assert len(path.read_text().splitlines()) == 180
    assert not partial_files(tmp_path)


def test_what_another_one_has_added_tidied_or_removed_is_noticed(tmp_path):
    mine, other = Journal(tmp_path / "facts.jsonl"), Journal(tmp_path / "facts.jsonl")
    mine.keep("b", 1)
    other.keep("a", 2)
    assert "a" not in mine
    mine.refresh()
    assert mine.get("a") == 2
    other.tidy()
    other.keep("c", 3)
    mine.keep("b", 4)
    other.refresh()
    assert [[records.get(key) for key in "abc"] for records in (mine, other)] == [[2, 4, 3]] * 2
    mine.tidy()
    assert (tmp_path / "facts.jsonl").read_text() == '["a", 2]\n["b", 4]\n["c", 3]\n'
    (tmp_path / "facts.jsonl").unlink()
    mine.keep("d", 5)
    assert sorted(Journal(tmp_path / "facts.jsonl")) == ["d"]


def test_a_record_that_cannot_be_written_and_is_in_order_is_left_alone(tmp_path):
    records = Journal(tmp_path / "facts.jsonl")
    records.keep("a", 1)
    (tmp_path / "facts.jsonl").chmod(0o444)
    inode = (tmp_path / "facts.jsonl").stat().st_ino
    Journal(tmp_path / "facts.jsonl").tidy()
    assert (tmp_path / "facts.jsonl").stat().st_ino == inode


def test_a_half_written_file_is_removed_once_its_owner_is_dead_and_not_before(tmp_path):
    folder = Workspace(tmp_path).year(2019)
    target = folder.quads / "mosaic" / "680-1018.tif"
    with other_process(WRITE, target) as writer:
        partial = target.parent / os.path.basename(writer.said)  # noqa: PTH119
        assert partial.exists()
        with folder.locked():
            assert partial.exists(), "its owner lives"
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.wait(30) == 0
    assert target.read_text() == "half"
    with other_process(WRITE, target) as writer:
        writer.kill()
        time.sleep(0.2)  # it has not been waited for: to the system it is still there
        with folder.locked():
            assert not partial_files(tmp_path)


def test_a_half_written_file_of_another_machine_is_removed_when_it_is_old(tmp_path):
    fresh, old, earlier_version = (
        tmp_path / ".partial-00000000-1-a.tif",
        tmp_path / ".partial-00000000-1-b.tif",
        tmp_path / ".partial-1-c.tif",
    )
    for path in (fresh, old, earlier_version):
        path.touch()
    now, two_days_ago = time.time(), time.time() - 2 * 24 * 3600
    # Not the clock of the file system, which may be another than this process's.
    os.utime(fresh, (now, now))
    os.utime(old, (two_days_ago, two_days_ago))
    leftovers.clear(tmp_path.glob(".partial-*"))
    assert partial_files(tmp_path) == [fresh]


def test_what_an_earlier_process_of_the_same_number_left_is_told_from_what_is_being_written(tmp_path):
    with whole_file(tmp_path / "a.tif") as ours:
        ours.touch()
        left = ours.with_name(ours.name.replace("a.tif", "b.tif"))
        left.touch()
        leftovers.clear(tmp_path.glob(".partial-*"))
        assert partial_files(tmp_path) == [ours]


def test_imagery_behind_a_link_is_cleared_too(tmp_path):
    shared = tmp_path / "shared" / "mosaic"
    shared.mkdir(parents=True)
    (shared / ".partial-1-680-1018.tif").touch()
    folder = Workspace(tmp_path / "data").year(2019)
    folder.quads.mkdir(parents=True)
    (folder.quads / "mosaic").symlink_to(shared)
    with folder.locked():
        assert not partial_files(tmp_path)


def test_a_quad_that_another_process_is_fetching_is_waited_for_and_not_asked_for(tmp_path):
    cache = QuadCache(tmp_path)
    with other_process(FETCH, tmp_path) as other:
        stop = Event()
        stop.set()
        with pytest.raises(GivenUp), cache.held(QUAD, stop):
            pass
        other.stdin.write("\n")
        other.stdin.flush()
        record = QuadFetcher(None, cache, Grid()).fetch(QUAD, None, None)
        assert record == PieceRecord("m", COVERED, size=6)


def test_a_lock_ends_with_the_process_that_held_it(tmp_path):
    with other_process(FETCH, tmp_path) as other:
        other.kill()
        with QuadCache(tmp_path).held(QUAD, NEVER):
            pass


def test_threads_of_a_process_exclude_each_other(tmp_path):
    locks, stop = FolderLocks(tmp_path), Event()
    inside, most = [], []

    def enter(_):
        with locks.held("name", stop):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.002)
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(16)))
    assert max(most) == 1


def test_a_tile_and_a_composite_that_another_run_has_made_are_not_asked_for(tmp_path):
    mine, other = (TileCache(tmp_path) for _ in range(2))
    other.path("21MXP_0_0").write_bytes(b"pixels")
    other.keep("21MXP_0_0", PieceRecord("m", COVERED, size=6, blocks=[1, 2, 3]))
    fetcher = TileFetcher(Web(Server("nobody"), max_rps=1000, tries=1, connections=1), "http://127.0.0.1:9", "m", mine)
    assert fetcher.fetch("21MXP_0_0", [1, 3]).blocks == [1, 2, 3]

    pytest.importorskip("pystac_client")
    pytest.importorskip("odc.stac")
    from segmentation.imagery.stac.cache import CompositeCache, CompositeRecord, SceneRecord
    from segmentation.imagery.stac.maker import CompositeMaker

    mine, other = CompositeCache(tmp_path / "stac"), CompositeCache(tmp_path / "stac")
    square = (512, 1024, 512)
    size = other.write(square, np.zeros((4, 512, 512), "float32"), Grid(14))
    other.keep_scene("scene", SceneRecord("2019-07-01", 1.0, "POINT (0 0)"))
    made = CompositeRecord(COVERED, scenes=["scene"], size=size)
    other.keep(square, made)
    windows = Windows(*(np.array([value]) for value in square))
    period = (date(2019, 6, 1), date(2019, 11, 30))
    assert asdict(CompositeMaker(None, None, mine, Grid(14), None, period, windows).make(square)) == asdict(made)
    assert mine.scene("scene").day == "2019-07-01"


def test_no_quad_is_discarded_while_another_run_uses_it(tmp_path, caplog):
    def discarding():
        """A source after its only window was cut, from a quad that was there."""
        source = PlanetImagery(None, "mosaic", tmp_path, discard=True, threads=1, quiet=True)
        cache = QuadCache(tmp_path / "mosaic")
        cache.folder.mkdir(parents=True, exist_ok=True)
        cache.path(QUAD).write_bytes(b"pixels")
        cache.keep(QUAD, PieceRecord("mosaic", COVERED, size=6))
        col, row = Grid().quad_origin(*QUAD)
        windows = Windows(*(np.array([value]) for value in (col + 600, row + 600, 512)))
        assert [item.problem for item in source.prepare(windows)] == [None]
        source.release([0])
        return source, cache.path(QUAD)

    with other_process(USE, tmp_path / "mosaic"):
        source, quad = discarding()
        assert quad.exists()
        source.close()
        assert quad.exists()
        assert "1 quads were not discarded, since another run uses them too" in caplog.text
    source, quad = discarding()
    assert not quad.exists()
    source.close()


def test_a_quad_that_another_run_has_discarded_meanwhile_is_asked_for(tmp_path):
    def no_key():
        raise PipelineError("no Planet API key")

    cache = QuadCache(tmp_path / "mosaic")
    cache.folder.mkdir()
    cache.path(QUAD).write_bytes(b"pixels")
    cache.keep(QUAD, PieceRecord("mosaic", COVERED, size=6))
    col, row = Grid().quad_origin(*QUAD)
    windows = Windows(*(np.array([value]) for value in (col + 600, row + 600, 512)))
    source = PlanetImagery(no_key, "mosaic", tmp_path, threads=1, quiet=True)
    source.connect(windows)
    assert cache.discard([QUAD])
    with pytest.raises(PipelineError, match="no Planet API key"):
        list(source.prepare(windows))


def test_two_runs_that_share_a_cache_fetch_every_quad_once_and_make_the_same_chips(tmp_path, tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    calm, polygons = calm_run(base), polygons_file(tmp_path)
    (tmp_path / "tiles").mkdir()
    roots = [tmp_path / "one", tmp_path / "other"]
    for root in roots:
        root.mkdir()
        (root / "tiff_tiles").symlink_to(tmp_path / "tiles")
    with standin(rendered_quads(base), faults=Faults({"slow": 0.7})) as url, ExitStack() as stack:
        runs = [stack.enter_context(started(root, polygons, url, "--quiet")) for root in roots]
        printed = [run.communicate(timeout=300)[0] for run in runs]
        assert [run.returncode for run in runs] == [0, 0], printed
        asked = counts(url)["requests"]
    quads = {path: number for path, number in asked["api"].items() if "/quads/" in path}
    assert quads == {path: 1 for path in calm.counts["requests"]["api"] if "/quads/" in path}
    assert not partial_files(tmp_path)
    [record] = (tmp_path / "tiles").rglob("quads.jsonl")
    names = {path.rpartition("/quads/")[2].removesuffix("/full") for path in quads}
    assert set(Journal(record)) == names
    own = {name: digest for name, digest in calm.digests.items() if name.startswith("segmentation/")}
    for root in roots:
        made = digests_under(root / "segmentation" / str(YEAR))
        assert {f"segmentation/{YEAR}/{name}": digest for name, digest in made.items()} == own
