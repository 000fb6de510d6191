"""`cloacina plugins`: which plugins there are, and what is wrong with them."""

from contextlib import closing

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.plugin.installed import InstalledSource
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.view import open_view


@click.group()
def plugins() -> None:
    """List plugins, broken ones too."""


@plugins.command("list")
@click.option("--strict", is_flag=True, help="End with an error when a plugin can't be used.")
@command_options
@pass_console
def list_plugins(console: Console, *, strict: bool) -> None:
    """List all plugins that are installed, with their hooks, and errors if they have any."""
    found = Plugins.of_environment(console.settings.blocked_plugins, strict=strict)
    found.commands()
    found.secret_providers()
    with closing(open_view(console.settings, found)) as view:
        # So that contributions that fail are told.
        found.sources(view, taken=[InstalledSource.name])
    records = found.records()
    rows = [
        (
            record.name,
            record.status,
            f"{record.distribution} {record.version}",
            record.error or ", ".join(record.hooks),
        )
        for record in records
    ]
    table = console.table(("plugin", "status", "distribution", "hooks or error"), rows)
    console.emit([record.to_json() for record in records], table if rows else "no plugins")
