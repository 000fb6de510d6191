"""`cloacina registry`: publish packages, see what is published, and say what runs get of it."""

import click

from cloacina_registry.cli.registry.audit import audit
from cloacina_registry.cli.registry.bundles import export, import_
from cloacina_registry.cli.registry.channels import list_channels, pin, promote, rollback
from cloacina_registry.cli.registry.listing import list_releases, show
from cloacina_registry.cli.registry.provisioning import fetch
from cloacina_registry.cli.registry.publishing import download, transfer, upload
from cloacina_registry.cli.registry.storage import check, gc
from cloacina_registry.cli.registry.withdrawing import (
    delete,
    kill,
    quarantine,
    restore,
    retire,
    yank,
)


@click.group("registry")
def registry() -> None:
    """Publish packages, see what is published, and say what runs get of it."""


for _command in (
    *(upload, fetch, list_releases, show, download, transfer),
    *(promote, rollback, pin, list_channels),
    *(yank, quarantine, kill, retire, restore, delete),
    *(export, import_, check, gc, audit),
):
    registry.add_command(_command)
