"""A bar for long work, on a terminal; nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from cloacina_core.cli.console import Console

Bar: TypeAlias = Callable[[int, int], None]
"""Told how much was done, and of how much."""


def _ignore(_done: int, _total: int) -> None:
    """Show nothing."""


@contextmanager
def bar(console: Console, what: str) -> Iterator[Bar]:
    """Yield what shows how far some work has come."""
    if console.quiet or not console.is_terminal:
        yield _ignore
        return
    from rich.console import Console as RichConsole  # noqa: PLC0415 - imported when drawing
    from rich.progress import Progress  # noqa: PLC0415

    screen = RichConsole(stderr=True, no_color=not console.has_colour)
    with Progress(console=screen, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
