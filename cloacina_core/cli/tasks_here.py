"""The runtime of a command that runs tasks in its own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cloacina_core.cli.console import Console

if TYPE_CHECKING:
    from cloacina_core.runtime import Runtime


@contextmanager
def runtime_of(console: Console) -> "Iterator[Runtime]":
    """Open a runtime on the command's store, for the runs that it starts or goes on with.

    It takes up no others, and standard output is for the command's result alone from here on.
    """
    from cloacina_core.runtime import Runtime  # noqa: PLC0415 - not needed for --help

    console.keep_output_for_results()
    with Runtime(
        console.settings,
        console.plugins,
        recover=False,
        pass_output_on=False,
        user=console.user,
        store=console.store,
    ) as runtime:
        yield runtime
