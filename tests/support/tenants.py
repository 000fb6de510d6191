"""Two tenants in one database, and what one of them can try with a connection of its own."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from cloacina_core.model.tenant import Quotas
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import DatabaseAdmin
from cloacina_core.settings import Settings


def admin_of(home: Path, url: str) -> DatabaseAdmin:
    """Return an administrator of a database without the plugins of this environment."""
    return DatabaseAdmin(Settings(home=home, database_url=url), Plugins())


@dataclass(frozen=True, slots=True)
class Team:
    """A tenant as the tests know it, which is more than anybody else does."""

    name: str
    url: str
    role: str

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield a connection of the driver with nothing between it and the server."""
        with connected(self.url) as connection:
            yield connection


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        yield connection


def made(admin: DatabaseAdmin, name: str, quotas: Quotas | None = None) -> Team:
    """Make a tenant."""
    url = admin.create_tenant(name, quotas).environment["CLOACINA_DATABASE_URL"]
    return Team(name, url, str(make_url(url).username))


def names(connection: psycopg.Connection[Any], query: str) -> list[str]:
    """Return the first column of what a query finds."""
    rows: Sequence[tuple[Any, ...]] = connection.execute(query.encode()).fetchall()
    return [str(row[0]) for row in rows]


def delete_and_die(home: Path, url: str, name: str, stage: str) -> None:
    """Delete a tenant, and be killed when a stage begins; for another process."""

    def die(told: str) -> None:
        if told.startswith(stage):
            os.kill(os.getpid(), signal.SIGKILL)

    with admin_of(home, url) as admin:
        admin.delete_tenant(name, drain_seconds=0, told=die)
