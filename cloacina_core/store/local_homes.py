"""Homes that tenants of a server have on this host: for shared engines, and for an administrator.

They hold keys, trust and master keys, so a tenant must never get what another one had who was
called the same:

1. The name of a home has the random part of the tenant's role in it. Who comes later under an old
   name has another home, on every host, whatever is left of the old one. (`of`)
2. A home goes before the tenant does, so that a deletion that was interrupted is gone on with.
   (`remove`)
"""

from pathlib import Path

from cloacina_core.foundation import private_files
from cloacina_core.store.postgresql import TENANT_PREFIX

FOLDER = "tenants"
"""Below the home of the installation."""


class LocalHomes:
    """The homes of a server's tenants below the home of an installation."""

    def __init__(self, installation: Path) -> None:
        """Prepare; nothing is made."""
        self._folder = installation / FOLDER

    def of(self, name: str, role: str) -> Path:
        """Return where the home of a tenant is, or would be.

        Args:
            name: of the tenant, so that people find it.
            role: of the tenant, by which it is told from others of its name.
        """
        return self._folder / f"{name}.{role.removeprefix(TENANT_PREFIX)}"

    def remove(self, name: str, role: str) -> None:
        """Take a home away with all that is in it; again, what is left of it.

        Raises:
            OSError: some of it can't be.
        """
        home = self.of(name, role)
        going = home.with_name(f".{home.name}")
        private_files.remove_tree(going)
        if home.exists():
            home.rename(going)  # what still works there writes nothing into what goes
        private_files.remove_tree(going)
