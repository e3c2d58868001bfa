"""Training as it is typed: tied to its data, stopped and gone on with, and one line for whatever is wrong."""

import copy
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.trainings import write_config, write_dataset, write_pair
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS

from segmentation.core import cli
from segmentation.core.errors import PipelineError
from segmentation.core.workspace import REPOSITORY, Workspace
from segmentation.train import __main__ as train
from segmentation.train.checkpoints import Checkpoint, WholeFileBackend, good_checkpoints
from segmentation.train.data import anchor_data_roots, choose_folder, config_roots, leaf_datasets, point_to
from segmentation.train.faults import explain
from segmentation.train.record import refuse_other_data
from segmentation.train.settings import anchor_weights, check_config, parse_change, read_config
from segmentation.train.shared_memory import fit_workers
from segmentation.train.stopping import StopSignals

DONE, REFUSED = 0, 2


@HOOKS.register_module()
class SignalAt(Hook):
    """Sends a signal during an iteration of training or validation."""

    def __init__(self, number, training=None, validation=None):
        self.number, self.training, self.validation = number, training, validation

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx + 1 == self.training:
            self.send()

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx + 1 == self.validation:
            self.send()

    def send(self):
        """To this process and the workers that load chips, as a terminal or a batch system does."""
        workers = multiprocessing.active_children()
        signal.raise_signal(self.number)
        for worker in workers:
            os.kill(worker.pid, self.number)


@HOOKS.register_module()
class Diary(Hook):
    """Writes down which chips are trained on."""

    def __init__(self, path):
        self.path = path

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        with Path(self.path).open("a") as file:
            file.writelines(f"{batch_idx} {Path(s.img_path).stem}\n" for s in data_batch["data_samples"])


@TRANSFORMS.register_module()
class KilledHere(BaseTransform):
    """Ends the process that loads a chip, as a system without memory does."""

    def transform(self, results):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def typed(monkeypatch, capsys):
    """The command as it is typed, in this process: its status and what it printed on stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["train", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.run(train.main, train.arguments())
        told = capsys.readouterr()
        return left.value.code, told.out, told.err

    return run


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Pictures this small are not worth more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workspace, a config and the folder of a run of two iterations on it."""
    root = tmp_path_factory.mktemp("trained")
    folder = write_dataset(root / "data")
    config = write_config(root / "small.py", folder, default_hooks__checkpoint__interval=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", str(config), "--work-dir", str(root / "run")])
        assert train.main(train.arguments()) == DONE
    return root


@pytest.fixture
def kept(trained, tmp_path):
    """A copy of that run, to be spoilt, on the same data."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path / "run"


def lines(text):
    """What was said, without the warnings of other packages."""
    return [line for line in text.splitlines() if line.startswith(("error:", "WARNING:", "stopp"))]


def state(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def steps(folder):
    return sorted(int(re.search(r"\d+", path.name)[0]) for path in folder.glob("iter_*.pth"))


def test_a_finished_run_says_so_and_keeps_what_it_was_trained_on(trained, typed):
    status, out, _ = typed(trained / "small.py", "--work-dir", trained / "run")
    assert status == DONE
    assert "trained already" in out
    kept = json.loads((trained / "run" / "data.json").read_text())
    [account] = kept["datasets"]["train"]
    year = trained / "data" / "segmentation" / "2019"
    assert (account["data_root"], account["label_year"], account["chips"]) == (str(year), 2019, 4)
    assert [account["chips"] for account in kept["datasets"]["val"]] == [2]


def test_training_stays_where_it_was_started_and_finds_what_its_config_names(trained, tmp_path, typed, monkeypatch):
    """Configs name data from the repository's root on, the command line what it names from where it is typed."""
    year = os.path.relpath(trained / "data" / "segmentation" / "2019", REPOSITORY)
    write_config(tmp_path / "small.py", year, default_hooks__checkpoint__interval=1)
    shutil.copytree(trained / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    status, out, _ = typed("small.py", "--work-dir", "run")
    assert (status, "trained already" in out) == (DONE, True)
    assert Path.cwd() == tmp_path


def test_paths_of_a_config_start_from_one_folder_wherever_they_nest(tmp_path):
    (tmp_path / "mit.pth").touch()
    datasets = [leaf(), {"type": "RepeatDataset", "dataset": {"data_prefix": {"img_path": "a"}}}]
    backbone = {"init_cfg": {"type": "Pretrained", "checkpoint": "mit.pth"}, "pretrained": "https://example.org/a.pth"}
    model = {"backbone": backbone, "decode_head": [{"init_cfg": {"checkpoint": "zoo_name"}}]}
    loader = {"dataset": {"type": "ConcatDataset", "datasets": datasets}}
    config = Config({"train_dataloader": loader, "model": model, "load_from": "mit.pth"})
    anchor_data_roots(config, tmp_path)
    anchor_weights(config, tmp_path)
    assert config_roots(config) == [str(tmp_path / "here"), str(tmp_path)]
    assert config.load_from == config.model.backbone.init_cfg.checkpoint == str(tmp_path / "mit.pth")
    assert config.model.backbone.pretrained == "https://example.org/a.pth"
    assert config.model.decode_head[0].init_cfg.checkpoint == "zoo_name"


def edited_mask(year):
    path = year / "ann_dir" / "train" / "train1.tif"
    shutil.copy(year / "ann_dir" / "val" / "val0.tif", path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edited_chip(year):
    """Another content of the same length."""
    path = year / "img_dir" / "train" / "train1.tif"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def added_chip(year):
    write_pair(year, "train", "more", np.random.default_rng(5))


def removed_validation(year):
    for kind in ("img_dir", "ann_dir"):
        (year / kind / "val" / "val1.tif").unlink()


def other_polygons(year):
    (year / "settings.json").write_text('{"polygons": "others"}')


@pytest.mark.parametrize("change", [edited_mask, edited_chip, added_chip, removed_validation, other_polygons])
def test_other_data_in_the_same_folder_are_refused_and_nothing_is_touched(trained, kept, tmp_path, typed, change):
    year = tmp_path / "data" / "segmentation" / "2019"
    shutil.copytree(trained / "data" / "segmentation" / "2019", year)
    change(year)
    before = state(kept)
    status, _, err = typed(trained / "small.py", "--work-dir", kept, "--data-root", tmp_path / "data")
    assert status == REFUSED
    [line] = lines(err)
    assert "holds a run on other data" in line
    assert "--work-dir FOLDER" in line
    assert "--checkpoint FOLDER/iter_N.pth" in line
    assert "--restart" in line
    assert state(kept) == before


def test_another_label_year_is_other_data(trained, kept, tmp_path, typed):
    write_dataset(trained / "data", seed=2, train=3, year=2022)
    status, _, err = typed(trained / "small.py", "--work-dir", kept, "--label-year", 2022)
    assert status == REFUSED
    assert f"4 chips of {trained}/data/segmentation/2019, now 3 chips of {trained}/data/segmentation/2022" in err


def test_the_same_data_elsewhere_are_the_same_data(trained, kept, tmp_path, typed):
    shutil.copytree(trained / "data" / "segmentation" / "2019", tmp_path / "moved" / "segmentation" / "2019")
    status, out, _ = typed(trained / "small.py", "--work-dir", kept, "--data-root", tmp_path / "moved")
    assert (status, "trained already" in out) == (DONE, True)


def test_restart_sets_the_former_run_aside_and_says_where(small, kept, typed):
    before = state(kept)
    stopping = [{"type": "SignalAt", "number": int(signal.SIGTERM), "training": 1}]
    status, out, _ = typed(small(2, custom_hooks=stopping), "--work-dir", kept, "--restart")
    assert status == 128 + signal.SIGTERM
    former = kept / "former_1"
    assert f"set aside: 4 files of the former run, now in {former}" in out
    assert {name: before[name] for name in state(former)} == state(former)
    assert sorted(state(former)) == ["data.json", "iter_1.pth", "iter_2.pth", "last_checkpoint"]
    assert steps(kept) == [1]


def test_a_run_from_before_its_data_were_recorded_is_taken_over_with_a_word(trained, kept, typed, caplog):
    (kept / "data.json").unlink()
    status, out, _ = typed(trained / "small.py", "--work-dir", kept)
    assert (status, "trained already" in out) == (DONE, True)
    assert "was trained before its data were recorded" in caplog.text
    assert (kept / "data.json").is_file()


def test_a_run_from_before_on_other_folders_is_refused(trained, kept, tmp_path, typed):
    (kept / "data.json").unlink()
    write_dataset(tmp_path / "data", seed=3)
    status, _, err = typed(trained / "small.py", "--work-dir", kept, "--data-root", tmp_path / "data")
    assert status == REFUSED
    [line] = lines(err)
    assert f"of {trained}/data/segmentation/2019; now it would be {tmp_path}/data/segmentation/2019" in line


def test_a_run_from_before_whose_config_names_no_folder_is_refused(tmp_path):
    newest = Checkpoint(tmp_path / "iter_1.pth", 1, True, "train_dataloader = dict(dataset=dict(data_root=None))\n")
    data = {"datasets": {"train": [{"data_root": "/here"}], "val": []}, "fingerprint": "0"}
    with pytest.raises(PipelineError, match="of nobody knows which; now it would be /here"):
        refuse_other_data(tmp_path, data, newest)


def test_a_dataset_that_is_not_there_names_the_step_to_run(trained, tmp_path, typed):
    config, run = trained / "small.py", tmp_path / "run"
    status, _, err = typed(config, "--work-dir", run, "--data-root", tmp_path / "none", "--label-year", 2021)
    assert status == REFUSED
    [line] = lines(err)
    assert f"segmentation_dataset_generation.py -year=2021 --label-year=2021 --data-root {tmp_path}/none" in line


def without_validation(year):
    shutil.rmtree(year / "img_dir" / "val")


def without_training(year):
    for path in (year / "img_dir" / "train").iterdir():
        path.unlink()


def without_masks(year):
    shutil.rmtree(year / "ann_dir")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_validation, "nothing to validate on: the val split of"),
        (without_training, "nothing to learn from: the train split of"),
        (without_masks, "4 of 4 chips in .* have no mask, .* run segmentation_dataset_generation.py"),
    ],
)
def test_data_that_are_not_complete_are_one_line(trained, tmp_path, typed, change, message):
    year = write_dataset(tmp_path / "data")
    change(year)
    status, _, err = typed(trained / "small.py", "--work-dir", tmp_path / "run", "--data-root", tmp_path / "data")
    assert status == REFUSED
    [line] = lines(err)
    assert re.search(message, line)


def leaf():
    return {"type": "BaseSegDataset", "data_root": "here"}


@pytest.mark.parametrize(
    ("dataset", "leaves"),
    [
        (leaf(), 1),
        ([leaf(), leaf()], 2),
        ({"type": "ConcatDataset", "datasets": [leaf(), {"type": "RepeatDataset", "dataset": leaf()}]}, 2),
        ({"type": "RepeatDataset", "times": 3, "dataset": [leaf(), leaf()]}, 2),
        ({"type": "MultiImageMixDataset", "dataset": {"type": "BaseSegDataset"}, "pipeline": []}, 1),
    ],
)
def test_data_are_pointed_to_wherever_datasets_nest(tmp_path, dataset, leaves):
    loader = {"batch_size": 2, "dataset": dataset}
    config = Config({"train_dataloader": loader, "val_dataloader": loader, "test_dataloader": None})
    point_to(config, tmp_path)
    found = list(leaf_datasets(config.train_dataloader.dataset))
    assert [one["data_root"] for one in found] == [str(tmp_path)] * leaves
    assert config_roots(config) == [str(tmp_path)] * 2 * leaves


@pytest.mark.parametrize(
    ("workspace", "year", "expected"),
    [
        (None, 2022, "/at/segmentation/2022"),
        ("/other", None, "/other/segmentation/2019"),
        ("/other", 2021, "/other/segmentation/2021"),
    ],
)
def test_workspace_and_label_year_stay_the_configs_own_where_they_are_not_named(workspace, year, expected):
    config = Config({"train_dataloader": {"dataset": {"data_root": "/at/segmentation/2019"}}})
    chosen = choose_folder(config, Workspace(Path(workspace)) if workspace else None, year)
    assert chosen == Path(expected)


def test_a_config_with_a_dataset_of_another_kind_is_pointed_to_the_default_workspace():
    config = Config({"train_dataloader": {"dataset": {"data_root": "/data/cityscapes"}}})
    assert choose_folder(config, None, None) == Workspace().year(2019).path


@pytest.fixture
def small(trained, tmp_path):
    """Writes a config for a few iterations on the chips of the other tests."""

    def write(iterations, **changes):
        return write_config(tmp_path / "small.py", trained / "data" / "segmentation" / "2019", iterations, **changes)

    return write


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_and_the_next_run_goes_on_with_the_same_chips(small, tmp_path, typed, number):
    interrupted, whole = tmp_path / "interrupted.txt", tmp_path / "whole.txt"
    stopping = [{"type": "SignalAt", "number": int(number), "training": 3}]
    hooks = [{"type": "Diary", "path": str(interrupted)}, *stopping]
    config = small(5, custom_hooks=hooks, train_dataloader__num_workers=1)
    run = tmp_path / "run"
    status, _, err = typed(config, "--work-dir", run)
    assert status == 128 + number
    assert lines(err)[-1] == (
        f"stopped by {number.name} after iteration 3: the same command goes on from {run}/iter_3.pth"
    )
    assert (run / "last_checkpoint").read_text() == str(run / "iter_3.pth")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if number == signal.SIGINT:
        unvalidated = {"train_cfg__val_begin": 100}
        config = small(5, custom_hooks=[{"type": "Diary", "path": str(interrupted)}], **unvalidated)
        status, out, _ = typed(config, "--work-dir", run)
        assert (status, f"going on from {run}/iter_3.pth" in out, steps(run)) == (DONE, True, [3, 5])
        config = small(5, custom_hooks=[{"type": "Diary", "path": str(whole)}], **unvalidated)
        typed(config, "--work-dir", tmp_path / "other")
        assert interrupted.read_text() == whole.read_text()


def test_a_signal_in_validation_keeps_what_was_trained(small, tmp_path, typed):
    stopping = [{"type": "SignalAt", "number": int(signal.SIGTERM), "validation": 1}]
    config = small(4, custom_hooks=stopping, train_cfg__val_interval=2, val_dataloader__num_workers=1)
    status, _, err = typed(config, "--work-dir", tmp_path / "run")
    assert status == 128 + signal.SIGTERM
    assert "stopped by SIGTERM after iteration 2" in err
    assert steps(tmp_path / "run") == [2]
    [checkpoint] = good_checkpoints(tmp_path / "run")
    assert (checkpoint.step, checkpoint.resumable) == (2, True)


def test_ctrl_c_in_a_terminal_reaches_the_workers_too_and_loses_nothing(small, tmp_path):
    """The real thing: signals go to every process of the terminal."""
    config = small(100_000, train_dataloader__num_workers=1, default_hooks__checkpoint__interval=100_000)
    command = [sys.executable, "-m", "segmentation.train", config, "--work-dir", tmp_path / "run"]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            list(map(str, command)), cwd=REPOSITORY, stdout=file, stderr=file, start_new_session=True
        )
    try:
        while "Iter(train)" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        status = process.wait(timeout=200)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert status == 130, log.read_text()
    [checkpoint] = good_checkpoints(tmp_path / "run")
    assert checkpoint.resumable
    stopped = f"stopped by SIGINT after iteration {checkpoint.step}: the same command goes on from {checkpoint.path}"
    assert log.read_text().splitlines()[-1] == stopped
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(("second_at_s", "ends"), [(0.2, False), (1.5, True)])
def test_a_second_signal_ends_at_once_unless_it_is_the_first_one_passed_on(second_at_s, ends):
    child = os.fork()
    if child == 0:
        times = iter([0.0, second_at_s])
        signals = StopSignals(say=False, clock=lambda: next(times))
        signals.listen()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        os._exit(7 if signals.received == signal.SIGTERM else 8)
    _, status = os.waitpid(child, 0)
    if ends:
        assert os.WTERMSIG(status) == signal.SIGTERM
    else:
        assert os.waitstatus_to_exitcode(status) == 7


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def emptied(path):
    os.truncate(path, 0)


def scrambled(path):
    path.write_bytes(b"not a checkpoint at all")


@pytest.mark.parametrize("damage", [cut, emptied, scrambled])
@pytest.mark.parametrize("last", ["", "/no/such/iter_9.pth", None], ids=["empty", "elsewhere", "absent"])
def test_the_newest_good_checkpoint_is_found_whatever_is_damaged(kept, caplog, damage, last):
    damage(kept / "iter_2.pth")
    if last is None:
        (kept / "last_checkpoint").unlink()
    else:
        (kept / "last_checkpoint").write_text(last)
    assert [checkpoint.step for checkpoint in good_checkpoints(kept)] == [1]
    assert f"{kept}/iter_2.pth is damaged and left out" in caplog.text


def test_training_goes_on_from_the_newest_good_checkpoint_and_names_the_bad_one(trained, kept, typed, caplog):
    cut(kept / "iter_2.pth")
    (kept / "last_checkpoint").write_text("")
    status, out, _ = typed(trained / "small.py", "--work-dir", kept)
    assert status == DONE
    assert f"going on from {kept}/iter_1.pth" in out
    assert f"{kept}/iter_2.pth is damaged and left out" in caplog.text
    assert [checkpoint.step for checkpoint in good_checkpoints(kept)] == [2, 1]
    assert (kept / "last_checkpoint").read_text() == str(kept / "iter_2.pth")


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_former_one_whole(tmp_path):
    path = tmp_path / "iter_2.pth"
    path.write_bytes(b"the former one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(PipelineError, match="disk full at .*iter_2.pth .*: make room"):
            WholeFileBackend().put(bytes(5000), str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert state(tmp_path) == {"iter_2.pth": b"the former one"}


def test_two_trainings_do_not_share_a_folder(trained, kept, typed):
    with train._locked(kept):
        status, _, err = typed(trained / "small.py", "--work-dir", kept)
    assert status == REFUSED
    assert "another training works in" in lines(err)[0]


def test_workers_are_as_many_as_shared_memory_has_room_for(small, monkeypatch, caplog):
    workers = {"train_dataloader__num_workers": 4, "val_dataloader__num_workers": 2}
    # A picture has 3 bands of a byte, a mask 8 bytes a pixel; in validation, masks are not made small.
    train_bytes = 2 * 64 * 64 * (3 + 8)
    val_bytes = 64 * 64 * 3 + 512 * 512 * 8
    four = (4 * 2 + 1) * train_bytes + (2 * 2 + 1) * val_bytes
    one = (1 * 2 + 1) * train_bytes + (1 * 2 + 1) * val_bytes
    whole = read_config(small(2, **workers))
    for free, expected in ((5 << 30, (4, 2)), (1.05 * four, (4, 2)), (1.05 * one, (1, 1)), (1000, (0, 0))):
        config = copy.deepcopy(whole)
        caplog.clear()
        fit_workers(config, int(free))
        loaders = (config.train_dataloader, config.val_dataloader)
        assert tuple(loader.num_workers for loader in loaders) == expected
        assert tuple(loader.persistent_workers for loader in loaders) == tuple(number > 0 for number in expected)
        assert ("/dev/shm has room for" in caplog.text) == (expected != (4, 2))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    config = copy.deepcopy(whole)
    fit_workers(config, int(1.05 * four))
    assert config.train_dataloader.num_workers < 4


def test_a_worker_that_is_killed_is_one_line(small, tmp_path, typed):
    config = small(2, train_dataloader__num_workers=1)
    text = config.read_text().replace("{'type': 'PackSegInputs'}", "{'type': 'KilledHere'}", 1)
    config.write_text(text)
    status, _, err = typed(config, "--work-dir", tmp_path / "run")
    assert status == REFUSED
    assert re.match("error: a process that loads chips has died, .*num_workers=N", lines(err)[-1])


@pytest.mark.parametrize(
    ("error", "began", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0"), True, "the GPU's memory"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors"), True, "the GPU's memory .*batch_size=N"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True, "memory does not suffice"),
        (MemoryError(), True, "memory does not suffice"),
        (RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"), True, "that loads chips has died"),
        (
            RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nunable to allocate shared memory(shm)"),
            True,
            "/dev/shm has run out",
        ),
        (RuntimeError("DataLoader worker (pid 1) is killed by signal: Bus error. "), True, "/dev/shm has run out"),
        (
            RuntimeError(
                "Caught UnidentifiedImageError in DataLoader worker process 0.\nOriginal Traceback (most recent call "
                "last):\n  File ...\nPIL.UnidentifiedImageError: cannot identify image file\n"
            ),
            True,
            "cannot load a chip or its mask: PIL.UnidentifiedImageError: cannot identify image file; run step 1",
        ),
        (KeyError("'Foo is not in the mmseg::model registry.\n Please check'"), False, "cannot be trained: KeyError"),
        (TypeError("__init__() got an unexpected keyword argument 'bar'"), False, "unexpected keyword argument 'bar'"),
    ],
)
def test_what_the_machine_or_the_config_cannot_do_is_one_line(error, began, message):
    told = explain(error, began=began)
    assert re.search(message, str(told))
    assert "\n" not in str(told)


def test_a_fault_of_the_code_stays_a_traceback():
    assert explain(IndexError("list index out of range"), began=True) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = dict(\n", "SyntaxError"),
        ("_base_ = 'no_such_base.py'\n", "no_such_base.py"),
        ("_base_ = ['a.py', 7]\n", "cannot read the config"),
        ("model = dict(depth=undefined)\n", "undefined"),
        ("raise RuntimeError('two\\nlines')\n", "RuntimeError: two lines"),
        ("custom_imports = dict(imports=['no_such_package'])\n", "no_such_package"),
        ("model = dict(type='EncoderDecoder')\n", "says nothing of train_dataloader, train_cfg, optim_wrapper"),
        ("model = None\ntrain_dataloader = []\n", "says nothing of model, train_dataloader"),
        ("", "says nothing of model"),
    ],
)
def test_a_config_that_cannot_be_used_is_one_line(tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(PipelineError) as refused:
        check_config(read_config(path), path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("val_cfg=None", "has no val_cfg: validation needs all of"),
        ("train_cfg.max_iters=many", "a whole number of at least 1, not 'many'"),
        ("train_cfg.max_iters=0", "a whole number of at least 1, not 0"),
        ("train_dataloader.dataset=None", "names no dataset in train_dataloader"),
        ("train_dataloader.dataset.pipeline.9=1", "does not fit"),
        ("model.backbone.embed_dims.x=1", "does not fit"),
        ("batch_size", "takes KEY=VALUE, not 'batch_size'"),
        ("=3", "takes KEY=VALUE, not '=3'"),
        ("a..b=3", "takes KEY=VALUE"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(small, change, message):
    path = small(2)
    with pytest.raises(PipelineError) as refused:
        check_config(read_config(path, [change]), path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=3", ("a.b", 3)),
        ("a=x=y", ("a", "x=y")),
        ("a.0.b=[1, 2]", ("a.0.b", [1, 2])),
        ("a=None", ("a", None)),
        ("a=/path/to", ("a", "/path/to")),
    ],
)
def test_settings_are_read_as_python_writes_them_else_as_text(text, expected):
    assert parse_change(text) == expected


def test_a_model_that_cannot_be_built_is_one_line(small, tmp_path, typed):
    status, _, err = typed(small(2), "--work-dir", tmp_path / "run", "--cfg-options", "model.backbone.depht=3")
    assert status == REFUSED
    [line] = lines(err)
    assert "the config cannot be trained: TypeError" in line
    assert "depht" in line


def test_an_import_that_a_config_puts_off_is_one_line(small, tmp_path, typed):
    """MMEngine imports what a config without ``_base_`` names only when it is needed."""
    config = small(2)
    text = config.read_text().replace("'type': 'MixVisionTransformer'", "'type': Encoder")
    config.write_text("from no_such_package import Encoder\n" + text)
    status, _, err = typed(config, "--work-dir", tmp_path / "run")
    assert status == REFUSED
    [line] = lines(err)
    assert "no_such_package" in line


def test_help_does_not_wait_for_torch():
    command = [sys.executable, "-X", "importtime", "-m", "segmentation.train", "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "--label-year" in done.stdout
    assert not re.search(r"\| +(torch|mmengine|mmseg)$", done.stderr, re.MULTILINE)
