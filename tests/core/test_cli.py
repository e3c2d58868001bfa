"""Command lines, as users type them."""

import argparse
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from segmentation.core import cli
from segmentation.core.errors import PipelineError
from segmentation.core.process.workers import Crew
from segmentation.core.workspace import DATA_ROOT, DEMO_ROOT, REPOSITORY

STEP_1 = ["segmentation_dataset_generation.py"]
STEP_3 = ["gpkg_dataset_generation.py"]
EVALUATE = ["-m", "segmentation.evaluate"]


def call(*arguments):
    """A command of ours in its own process, without a Planet key."""
    environment = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=environment,
        check=False,
    )


@pytest.fixture
def parser():
    return cli.model_options(cli.common_options(argparse.ArgumentParser()))


@pytest.mark.parametrize(
    "year", [["-year=2019"], ["--year=2019"], ["--year", "2019"], ["-y", "2019"], ["-year", "2019"]]
)
@pytest.mark.parametrize("model", [["-model=b5", "-iter=16"], ["--model", "b5", "--iter", "16"]])
def test_years_and_models_are_named_in_any_habit(parser, year, model):
    options = parser.parse_args([*year, *model])
    assert (options.year, options.model, options.iter) == (2019, "b5", 16)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["-year=2019"],
        ["-year=last", "-iter=1"],
        ["-year=2019", "-iter=0"],
        ["-year=2019", "-iter=1", "--workers=0"],
        ["-year=2019", "-iter=1", "--quiet", "--verbose"],
    ],
    ids=" ".join,
)
def test_typing_errors_are_refused_with_status_two(parser, wrong, capsys):
    with pytest.raises(SystemExit) as left:
        parser.parse_args(wrong)
    assert left.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "1", "-0.5", "1.5", "nan"])
def test_a_threshold_lies_strictly_between_none_and_all(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a number strictly between 0 and 1"):
        cli.share(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e9", "five", ""])
def test_a_rate_is_a_number_above_zero_and_below_madness(text):
    for rate in (cli.requests_a_second, cli.megabits_a_second):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a number from"):
            rate(text)
        assert rate("0.5") == 0.5


def test_years_are_one_or_several():
    assert cli.years("2016") == [2016]
    assert cli.years("2016-2018,2020") == [2016, 2017, 2018, 2020]
    for wrong in ("2018-2016", "2016-", "2016,,2017", "all"):
        with pytest.raises(argparse.ArgumentTypeError):
            cli.years(wrong)


def test_the_demo_never_mixes_with_real_data(parser):
    def root(*more):
        return cli.workspace(parser.parse_args(["-year=2019", "-iter=1", *more])).root

    assert root() == DATA_ROOT
    assert root("--demo") == DEMO_ROOT != DATA_ROOT
    assert root("--data-root", "elsewhere") == root("--demo", "--data-root", "elsewhere") == Path("elsewhere")


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        (cli.DONE, 0, ""),
        (cli.INCOMPLETE, 1, ""),
        (PipelineError("no polygons"), 2, "error: no polygons\n"),
        (KeyboardInterrupt(), 130, "interrupted: run the same command again to go on\n"),
    ],
    ids=["done", "incomplete", "refused", "interrupted"],
)
def test_how_a_command_ended_is_its_exit_status(parser, capsys, outcome, status, said):
    def main(options):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    with pytest.raises(SystemExit) as left:
        cli.run(main, parser.parse_args(["-year=2019", "-iter=1"]))
    assert left.value.code == status
    assert capsys.readouterr().err == said


def test_a_killed_worker_is_one_line(parser, capsys):
    def main(_):
        with Crew(1) as crew:
            return crew.submit(os._exit, 1).result()

    with pytest.raises(SystemExit) as left:
        cli.run(main, parser.parse_args(["-year=2019", "-iter=1"]))
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: a worker process was killed, most likely because memory ran short")
    assert len(said.splitlines()) == 1


def test_a_checkpoint_takes_the_place_of_the_iteration(parser):
    options = parser.parse_args(["-year=2019", "--checkpoint", "published.pth"])
    assert (options.iter, options.checkpoint) == (None, Path("published.pth"))


@pytest.mark.parametrize("text", ["", "a_b", "../up", "a b"])
def test_a_suffix_is_part_of_a_file_s_name(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no suffix; letters, digits and hyphens"):
        cli.suffix(text)
    assert cli.suffix("mean-070") == "mean-070"


@pytest.mark.parametrize("script", [STEP_1, STEP_3, EVALUATE], ids=lambda script: script[-1])
def test_help_is_quick_to_come_and_states_defaults(script):
    found = call("-X", "importtime", *script, "--help")
    assert found.returncode == 0
    assert "default:" in found.stdout
    imported = {line.split("|")[-1].strip() for line in found.stderr.splitlines()}
    assert "segmentation.core.cli" in imported
    assert not imported & {"torch", "mmseg", "mmcv", "mmengine"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*STEP_1, "-year=2019"], "no polygons at"),
        ([*STEP_1, "-year=2031"], "year 2031 is out of range"),
        ([*STEP_3, "-year=2019", "-model=nosuchmodel", "-iter=1"], "no config of a model 'nosuchmodel'"),
        ([*STEP_3, "-year=2019", "--config=LICENSE", "--checkpoint=LICENSE", "-iter=1"], "no windows of 2019"),
        ([*EVALUATE, "-year=2019", "--config=LICENSE", "--checkpoint=LICENSE", "-iter=1"], "no windows of 2019"),
    ],
    ids=["no polygons", "no such year", "no such model", "no windows", "nothing to evaluate"],
)
def test_what_a_user_can_mend_is_one_line(tmp_path, arguments, message):
    found = call(*arguments, "--data-root", tmp_path)
    assert found.returncode == 2
    assert message in found.stderr
    assert found.stderr.startswith("error: ")
    assert len(found.stderr.splitlines()) == 1
    assert not found.stdout


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1", "utf-8"])
def test_a_name_that_the_locale_cannot_show_does_not_end_a_command(monkeypatch, encoding):
    said = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", said)
    name = "Côte d'Ivoire, Đắk Nông, \udce4.tif"  # the last as a file name in another encoding arrives
    with pytest.raises(SystemExit) as left:
        cli.run(lambda _: print(name) or cli.DONE, argparse.Namespace(verbose=False))
    assert left.value.code == cli.DONE
    said.flush()
    assert said.buffer.getvalue().decode(encoding) == name.encode(encoding, "backslashreplace").decode(encoding) + "\n"
