"""How a source of imagery is offered on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from segmentation.core.workspace import Workspace
from segmentation.imagery.source import ImagerySource


@dataclass(frozen=True)
class OfferedSource:
    """A source of imagery as a command offers it.

    Attributes:
        title: of its options in the help.
        add_options: adds its own options to a group of a parser and returns them.
        make: makes it from the command line; what has to end with the run goes onto the stack.
    """

    title: str
    add_options: Callable[[argparse._ArgumentGroup], list[argparse.Action]]
    make: Callable[[argparse.Namespace, Workspace, ExitStack], ImagerySource]
