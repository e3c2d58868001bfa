"""What is typed on a command line: numbers within their bounds, years, files and folders."""

import argparse
import importlib
import runpy
import sys

import pytest

from segmentation.core import cli
from segmentation.core.arguments import Number, WholeNumber, Years, a_file, a_folder, a_new_file, a_path
from segmentation.core.workspace import REPOSITORY

NO_NUMBERS = ["nan", "inf", "-inf", "1e400", "1_000", "٣", " 5 ", "", "0x10", "1,5", "five", "9" * 5000, "1e", "--"]
COMMANDS = [
    "evaluate.__main__",
    "panel.__main__",
    "overview",
    "train.__main__",
    "polygons.__main__",
    "demo.planet.server",
]
SCRIPTS = ["segmentation_dataset_generation", "gpkg_dataset_generation"]


@pytest.mark.parametrize("text", [*NO_NUMBERS, "0", "-1", "11", "2.0", "1e0"])
def test_a_whole_number_within_bounds_is_digits_alone(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number from 1 to 10") as refused:
        WholeNumber(1, 10)(text)
    assert len(str(refused.value)) < 100
    assert [WholeNumber(1, 10)(text) for text in ("1", "10", "+7", "007")] == [1, 10, 7, 7]


@pytest.mark.parametrize("text", [*NO_NUMBERS, "-0.1", "100.001"])
def test_a_number_within_bounds_is_a_decimal(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a number from 0 to 100$"):
        Number(0, 100)(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("100", 100.0), (".5", 0.5), ("5.", 5.0), ("1e-3", 0.001)])
def test_a_number_is_taken_as_it_is_usually_written(text, value):
    assert Number(0, 100)(text) == value


def test_bounds_can_be_left_out():
    assert Number(0, 1, inside=True)("0.5") == 0.5
    for text in ("0", "1", "1e-400"):
        with pytest.raises(argparse.ArgumentTypeError, match="strictly between 0 and 1"):
            Number(0, 1, inside=True)(text)


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("2016", [2016]),
        ("2016-2018", [2016, 2017, 2018]),
        ("2016,2019-2020", [2016, 2019, 2020]),
        ("2016-2016", [2016]),
    ],
)
def test_years_are_named_in_any_habit(text, years):
    assert cli.years(text) == years


@pytest.mark.parametrize(
    "text", ["", "2016-", "-2016", "2018-2016", "0001-9999", "2016,,2018", "٢٠١٦", "16", "2016 ", "2016--2018"]
)
def test_what_names_no_years_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="2016|1900|before it begins"):
        Years(WholeNumber(1900, 2100, "a year"))(text)


@pytest.mark.parametrize("command", ["overview", "panel.__main__"])
def test_years_are_the_same_everywhere(command, monkeypatch):
    model = ["-model=any", "-iter=1"]
    monkeypatch.setattr(sys, "argv", [command, *model, "--years", "2019,2016", "2018-2019", "2021"])
    assert importlib.import_module(f"segmentation.{command}").arguments().years == [2016, 2018, 2019, 2021]


def arguments_of(command):
    """The function that reads the command line of a command or a script."""
    if command in SCRIPTS:
        return runpy.run_path(str(REPOSITORY / f"{command}.py"))["arguments"]
    module = importlib.import_module(f"segmentation.{command}")
    return getattr(module, "arguments", None) or module.main


@pytest.fixture
def numbers(monkeypatch):
    """Every option of a command that takes numbers, with its bounds, and what the command's help says."""

    def of(command):
        found = []

        def parse(parser, arguments=None, namespace=None):
            parsers = [parser]
            for action in parser._actions:
                if isinstance(action, argparse._SubParsersAction):
                    parsers += action.choices.values()
            found.append((parsers, " ".join(" ".join(one.format_help() for one in parsers).split())))
            raise SystemExit(0)

        monkeypatch.setattr(cli.Parser, "parse_args", parse)
        monkeypatch.setattr(sys, "argv", [command])
        with pytest.raises(SystemExit):
            arguments_of(command)()
        [(parsers, text)] = found
        return [action for parser in parsers for action in parser._actions], text

    return of


@pytest.mark.parametrize("command", [*COMMANDS, *SCRIPTS])
def test_no_command_takes_a_number_without_bounds_and_help_states_them(command, numbers):
    actions, text = numbers(command)
    for action in actions:
        assert action.type not in (int, float), action.option_strings
        bounds = getattr(action.type, "bounds", None)
        if bounds:
            assert f", {bounds}" in text


def test_a_refused_number_is_one_line_that_names_option_value_and_bounds(capsys):
    parser = cli.common_options(cli.Parser())
    with pytest.raises(SystemExit) as left:
        parser.parse_args(["-year=2019", "--workers=1e3"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: argument --workers: '1e3' is not a whole number from 1 to 1024")
    assert said.count("\n") == 1


@pytest.mark.parametrize("text", ["٣", "cuda:٣", "cuda:", "gpu", "", "0,", "-1", "cuda:99999"])
def test_devices_are_named_by_plain_numbers(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no device|is not the number of a GPU"):
        cli.devices(text)
    assert cli.devices("0,cuda:1,cpu,cuda") == ("cuda:0", "cuda:1", "cpu", "cuda")


def test_paths_are_what_they_are_needed_for(tmp_path):
    file, missing = tmp_path / "file", tmp_path / "new" / "file"
    file.touch()
    for kind, wrong, why in (
        (a_path, "", "names no file"),
        (a_path, " ", "names no file"),
        (a_folder, file, "is no folder"),
        (a_folder, file / "below", "is a file"),
        (a_file, tmp_path, "is a folder, a file is needed"),
        (a_file, missing, "there is no file"),
        (a_new_file, tmp_path, "is a folder, the name of a file is needed"),
        (a_new_file, file / "below", "is a file"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=why):
            kind(str(wrong))
    assert [a_folder(str(tmp_path)), a_folder(str(missing)), a_file(str(file)), a_new_file(str(missing))] == [
        tmp_path,
        missing,
        file,
        missing,
    ]


def test_a_file_that_may_not_be_read_is_said(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(argparse.ArgumentTypeError, match="permission denied"):
        a_file(str(file))
