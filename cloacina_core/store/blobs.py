"""Bytes in the database, under their digest: what is too large to stand in a payload.

A blob is written before the payload that refers to it, in a transaction of its own, so that a large
value keeps no other run waiting. Until it is referred to, only its age keeps it from retention;
afterwards the row in `blob_uses`, written with the payload, does.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import delete, select, update

from cloacina_core.errors import BlobDamagedError, BlobMissingError, StoreUnavailableError
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.store import schema
from cloacina_core.store.database import Database, insert_unless_there

_blobs = schema.blobs
T = TypeVar("T")

SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
PATIENCE = 30.0
"""Seconds: a server that is started anew is there again by then, and no attempt fails for it."""


class DatabaseBlobStore:
    """A `BlobStore` in the store's database, so that all engines on it share the blobs."""

    def __init__(self, database: Database, pause: Callable[[float], object] = time.sleep) -> None:
        self._database = database
        self._pause = pause

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
            query = select(_blobs.c.digest).where(_blobs.c.digest == digest)
            return connection.execute(query).scalar() is not None

    def delete(self, digest: Digest) -> None:
        """Remove the bytes of a digest, if there are any."""
        with self._database.begin() as connection:
            connection.execute(delete(_blobs).where(_blobs.c.digest == digest))

    def _put(self, digest: Digest, data: bytes) -> None:
        known = self._read(digest)
        if known == data and self._touch(digest):
            return
        with self._database.begin() as connection:
            row: dict[str, Any] = {"body": data, "size": len(data)}
            row["put_at"] = self._database.now_micros(connection)
            add = insert_unless_there(self._database, _blobs).values(digest=digest, **row)
            connection.execute(add.on_conflict_do_update(index_elements=["digest"], set_=row))

    def _touch(self, digest: Digest) -> bool:
        """Make a blob young again; False when it is gone."""
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            touch = update(_blobs).where(_blobs.c.digest == digest).values(put_at=now)
            return connection.execute(touch).rowcount == 1

    def _read(self, digest: Digest) -> bytes | None:
        with self._database.read() as connection:
            query = select(_blobs.c.body).where(_blobs.c.digest == digest)
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
