"""`cloacina trust`: whose signatures are taken, and for which packages."""

import click

from cloacina_registry.cli.trust.grants import grant, reserve, set_policy, ungrant, unreserve
from cloacina_registry.cli.trust.keys import add, remove, retire, revoke
from cloacina_registry.cli.trust.reading import list_keys, show, verify
from cloacina_registry.cli.trust.signing import apply, expires, rotate, sign


@click.group("trust")
def trust() -> None:
    """Say whose signatures are taken, and for which packages.

    Each change makes a new version of the trust document, signed by the root keys that are here.
    If they are too few, it becomes a draft for others to sign.
    """


for _command in (
    *(show, list_keys, verify),
    *(add, retire, revoke, remove),
    *(grant, ungrant, set_policy, reserve, unreserve),
    *(rotate, expires, sign, apply),
):
    trust.add_command(_command)
