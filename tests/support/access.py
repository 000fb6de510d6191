"""API keys of every sort, and what a store holds, for tests of who may do what."""

import hashlib
from base64 import b32decode
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from sqlalchemy import select, update

from cloacina_core.model.access import Role
from cloacina_core.model.api_key import ApiKey
from cloacina_core.store import schema
from cloacina_core.store.api_keys import ApiKeyStore
from cloacina_core.store.database import Database

UNSTEADY = {schema.engines.name, schema.leases.name, schema.audit.name}
"""Tables that change while nobody asks for anything, or that are to change."""


def keys_of_every_sort(database: Database) -> Mapping[str, str]:
    """Return an API key for each role, and those that nobody gets in with."""
    store = ApiKeyStore(database)
    keys = {role.value: store.create(role.value, role).key.text for role in Role}
    keys["expired"] = store.create("old", Role.ADMIN, expires_in=timedelta(days=1)).key.text
    expire(database, "old")
    keys["revoked"] = store.create("gone", Role.ADMIN).key.text
    store.revoke("gone")
    keys["of another store"] = ApiKey.new(lambda count: b"\x07" * count).text
    keys["malformed"] = keys["admin"][:-1]
    keys["with another secret"] = ApiKey.new(_second_of(keys["admin"])).text
    keys["none"] = ""
    return keys


def _second_of(text: str) -> Callable[[int], bytes]:
    """Return entropy that makes a key with the id of another, and a secret of its own."""
    return lambda count: b32decode(text[4:12].upper()) if count == 5 else b"\x01" * count


def expire(database: Database, name: str) -> None:
    """Have an API key have expired long ago."""
    keys = schema.api_keys
    with database.begin() as connection:
        connection.execute(update(keys).where(keys.c.name == name).values(expires_at=1))


def contents(database: Database) -> str:
    """Return a digest of all that a store holds, but for what changes by itself."""
    digest = hashlib.sha256()
    for line in _lines(database):
        digest.update(line.encode())
    return digest.hexdigest()


def _lines(database: Database) -> Iterator[str]:
    with database.read() as connection:
        for table in schema.metadata.sorted_tables:
            if table.name in UNSTEADY:
                continue
            columns = [column for column in table.c if column.name != "last_used_at"]
            rows = connection.execute(select(*columns))
            yield table.name
            yield from sorted(repr(tuple(row)) for row in rows)
