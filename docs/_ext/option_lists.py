"""The directive ``{options} COMMAND``: all options of a command, from its own parser, while the site is built.

Nothing is written down twice, so nothing can be out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator

from docutils import nodes
from parsers import groups_of, help_of, parser_of, typed_as
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

# An option within a help text, with its value where that is joined to it.
_OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z-]+(?:=[\w.,-]*\w)?)")


class Options(SphinxDirective):
    """Lists the arguments of a command under the headings that its ``--help`` has."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """The headings and lists."""
        parser = parser_of(self.arguments[0])
        found: list[nodes.Node] = []
        for title, actions in groups_of(parser).items():
            found.append(nodes.rubric("", title))
            found.append(_list(parser, actions))
        return found


def _list(parser: argparse.ArgumentParser, actions: list[argparse.Action]) -> nodes.definition_list:
    items = nodes.definition_list()
    for action in actions:
        term = nodes.term("", "", nodes.literal("", typed_as(action)))
        if action.required and action.option_strings:
            term += nodes.Text(" (required)")
        text = nodes.paragraph("", "", *_with_options_marked(help_of(parser, action)))
        items += nodes.definition_list_item("", term, nodes.definition("", text))
    return items


def _with_options_marked(text: str) -> Iterator[nodes.Node]:
    for place, part in enumerate(_OPTION.split(text)):
        if part:
            yield nodes.literal("", part) if place % 2 else nodes.Text(part)


def _refuse_torch(app: Sphinx, failure: Exception | None) -> None:
    """A parser that imports torch would make every ``--help`` slow."""
    heavy = sorted({"torch", "mmengine", "mmseg"} & sys.modules.keys())
    if heavy and failure is None:
        raise ExtensionError(f"a command's parser() imports {', '.join(heavy)}: import it where it is used")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive and of the check."""
    app.add_directive("options", Options)
    app.connect("build-finished", _refuse_torch)
    return {"parallel_read_safe": True}
