"""Blob stores for the contract: how to open them anywhere, and how to run them out of space."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Table, text

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import Digest
from cloacina_core.store import schema
from cloacina_core.store.blobs import DatabaseBlobStore
from cloacina_core.store.database import Database
from cloacina_registry.tables import TABLES, blobs

LITTLE = 1024 * 1024
"""How many bytes fit where there is little room."""

_TABLES = {table.name: table for table in (blobs, schema.blobs)}


class DatabaseOpener:
    """Opens a blob store in a table, in this process or another."""

    def __init__(self, url: str, table: Table) -> None:
        self._url = url
        self._table = table.name
        self._opened: list[Database] = []

    def __call__(self) -> DatabaseBlobStore:
        """Open it once more."""
        database = Database(self._url, SystemClock(), TABLES)
        self._opened.append(database)
        return DatabaseBlobStore(lambda: database, _do_not_wait, table=_TABLES[self._table])

    def __getstate__(self) -> dict[str, object]:
        """Leave out what can't go to another process."""
        return {**self.__dict__, "_opened": []}

    def close(self) -> None:
        """Close whatever was opened here."""
        for database in self._opened:
            database.close()

    def damage(self, digest: Digest) -> None:
        """Change the bytes of a digest."""
        self._run(
            f"update {self._table} set body = :body where digest = :digest",
            body=b"other bytes",
            digest=digest,
        )

    @contextmanager
    def out_of_space(self) -> Iterator[None]:
        """Have the database refuse large values, as it does when its disk is full."""
        if self._url.startswith("sqlite"):
            with little_room():
                yield
            return
        self._run(_REFUSE_LARGE)
        self._run(
            f"create trigger full_disk before insert on {self._table} "
            "for each row execute function refuse_large()"
        )
        try:
            yield
        finally:
            self._run(f"drop trigger full_disk on {self._table}")

    def _run(self, statement: str, **values: object) -> None:
        database = Database(self._url, SystemClock(), TABLES)
        with database.begin() as connection:
            connection.execute(text(statement), values)
        database.close()


def _do_not_wait(_seconds: float) -> None:
    """Make no pause: nobody repairs the database meanwhile."""


_REFUSE_LARGE = f"""
create or replace function refuse_large() returns trigger language plpgsql as $$
begin
    if length(new.body) > {LITTLE} then
        raise exception 'could not extend file' using errcode = 'disk_full';
    end if;
    return new;
end $$
"""


@contextmanager
def little_room() -> Iterator[None]:
    """Let this process write no file beyond a size: it stops half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LITTLE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
