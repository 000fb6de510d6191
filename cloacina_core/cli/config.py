"""`cloacina config`: the settings and where they came from."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.period import Period
from cloacina_core.settings import UNLIMITED


@click.group()
def config() -> None:
    """Show settings and their origins."""


@config.command()
@command_options
@pass_console
def show(console: Console) -> None:
    """Show every setting, its value, and where it came from."""
    origins = console.resolved_settings.origins
    rows = [(item.name, _told(item.value), item.origin) for item in origins]
    values = [
        {"name": item.name, "value": _told(item.value), "origin": item.origin} for item in origins
    ]
    console.emit(values, console.table(("setting", "value", "origin"), rows))


def _told(value: Any) -> JsonValue:
    match value:
        case timedelta():
            return value.total_seconds()
        case Path() | Period():
            return str(value)
        case None:
            return UNLIMITED
        case tuple():
            return list(value)
        case str() if "://" in value:
            return _without_password(value)
        case _:
            return value


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}://{user}{':***' if colon else ''}{at}{host}"
