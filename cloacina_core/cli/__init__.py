"""The `cloacina` command: one module for each noun, imported when it is called."""

from cloacina_core.cli.tree import main

__all__ = ["main"]
