"""`cloacina engine`: an engine that runs until it is stopped."""

import signal
import threading

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import Runtime


@click.group()
def engine() -> None:
    """Run an engine until it is stopped."""


@engine.command()
@command_options
@pass_console
def run(console: Console) -> None:
    """Take up recorded and orphaned runs, until SIGTERM or Ctrl-C.

    Then runs that haven't ended are given back, for another engine to go on with.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    plugins = Plugins.of_environment(console.settings.blocked_plugins)
    with Runtime(console.settings, plugins, pass_output_on=False) as runtime:
        console.emit(
            {"engine": runtime.engine_id, "status": "ready"}, f"ready: {runtime.engine_id}"
        )
        stopping.wait()
        console.say("stopping")
