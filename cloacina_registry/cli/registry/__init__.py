"""`cloacina registry`: publish packages, and see what is published."""

import click

from cloacina_registry.cli.registry.bundles import export, import_
from cloacina_registry.cli.registry.listing import list_releases, show
from cloacina_registry.cli.registry.publishing import download, upload
from cloacina_registry.cli.registry.storage import check, gc
from cloacina_registry.cli.registry.withdrawing import delete, yank


@click.group("registry")
def registry() -> None:
    """Publish packages, and see what is published."""


for _command in (
    *(upload, list_releases, show, download, yank, delete),
    *(export, import_, check, gc),
):
    registry.add_command(_command)
