"""`cloacina engines`: which engines work on the store."""

from datetime import timedelta

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.foundation.clock import iso


@click.group()
def engines() -> None:
    """List the engines that work on the store."""


@engines.command("list")
@click.option(
    "--all", "with_stopped", is_flag=True, help="Those that stopped in the last days, too."
)
@command_options
@pass_console
def list_engines(console: Console, *, with_stopped: bool) -> None:
    """List engines, newest first: where they run, whether they are alive, and what they do.

    An engine is stale when its process is gone or its lease is over: another one takes its runs.
    """
    from cloacina_core.store.ownership import Ownership  # noqa: PLC0415 - not needed for --help

    ownership = Ownership(console.view.database, timedelta(0))
    found = ownership.engines(with_stopped=with_stopped)
    rows = [
        (
            engine.engine_id,
            engine.state.value,
            engine.host.partition("/")[0],
            engine.pid,
            engine.version,
            iso(engine.lease_until)[:19] + "Z",
            engine.live_runs,
            f"{engine.slots_used}/{engine.slots}",
            engine.slots_lost,
        )
        for engine in found
    ]
    headers = ("id", "state", "host", "pid", "version", "lease until", "runs", "slots", "lost")
    table = console.table(headers, rows)
    console.emit([engine.to_json() for engine in found], table if rows else "no engines")
