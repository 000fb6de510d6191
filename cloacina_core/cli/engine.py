"""`cloacina engine`: an engine that runs until it is stopped."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError
from cloacina_core.runtime import DatabaseAdmin, Runtime
from cloacina_core.runtime.shared_engines import SharedEngines, environment_of_engines
from cloacina_core.runtime.slot_sharing import SharedSlots

_SIGNALLED = 128
"""What the status of a process that a signal ended begins at."""

_IDLE_LOOK = 0.1
"""Seconds between looks whether anything is left to do."""


@click.group()
def engine() -> None:
    """Run an engine until it is stopped."""


@engine.command()
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Write the engine's id and process there once it works; removed at the end.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running attempts may take to end after a signal.",
)
@click.option("--until-idle", is_flag=True, help="Stop when nothing is left to do.")
@click.option("--until-closed", is_flag=True, help="Stop also when the standard input is closed.")
@click.option("--shared-slots", is_flag=True, hidden=True, help="Be told slots on standard input.")
@click.option("--tenants", is_flag=True, help="Serve all tenants: an engine for each of them.")
@command_options
@pass_console
def run(
    console: Console,
    *,
    ready_file: Path | None,
    drain_timeout: float,
    until_idle: bool,
    until_closed: bool,
    shared_slots: bool,
    tenants: bool,
) -> None:
    """Take up recorded and orphaned runs, until SIGTERM or Ctrl-C.

    Then no more runs are taken and no more attempts are started. Those that run may end; what is
    left is given back, for another engine to go on with, and the status is 0.

    A second signal ends the process at once, with 143 after SIGTERM and 130 after Ctrl-C; other
    engines take its runs as those of a dead one.

    With --tenants, it needs the URL of the database's administrator. Tenants are found and dropped
    while it runs.
    """
    stopping = _stopped_by_signals()
    if until_closed:
        _stop_with_input(stopping)
    console.keep_output_for_results()
    if tenants:
        if until_idle:
            raise InputError("engines of tenants are never idle for good: leave --until-idle out")
        _serve_tenants(console, stopping, ready_file, drain_timeout)
        return
    settings = console.settings
    shared = SharedSlots(settings.slots, stopping.set) if shared_slots else None
    with (
        Runtime(
            settings,
            console.plugins,
            pass_output_on=False,
            shared_slots=shared,
            store=console.store,
        ) as runtime,
        _told_ready(ready_file, engine=runtime.engine_id),
    ):
        console.emit(
            {"engine": runtime.engine_id, "status": "ready"}, f"ready: {runtime.engine_id}"
        )
        console.say("takes up runs; stop it with SIGTERM or Ctrl-C")
        while not stopping.wait(_IDLE_LOOK if until_idle else None):
            if runtime.is_idle():
                return
        console.say(f"stopping: attempts that run have {drain_timeout:g} s to end")
        if not runtime.drain(drain_timeout):
            console.say("some attempts still run; they are given up, and will be repeated")


def _stopped_by_signals() -> threading.Event:
    """Return what the first signal sets; the second one ends the process."""
    stopping = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(_SIGNALLED + number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping


def _stop_with_input(stopping: threading.Event) -> None:
    """Set an event when the standard input is over, as it is when who started us is gone."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        stopping.set()

    threading.Thread(target=wait, name="cloacina-input", daemon=True).start()


def _serve_tenants(
    console: Console, stopping: threading.Event, ready_file: Path | None, drain_timeout: float
) -> None:
    settings = console.settings
    opened = DatabaseAdmin(settings, console.plugins, console.store, is_told=True)
    with opened as admin, _told_ready(ready_file):
        console.emit({"status": "ready"}, "ready")
        console.say("serves tenants; stop it with SIGTERM or Ctrl-C")
        engines = SharedEngines(
            admin,
            environment_of_engines(os.environ, settings),
            slots=settings.slots,
            drain_seconds=drain_timeout,
            told=console.say,
        )
        engines.run(stopping)


@contextmanager
def _told_ready(path: Path | None, **facts: str) -> Iterator[None]:
    """Have a file tell that we work, whole from the first moment."""
    if path is None:
        yield
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({**facts, "pid": os.getpid()}) + "\n")
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
