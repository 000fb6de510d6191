"""`cloacina registry`: publish packages, and see what is published."""

import click

from cloacina_registry.cli.registry.audit import audit
from cloacina_registry.cli.registry.listing import list_releases, show
from cloacina_registry.cli.registry.publishing import download, upload
from cloacina_registry.cli.registry.withdrawing import delete, yank


@click.group("registry")
def registry() -> None:
    """Publish packages, and see what is published."""


for _command in (upload, list_releases, show, download, yank, delete, audit):
    registry.add_command(_command)
