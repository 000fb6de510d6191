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


_of_attributes: dict[str, list[str]] = {}


def before_napoleon(*asked: Any) -> None:
    """Make code of what stands in single backticks, and put docstrings of attributes aside."""
    _app, what, name, _thing, _options, lines = asked
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line) for line in lines]
    if what in {"attribute", "property"}:
        _of_attributes[name] = list(lines)


def after_napoleon(*asked: Any) -> None:
    """Bring docstrings of attributes back: napoleon took what stands before a colon for a type."""
    _app, _what, name, _thing, _options, lines = asked
    lines[:] = _of_attributes.pop(name, lines)


def setup(app: Any) -> None:
    """Stand around napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
