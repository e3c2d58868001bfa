"""The commands and their options as the commands' own parsers know them: for the pages, and for the tests of them."""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType

# By what a user types after ``python``: the module that has the command's ``parser()``.
COMMANDS = {
    "segmentation_dataset_generation.py": "segmentation_dataset_generation",
    "gpkg_dataset_generation.py": "gpkg_dataset_generation",
    "-m segmentation.polygons": "segmentation.polygons.__main__",
    "-m segmentation.train": "segmentation.train.__main__",
    "-m segmentation.evaluate": "segmentation.evaluate.__main__",
    "-m segmentation.overview": "segmentation.overview",
    "-m segmentation.panel": "segmentation.panel.__main__",
}

# What stands in place of a default that differs from machine to machine.
_DEFAULTS = {"workers": "all", "api_url": "https://api.planet.com/basemaps/v1"}


def module_of(command: str) -> ModuleType:
    """The module of a command, which is a key of ``COMMANDS``."""
    return importlib.import_module(COMMANDS[command])


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a command or subcommand.

    Args:
        command: a key of ``COMMANDS``, or one with a subcommand behind it: ``-m segmentation.polygons.__main__``.

    Raises:
        KeyError: there is no such command.
    """
    if command in COMMANDS:
        return module_of(command).parser()
    front, _, subcommand = command.rpartition(" ")
    if front in COMMANDS:
        return subcommands_of(parser_of(front))[subcommand]
    raise KeyError(f"no command {command!r}; there are {', '.join(COMMANDS)}")


def subcommands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a command's subcommands, by name; none for most commands."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


def groups_of(parser: argparse.ArgumentParser) -> dict[str, list[argparse.Action]]:
    """A parser's arguments by the headings under which ``--help`` lists them, without ``--help`` itself."""
    groups = {}
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if not _is_hidden(action)]
        if shown:
            groups[(group.title or "").capitalize()] = shown
    return groups


def _is_hidden(action: argparse.Action) -> bool:
    return action.help is argparse.SUPPRESS or isinstance(action, argparse._HelpAction)


def typed_as(action: argparse.Action) -> str:
    """What is typed: ``--workers N``, or the name of a positional argument."""
    if not action.option_strings:
        return str(action.metavar or action.dest)
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {_value_of(action)}"


def _value_of(action: argparse.Action) -> str:
    if action.metavar:
        name = str(action.metavar)
    elif action.choices:
        name = "{" + ",".join(map(str, action.choices)) + "}"
    else:
        name = action.dest.upper()
    return {"+": f"{name} ...", "?": f"[{name}]"}.get(str(action.nargs), name)


def help_of(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help text of an argument as ``--help`` prints it, but with defaults that hold on every machine."""
    if action.dest in _DEFAULTS:
        action.default = _DEFAULTS[action.dest]
    return parser._get_formatter()._expand_help(action) if action.help else ""
