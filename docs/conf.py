"""How Sphinx builds the documentation: `tox -e docs`."""

from importlib.metadata import version as version_of

project = "Cloacina"
author = "The Cloacina authors"
copyright = "The Cloacina authors"  # noqa: A001 - Sphinx goes by this name
version = release = version_of("cloacina")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "changelog.d", "README.md"]
nitpicky = True
# The names of types in signatures and docstrings are for people; pages are what has to be there.
nitpick_ignore_regex = [("py:.*", ".*")]

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "undoc-members": False}
default_role = "code"
napoleon_numpy_docstring = False
python_display_short_literal_types = True

html_theme = "furo"
html_title = f"Cloacina {release}"
