"""Bytes in the database, under their digest: what is too large to stand in a payload.

A blob is written before the payload that refers to it, in a transaction of its own, so that a large
value keeps no other run waiting. Until it is referred to, only its age keeps it from retention;
afterwards the row in `blob_uses`, written with the payload, does.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Table, delete, select, update

from cloacina_core.errors import BlobDamagedError, BlobMissingError, StoreUnavailableError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.model.blob import StoredBlob
from cloacina_core.store import schema
from cloacina_core.store.database import Database, insert_unless_there

T = TypeVar("T")

SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
PATIENCE = 30.0
"""Seconds: a server that is started anew is there again by then, and no attempt fails for it."""

_PAGE = 500


class DatabaseBlobStore:
    """A `BlobStore` in the store's database, so that all engines on it share the blobs."""

    def __init__(
        self,
        database: Callable[[], Database],
        pause: Callable[[float], object] = time.sleep,
        *,
        table: Table = schema.blobs,
    ) -> None:
        """Keep blobs in a table.

        Args:
            database: opens where the table is, when it is first used.
            pause: waits some seconds for a database that isn't there.
            table: with the columns of `schema.blobs`. What is in that one is deleted when no
                payload refers to it.
        """
        self._opened = database
        self._pause = pause
        self._table = table

    @property
    def _database(self) -> Database:
        return self._opened()

    def put(self, data: bytes) -> Digest:
        """Store bytes, durably, and return their digest."""
        digest = digest_of(data)
        self._patiently(lambda: self._put(digest, data))
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest, after hashing them."""
        data = self._patiently(lambda: self._read(digest))
        if data is None:
            raise BlobMissingError(digest)
        if digest_of(data) != digest:
            raise BlobDamagedError(digest)
        return data

    def has(self, digest: Digest) -> bool:
        """Whether something is stored under a digest."""
        with self._database.read() as connection:
            query = select(self._table.c.digest).where(self._table.c.digest == digest)
            return connection.execute(query).scalar() is not None

    def delete(self, digest: Digest) -> None:
        """Remove the bytes of a digest, if there are any."""
        with self._database.begin() as connection:
            connection.execute(delete(self._table).where(self._table.c.digest == digest))

    def blobs(self) -> Iterator[StoredBlob]:
        """Yield what is stored, in the order of the digests."""
        columns = self._table.c
        last = ""
        while True:
            query = select(columns.digest, columns.size, columns.put_at)
            following = query.where(columns.digest > last).order_by(columns.digest).limit(_PAGE)
            with self._database.read() as connection:
                page = connection.execute(following).all()
            for row in page:
                yield StoredBlob(Digest(row.digest), row.size, from_micros(row.put_at))
            if len(page) < _PAGE:
                return
            last = page[-1].digest

    def remove_drafts(self, before: datetime, *, dry_run: bool = False) -> int:  # noqa: ARG002
        """Return 0: a transaction that doesn't end leaves nothing."""
        return 0

    def _put(self, digest: Digest, data: bytes) -> None:
        known = self._read(digest)
        if known == data and self._touch(digest):
            return
        with self._database.begin() as connection:
            row: dict[str, Any] = {"body": data, "size": len(data)}
            row["put_at"] = self._database.now_micros(connection)
            add = insert_unless_there(self._database, self._table).values(digest=digest, **row)
            connection.execute(add.on_conflict_do_update(index_elements=["digest"], set_=row))

    def _touch(self, digest: Digest) -> bool:
        """Make a blob young again; False when it is gone."""
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            touch = update(self._table).where(self._table.c.digest == digest).values(put_at=now)
            return connection.execute(touch).rowcount == 1

    def _read(self, digest: Digest) -> bytes | None:
        with self._database.read() as connection:
            query = select(self._table.c.body).where(self._table.c.digest == digest)
            data: bytes | None = connection.execute(query).scalar()
            return data

    def _patiently(self, action: Callable[[], T]) -> T:
        """Do something that may be done twice; again when the database isn't there for a while."""
        waited, pause = 0.0, SHORTEST_PAUSE
        while True:
            try:
                return action()
            except StoreUnavailableError:
                if waited >= PATIENCE or self._database.is_closed:
                    raise
            self._pause(pause)
            waited += pause
            pause = min(pause * 2, LONGEST_PAUSE)
