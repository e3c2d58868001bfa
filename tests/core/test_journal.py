"""Facts that survive being cut off, and quads that are trusted only when they were checked."""

import pytest

from segmentation.core.errors import PipelineError
from segmentation.core.journal import Journal
from segmentation.imagery.cache import COVERED, FAILED, NOT_COVERED, PieceRecord, QuadCache

QUAD = (639, 942)


def test_what_was_kept_is_there_again(tmp_path):
    records = Journal(tmp_path / "deep" / "facts.jsonl")
    records.keep("b", [1, 2])
    records.keep("a", {"x": None})
    records.keep("b", "newer")
    again = Journal(tmp_path / "deep" / "facts.jsonl")
    assert (again.get("a"), again.get("b"), again.get("c")) == ({"x": None}, "newer", None)
    assert sorted(again) == ["a", "b"]
    assert "c" not in again


def test_a_line_that_was_cut_off_is_forgotten_and_harms_no_other(tmp_path):
    path = tmp_path / "facts.jsonl"
    Journal(path).keep("a", 1)
    with path.open("a") as file:
        file.write('["b", {"half')
    records = Journal(path)
    assert "b" not in records
    records.keep("c", 3)
    records.keep("d", 4)
    again = Journal(path)
    assert [again.get(key) for key in "abcd"] == [1, None, 3, 4]


def test_a_file_in_the_place_of_its_folder_is_one_clear_line(tmp_path):
    (tmp_path / "folder").touch()
    records = Journal(tmp_path / "folder" / "facts.jsonl")
    with pytest.raises(PipelineError, match="cannot write to"):
        records.keep("a", 1)


def test_a_tidy_file_does_not_tell_the_order_of_events(tmp_path):
    for name, order in (("one", "abc"), ("other", "cabb")):
        records = Journal(tmp_path / name)
        for key in order:
            records.keep(key, key.upper())
        records.tidy()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.fixture
def cache(tmp_path):
    return QuadCache(tmp_path / "mosaic")


def put(cache, content=b"pixels"):
    cache.folder.mkdir(parents=True, exist_ok=True)
    cache.path(QUAD).write_bytes(content)


def test_a_file_nobody_checked_is_not_trusted(cache):
    put(cache)
    assert not cache.is_complete(QUAD)


def test_a_checked_file_is_trusted_while_it_stays_as_it_was(cache):
    put(cache)
    cache.keep(QUAD, PieceRecord("m", COVERED, size=6))
    assert QuadCache(cache.folder).is_complete(QUAD)
    put(cache, b"pix")
    assert not cache.is_complete(QUAD)
    cache.path(QUAD).unlink()
    assert not cache.is_complete(QUAD)


@pytest.mark.parametrize(("status", "settled"), [(NOT_COVERED, True), (FAILED, False)])
def test_what_is_not_covered_is_not_asked_again_but_what_failed_is(cache, status, settled):
    cache.keep(QUAD, PieceRecord("m", status, "some reason"))
    assert QuadCache(cache.folder).is_complete(QUAD) is settled
    assert QuadCache(cache.folder).record(QUAD).reason == "some reason"
