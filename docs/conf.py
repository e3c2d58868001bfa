"""The documentation site: ``make docs`` writes it to site/, where index.html opens without a server."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
# The pages of the commands ask the commands' own parsers.
sys.path[:0] = [str(_HERE / "_ext"), str(_HERE.parent)]

project = "Mapping mining areas"
copyright = "the Mapping Mining Areas contributors"
extensions = ["myst_parser", "option_lists"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext", "_static"]

# Headings get anchors, so that a page may link to a section of another as it does on a forge.
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
# Shell lines with $variables and output together are no language that a lexer knows.
highlight_language = "none"
