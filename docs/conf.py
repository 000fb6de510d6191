"""How Sphinx builds the documentation: `tox -e docs`."""

import re
from importlib.metadata import version as version_of
from typing import Any

project = "Cloacina"
author = "The Cloacina authors"
copyright = "The Cloacina authors"  # noqa: A001 - Sphinx goes by this name
version = release = version_of("cloacina")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "changelog.d", "README.md"]
nitpicky = True
# The names of types in signatures and docstrings are for people; pages are what has to be there.
nitpick_ignore_regex = [("py:.*", ".*")]
suppress_warnings = ["ref.python"]  # attributes of several classes have one name

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_numpy_docstring = False
python_display_short_literal_types = True

html_theme = "furo"
html_title = f"Cloacina {release}"


def tidy(
    _app: object, what: str, _name: str, _thing: object, _options: object, lines: list[str]
) -> None:
    """Make docstrings what Sphinx expects, before napoleon reads them."""
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line) for line in lines]
    if what in {"attribute", "property"}:
        lines.insert(0, "")  # or napoleon takes what stands before a colon for a type


def setup(app: Any) -> None:
    """Be asked for docstrings earlier than napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", tidy, priority=400)
