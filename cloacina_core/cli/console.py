"""What every command shares: common options, output, errors.

Results go to stdout, talk goes to stderr. With `--json`, stdout carries exactly one JSON document
and an error is a JSON object on stderr.
"""

import functools
import json
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from cloacina_core.cli.entitlement import perform
from cloacina_core.errors import CloacinaError
from cloacina_core.foundation.clock import Clock, SystemClock
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.settings import ResolvedSettings, Settings, read_settings

if TYPE_CHECKING:
    from cloacina_core.model.access import Act, Principal
    from cloacina_core.plugin.manager import Plugins
    from cloacina_core.runtime.gate import EachTold
    from cloacina_core.runtime.sources import Sources
    from cloacina_core.runtime.view import StoreView
    from cloacina_core.store.opening import StoreOpener

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130

_CHECKED = "cloacina_checked"
"""What marks a function that passes the gate."""

_COMMON = (
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
    click.option("--home", type=click.Path(path_type=Path), help="Use this home folder."),
    click.option("--database-url", metavar="URL", help="Use this store."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors."),
    click.option("--debug", is_flag=True, help="Show tracebacks."),
)


class Console:
    """A command's way to the world."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        debug: bool = False,
        flags: Mapping[str, Any] | None = None,
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.debug = debug
        self.acts_for: Principal | None = None
        """Whose API key was given; None: nobody's, and it is for the user of this process."""
        self.each: EachTold | None = None
        """Tells of each thing that the command changes; None: nobody is told."""
        self.require_again: Callable[[], object] = lambda: None
        """Refuses who may no longer do what the command does, which takes its time."""
        self._flags = dict(flags or {})
        self._results: TextIO | None = None
        """Where results go; None: to standard output as it is."""

    @cached_property
    def resolved_settings(self) -> ResolvedSettings:
        """The settings with their origins."""
        return read_settings(os.environ, Path.cwd(), self._flags)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.resolved_settings.settings

    @property
    def clock(self) -> Clock:
        """The clock of this host."""
        return SystemClock()

    @property
    def user(self) -> str | None:
        """Whose API key was given, for histories; None: nobody's."""
        return None if self.acts_for is None else self.acts_for.name

    @cached_property
    def plugins(self) -> "Plugins":
        """The plugins of the environment, but those that are blocked; looked up once."""
        from cloacina_core.plugin.manager import Plugins  # noqa: PLC0415 - most don't need it

        return Plugins.of_environment(self.settings.blocked_plugins)

    @cached_property
    def sources(self) -> "Sources":
        """Where workflows come from: distributions that are installed, and the registry."""
        from cloacina_core.runtime.sources import Sources  # noqa: PLC0415 - most don't need it

        return Sources(self.view, self.plugins)

    @cached_property
    def view(self) -> "StoreView":
        """The view that plugins have of the runtime; the store is opened when it is first used."""
        from cloacina_core.runtime.view import open_view  # noqa: PLC0415 - most don't need it

        return open_view(self.settings, self.plugins, acts_for=self.acts_for, store=self.store)

    @cached_property
    def store(self) -> "StoreOpener":
        """The store, which all that a command does opens once."""
        from cloacina_core.store.opening import StoreOpener  # noqa: PLC0415 - as above

        return StoreOpener(self.settings.database_url, self.clock)

    def acting_on(self, name: str) -> AbstractContextManager[None]:
        """Have the audit tell that one of several things is changed within a block."""
        return nullcontext() if self.each is None else self.each.acting_on(name)

    def acted_on(self, names: Iterable[str]) -> None:
        """Have the audit tell of each of several things that it was changed."""
        if self.each is not None:
            self.each.acted_on(names)

    def close(self) -> None:
        """Close the store, if it was opened."""
        if "store" in self.__dict__:
            self.store.close()

    @property
    def is_terminal(self) -> bool:
        """Whether a person sees stderr, so that moving pictures make sense."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def has_colour(self) -> bool:
        """Whether stderr may be coloured; see no-color.org."""
        return self.is_terminal and not os.environ.get("NO_COLOR")

    def keep_output_for_results(self) -> None:
        """Have nothing but results on stdout, whatever tasks print that run in this process."""
        from cloacina_core.cli.result_stream import take_output  # noqa: PLC0415 - few run tasks

        if self._results is None:
            self._results = take_output()

    def emit(self, value: JsonValue, text: str | None = None) -> None:
        """Print the result: the value with `--json`, else the text (if any)."""
        if self.as_json:
            self._result(json.dumps(value, indent=2, ensure_ascii=False))
        elif text is not None:
            self._result(printable(text))

    def _result(self, text: str, *, nl: bool = True) -> None:
        click.echo(text, file=self._results, nl=nl)

    def emit_pages(
        self,
        pages: Iterable[Sequence[T]],
        to_json: Callable[[T], JsonValue],
        to_text: Callable[[Sequence[T]], str],
    ) -> int:
        """Print a list that may be longer than memory, and return its length.

        With `--json` it is one document all the same.
        """
        count = 0
        for page in pages:
            if not self.as_json:
                self._result(printable(to_text(page)))
                count += len(page)
                continue
            for item in page:
                text = json.dumps(to_json(item), indent=2, ensure_ascii=False)
                self._result(",\n" if count else "[\n", nl=False)
                self._result(textwrap.indent(text, "  "), nl=False)
                count += 1
        if self.as_json:
            self._result("\n]" if count else "[]")
        return count

    def say(self, text: str) -> None:
        """Tell a person something, on stderr; not with `--quiet`."""
        if not self.quiet:
            click.echo(printable(text), err=True)

    def warn(self, text: str) -> None:
        """Warn, on stderr, also with `--quiet`."""
        click.echo(f"{self._style('warning:', 'yellow')} {printable(text)}", err=True)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
        """Return a table in plain text, columns as wide as their widest cell."""
        cells = [list(headers), *([str(cell) for cell in row] for row in rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )
        return "\n".join(lines)

    def report(self, error: CloacinaError) -> int:
        """Tell an error, and return the exit status that it asks for."""
        if self.debug:
            traceback.print_exception(error)
        if self.as_json:
            click.echo(json.dumps({"error": _error_json(error)}, ensure_ascii=False), err=True)
            return error.exit_status
        told = printable(error.message)
        click.echo(f"{self._style(f'error[{error.code}]:', 'red')} {told}", err=True)
        for problem in error.problems:
            click.echo(f"  - {printable(str(problem))}", err=True)
        if error.hint:
            click.echo(f"{self._style('help:', 'cyan')} {printable(error.hint)}", err=True)
        return error.exit_status

    def report_internal(self, error: Exception) -> int:
        """Tell an error that is our own fault, and return its exit status."""
        if self.debug:
            traceback.print_exception(error)
        else:
            click.echo(
                f"error[internal]: {type(error).__name__}: {error}\n"
                "help: this is a fault of Cloacina; --debug shows where it is",
                err=True,
            )
        return EXIT_INTERNAL

    def _style(self, text: str, colour: str) -> str:
        return click.style(text, fg=colour, bold=True) if self.has_colour else text


def printable(text: str) -> str:
    """Return text with its control characters spelled out: a stranger's may steer the terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text
    )


def _error_json(error: CloacinaError) -> dict[str, JsonValue]:
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "problems": [problem.to_json() for problem in error.problems],
        "exit_status": error.exit_status,
        **error.facts(),
    }


def usage_json(error: click.UsageError) -> dict[str, JsonValue]:
    """Return arguments that can't be read as `--json` tells an error."""
    command = "cloacina" if error.ctx is None else error.ctx.command_path
    return {
        "code": "usage",
        "message": error.format_message(),
        "hint": f"see: {command} --help",
        "problems": [],
        "exit_status": error.exit_code,
    }


def command_options(function: F) -> F:
    """Add the options that every command has. Stands above `pass_console`."""
    for option in reversed(_COMMON):
        function = option(function)
    return function


def pass_console(function: Callable[..., Any]) -> Callable[..., None]:
    """Pass a `Console` as first argument, tell errors, and end with their exit status.

    A command that returns a number ends with it.
    """

    @functools.wraps(function)
    def command(**options: Any) -> None:
        console = Console(
            as_json=options.pop("as_json"),
            quiet=options.pop("quiet"),
            debug=options.pop("debug"),
            flags={"home": options.pop("home"), "database_url": options.pop("database_url")},
        )
        context = click.get_current_context()
        context.exit(_call(console, context, function, options))

    vars(command)[_CHECKED] = True
    return command


def is_checked(function: Callable[..., Any]) -> bool:
    """Whether a command's function passes the gate by itself: `pass_console` made it."""
    return getattr(function, _CHECKED, False)


def call_checked(context: click.Context, function: Callable[[], object]) -> None:
    """Call a command that knows nothing of consoles, if who calls it may."""

    def call(_console: Console) -> None:
        function()

    if status := _call(Console(), context, call, {}):
        context.exit(status)


def _act(context: click.Context) -> "Act | None":
    """Return what calling a command does, as the tree says that it hangs on."""
    tree: Any = context.find_root().command
    if not hasattr(tree, "act"):
        return None  # it is called by itself, as a piece of Python
    act: Act | None = tree.act(context)
    return act


def _call(
    console: Console,
    context: click.Context,
    function: Callable[..., Any],
    options: dict[str, Any],
) -> int:
    def call(
        principal: "Principal | None", each: "EachTold | None", again: Callable[[], object]
    ) -> int:
        console.acts_for, console.each, console.require_again = principal, each, again
        return function(console, **options) or 0

    try:
        return perform(
            _act(context), context, lambda: console.settings, lambda: console.store, call
        )
    except CloacinaError as error:
        return console.report(error)
    except (KeyboardInterrupt, click.Abort):
        console.say("interrupted")
        return EXIT_INTERRUPTED
    except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - the last place that can speak to the user
        return console.report_internal(error)
    finally:
        console.close()
