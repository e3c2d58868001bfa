"""Files that are whole or not there, years that one process holds, settings that stay."""

import signal
import subprocess
import sys

import pytest

from segmentation.core.errors import PipelineError
from segmentation.core.files import fingerprint, make_folder, read_json, whole_file, write_json
from segmentation.core.workspace import REPOSITORY, Workspace, keep_settings

HOLD = """
import sys, time
from pathlib import Path
from segmentation.core.workspace import Workspace
with Workspace(Path(sys.argv[1])).year(2019).locked():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path):
    return Workspace(tmp_path).year(2019)


def test_the_workspace_is_laid_out_as_published(tmp_path, folder):
    inside = [
        path.relative_to(tmp_path).as_posix()
        for path in (
            Workspace(tmp_path).polygons,
            folder.chip("train", "17"),
            folder.mask("val", "17"),
            folder.predicted("segformer_160000"),
            Workspace(tmp_path).year(2019).quads,
        )
    ]
    assert inside == [
        "segmentation/mining_polygons_combined.gpkg",
        "segmentation/2019/img_dir/train/17.tif",
        "segmentation/2019/ann_dir/val/17.tif",
        "segmentation/2019/gpkg/global_mining_polygons_predicted_2019_segformer_160000.gpkg",
        "tiff_tiles/2019",
    ]


def test_two_years_share_no_file(tmp_path):
    one, other = Workspace(tmp_path).year(2019), Workspace(tmp_path).year(2020)
    assert not other.path.is_relative_to(one.path)
    assert not one.path.is_relative_to(other.path)
    with one.locked(), other.locked():
        assert one.path.is_dir()


def test_a_file_appears_whole(tmp_path):
    target = tmp_path / "deep" / "down" / "a.txt"
    with whole_file(target) as partial:
        partial.write_text("half")
        assert not target.exists()
        assert partial.suffix == ".txt", "drivers choose the format by the suffix"
    assert target.read_text() == "half"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_nothing_and_harms_nothing(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    for name in ("old.txt", "new.txt"):
        with pytest.raises(RuntimeError, match="disk"), whole_file(tmp_path / name) as partial:
            partial.write_text("half")
            raise RuntimeError("disk")
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "old"


def test_a_file_is_replaced_in_one_stroke(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with target.open() as reader:
        with whole_file(target) as partial:
            partial.write_text("new")
            assert target.read_text() == "old"
        assert target.read_text() == "new"
        assert reader.read() == "old", "who has the old file open keeps on reading it"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds 2019."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert process.stdout.readline().strip() == "held"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_year_that_is_worked_on_is_known_to_be(holder, folder):
    assert folder.is_being_worked_on()
    holder.kill()
    holder.wait()
    assert not folder.is_being_worked_on()
    with folder.locked():
        pass


def test_the_same_year_twice_at_once_is_refused(holder, folder):
    with pytest.raises(PipelineError, match="2019 is being worked on by another process") as refused, folder.locked():
        pass
    assert "\n" not in str(refused.value)


def test_a_refused_process_does_not_touch_the_others_half_written_files(holder, folder):
    leftover = folder.path / "img_dir" / "train" / ".partial-1-7.tif"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("half")
    with pytest.raises(PipelineError), folder.locked():
        pass
    assert leftover.exists()


def test_another_year_can_be_worked_on_meanwhile(holder, tmp_path):
    with Workspace(tmp_path).year(2020).locked():
        assert holder.poll() is None


def test_a_killed_process_holds_its_year_no_longer(holder, folder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with folder.locked():
        assert folder.path.is_dir()


def test_a_year_can_be_held_again_after_a_failure(folder):
    with pytest.raises(RuntimeError), folder.locked():
        raise RuntimeError
    with folder.locked():
        assert folder.path.is_dir()


def test_what_an_interrupted_process_left_half_written_is_cleared(folder):
    half = [folder.path / "img_dir" / "train" / ".partial-123-7.tif", folder.path / ".partial-123-windows.gpkg"]
    whole = folder.chip("train", "7")
    whole.parent.mkdir(parents=True)
    for path in (*half, whole):
        path.write_text("x")
    with folder.locked():
        assert not any(path.exists() for path in half)
        assert whole.exists()


def test_settings_stay_or_the_change_is_named(tmp_path):
    path = tmp_path / "2019" / "settings.json"
    first = {"mosaic": "a", "level": 15, "masks": True}
    keep_settings(path, first, "the dataset")
    keep_settings(path, dict(reversed(first.items())), "the dataset")
    with pytest.raises(PipelineError, match="mosaic was a, is now b") as refused:
        keep_settings(path, first | {"mosaic": "b"}, "the dataset")
    assert "level" not in str(refused.value)
    assert "the dataset" in str(refused.value)
    assert str(path.parent) in str(refused.value)
    assert read_json(path) == first


def test_the_settings_of_a_run_that_made_nothing_bind_nobody(folder):
    keep_settings(folder.settings, {"mosaic": "a"}, "the dataset", empty=not folder.holds_chips())
    keep_settings(folder.settings, {"mosaic": "b"}, "the dataset", empty=not folder.holds_chips())
    assert read_json(folder.settings) == {"mosaic": "b"}
    make_folder(folder.chip("val", "7").parent)
    folder.chip("val", "7").touch()
    with pytest.raises(PipelineError, match="mosaic was b, is now a"):
        keep_settings(folder.settings, {"mosaic": "a"}, "the dataset", empty=not folder.holds_chips())


@pytest.mark.parametrize("now", [{"a": 1}, {"a": 1, "b": 2, "c": 3}])
def test_settings_that_come_or_go_are_a_change(tmp_path, now):
    keep_settings(tmp_path / "s.json", {"a": 1, "b": 2}, "it")
    with pytest.raises(PipelineError, match="was made with other settings"):
        keep_settings(tmp_path / "s.json", now, "it")


@pytest.mark.parametrize("below", ["file", "file/deep/down"])
def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PipelineError, match="cannot write to .*--data-root") as refused:
        make_folder(tmp_path / below)
    assert "\n" not in str(refused.value)


def test_a_year_under_a_file_is_refused(tmp_path):
    (tmp_path / "root").write_text("in the way")
    with pytest.raises(PipelineError, match="cannot write to"), Workspace(tmp_path / "root").year(2019).locked():
        pass


def test_json_comes_back_and_a_missing_file_is_empty(tmp_path):
    assert read_json(tmp_path / "none.json") == {}
    write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    assert read_json(tmp_path / "a.json") == {"a": "ü", "b": 1}


def test_a_fingerprint_is_that_of_the_content(tmp_path):
    for name, content in {"a": b"1" * 3_000_000, "b": b"1" * 3_000_000, "c": b"2"}.items():
        (tmp_path / name).write_bytes(content)
    a, b, c = (fingerprint(tmp_path / name) for name in "abc")
    assert a == b != c
    assert len(a) == 64


def test_polygons_with_a_suffix_are_no_run_of_their_own(tmp_path):
    folder = Workspace(tmp_path).year(2019)
    folder.predicted("b5_8").parent.mkdir(parents=True)
    for path in (
        folder.predicted("b5_8"),
        folder.predicted("b5_8", "mean"),
        folder.predicted("b5_8", "8"),
        folder.predicted("b__5_8"),
        folder.postprocessed("b5_8"),
    ):
        path.touch()
    assert Workspace(tmp_path).runs(2019) == ["b5_8", "b__5_8"]
