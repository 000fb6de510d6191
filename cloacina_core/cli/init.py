"""`cloacina init`: make a home."""

import os
from pathlib import Path

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.passphrase import passphrase_options
from cloacina_core.errors import ConfigurationError, NotAllowedError

PRIVATE_FOLDER = 0o700


@click.command()
@command_options
@pass_console
@passphrase_options(confirm=True)
def init(console: Console, *, passphrase: str | None) -> None:
    """Make a home: a folder with a store, and what plugins need, such as a signing key.

    What is there already stays as it is.
    """
    home = console.settings.home
    made = _make_folder(home)
    database = console.store.opened(prepare=False)
    database.prepare(console.plugins.tables(), beside_tenants=True)
    reports = console.plugins.prepare_home(console.view, passphrase)
    lines = [
        f"home      {home}{'' if made else ' (was there)'}",
        f"store     {database.description}",
    ]
    lines += [f"{report.what:<9} {report.detail}" for report in reports]
    facts = {report.what: report.facts for report in reports}
    console.emit(
        {"home": str(home), "created": made, "database_url": database.description, **facts},
        "\n".join(lines),
    )
    console.say("next: cloacina package new my-package")


def _make_folder(home: Path) -> bool:
    if home.is_dir():
        if not os.access(home, os.W_OK):
            raise NotAllowedError(
                f"home {home} can't be written",
                hint="give yourself the right, or choose another with --home or CLOACINA_HOME",
            )
        return False
    try:
        home.mkdir(mode=PRIVATE_FOLDER, parents=True)
    except PermissionError as error:
        raise NotAllowedError(
            f"home {home} can't be made: {error.strerror}",
            hint="choose another folder with --home or CLOACINA_HOME",
        ) from error
    except OSError as error:
        raise ConfigurationError(f"home {home} can't be made: {error.strerror}") from error
    return True
