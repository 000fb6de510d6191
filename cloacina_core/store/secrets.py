"""Secrets, as the store has them: sealed. Nothing here can open one.

Beside them is their inventory, one row, sealed as they are. Transactions that change any of it take
turns: a key isn't retired while somebody seals with it, and no change is left out of the inventory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, true, update

from cloacina_core.errors import SecretMissingError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.names import nearest
from cloacina_core.model.secret import SecretInfo
from cloacina_core.store import postgresql, schema
from cloacina_core.store.database import Database

_secrets, _keys, _inventory = schema.secrets, schema.secret_keys, schema.secret_inventory

BATCH = 100
"""How many secrets are sealed anew in one transaction."""

_ONLY = 1
"""The number of the row of the inventory."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A text that only its key opens."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """One row, and the inventory of that moment."""

    info: SecretInfo
    sealed: Sealed
    inventory: Sealed | None
    """None: there is none, though there is to be one."""


@dataclass(frozen=True, slots=True)
class StoredInventory:
    """The inventory, and of how many secrets it is to be."""

    sealed: Sealed | None
    secrets: int


@dataclass(frozen=True, slots=True)
class Put:
    """What is to be kept in place of what was there."""

    revision: int
    fields: tuple[str, ...]
    sealed: Sealed
    inventory: Sealed


class RetiredKeyError(Exception):
    """Something was sealed with a key that was retired meanwhile."""


class SecretStore:
    """Keeps sealed values by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self, name: str, seal: Callable[[StoredSecret | None, StoredInventory], Put | None], by: str
    ) -> tuple[SecretInfo, bool]:
        """Keep a value in place of the one before; return what is known, and whether it changed.

        Args:
            name: of the secret.
            seal: takes the secret as it is, and the inventory, and returns what to keep; None to
                leave it as it is.
            by: who sets it.

        Raises:
            RetiredKeyError: it was sealed with a key that is to seal nothing any more.
        """
        with self._changing() as connection:
            found = self._find(connection, name)
            put = seal(found, self._stored_inventory(connection))
            if put is None:
                if found is None:
                    raise AssertionError("only what is there can be left as it is")
                return found.info, False
            now = self._database.now_micros(connection)
            self._use(connection, put.sealed.key_id, now)
            values = {
                "revision": put.revision,
                "fields": ",".join(put.fields),
                **_columns(put.sealed),
                "set_by": by,
                "set_at": now,
            }
            if found is None:
                connection.execute(insert(_secrets).values(name=name, **values))
            else:
                connection.execute(update(_secrets).where(_secrets.c.name == name).values(values))
            self._keep_inventory(connection, put.inventory, now)
            return self._get(connection, name).info, True

    def get(self, name: str) -> StoredSecret:
        """Return a secret.

        Raises:
            SecretMissingError: there is none of this name.
        """
        with self._database.read() as connection:
            return self._get(connection, name)

    def all(self) -> list[SecretInfo]:
        """Return what is known of all secrets, by name."""
        with self._database.read() as connection:
            rows = connection.execute(_with_inventory().order_by(_secrets.c.name))
            return [_stored(row).info for row in rows]

    def delete(self, name: str, seal: Callable[[StoredInventory], Sealed | None]) -> None:
        """Forget a secret.

        Args:
            name: of the secret.
            seal: takes the inventory as it is, and returns it without the secret; None to leave it.

        Raises:
            SecretMissingError: there is none of this name.
            RetiredKeyError: the inventory was sealed with a key that is to seal nothing any more.
        """
        with self._changing() as connection:
            self._get(connection, name)
            inventory = seal(self._stored_inventory(connection))
            connection.execute(delete(_secrets).where(_secrets.c.name == name))
            if inventory is not None:
                self._keep_inventory(connection, inventory, self._database.now_micros(connection))

    def reseal(
        self, key_id: str, seal: Callable[[StoredSecret], Sealed | None], *, after: str
    ) -> tuple[int, str | None]:
        """Keep some secrets sealed with another key, all or none of them.

        Args:
            key_id: the key that all are to be sealed with.
            seal: takes one that isn't, and returns it sealed with that key; None when it can't be.
            after: only secrets whose names come behind.

        Returns:
            How many were sealed, and the last name that was looked at; None when that was all.

        Raises:
            RetiredKeyError: the key was retired meanwhile.
        """
        others = _with_inventory().where(_secrets.c.key_id != key_id, _secrets.c.name > after)
        count, last = 0, None
        with self._changing() as connection:
            self._use(connection, key_id, self._database.now_micros(connection))
            rows = connection.execute(others.order_by(_secrets.c.name).limit(BATCH)).all()
            for row in rows:
                last = row.name
                sealed = seal(_stored(row))
                if sealed is not None:
                    count += 1
                    connection.execute(
                        update(_secrets)
                        .where(_secrets.c.name == row.name, _secrets.c.revision == row.revision)
                        .values(_columns(sealed))
                    )
        return count, last

    def reseal_inventory(
        self, key_id: str, seal: Callable[[StoredInventory], Sealed | None]
    ) -> None:
        """Keep the inventory sealed with another key.

        Args:
            key_id: the key that it is to be sealed with.
            seal: takes it when it isn't, and returns it sealed with that key; None when it can't
                be: then it goes, if there are no secrets.

        Raises:
            RetiredKeyError: the key was retired meanwhile.
        """
        with self._changing() as connection:
            stored = self._stored_inventory(connection)
            if stored.sealed is None or stored.sealed.key_id == key_id:
                return
            sealed = seal(stored)
            if sealed is not None:
                self._keep_inventory(connection, sealed, self._database.now_micros(connection))
            elif not stored.secrets:
                connection.execute(delete(_inventory))

    def retire(self, key_id: str) -> tuple[str, ...]:
        """Have nothing be sealed with older keys any more; return what else still seals something.

        A key that was first used behind it isn't retired: somebody has begun the next change.

        Args:
            key_id: the key that stays. Nothing is retired unless it seals everything.
        """
        with self._changing() as connection:
            of_secrets = select(_secrets.c.key_id).where(_secrets.c.key_id != key_id)
            of_inventory = select(_inventory.c.key_id).where(_inventory.c.key_id != key_id)
            query = of_secrets.union(of_inventory)
            if in_use := tuple(connection.execute(query).scalars()):
                return in_use
            now = self._database.now_micros(connection)
            since = select(_keys.c.first_used_at).where(_keys.c.id == key_id).scalar_subquery()
            older = update(_keys).where(_keys.c.first_used_at < since, _keys.c.retired_at.is_(None))
            connection.execute(older.values(retired_at=now))
            return ()

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with self._database.begin() as connection:
            if not self._database.is_sqlite:  # whose transactions that write take turns anyway
                postgresql.lock_secrets(connection)
            yield connection

    def _use(self, connection: Connection, key_id: str, now: int) -> None:
        """Note that a key seals something.

        Raises:
            RetiredKeyError: it mustn't any more.
        """
        row = connection.execute(select(_keys).where(_keys.c.id == key_id)).one_or_none()
        if row is None:
            connection.execute(insert(_keys).values(id=key_id, first_used_at=now))
        elif row.retired_at is not None:
            raise RetiredKeyError(key_id)

    def _stored_inventory(self, connection: Connection) -> StoredInventory:
        row = connection.execute(select(_inventory)).one_or_none()
        count = connection.execute(select(func.count()).select_from(_secrets)).scalar_one()
        sealed = (
            None if row is None else Sealed(row.key_id, bytes(row.nonce), bytes(row.ciphertext))
        )
        return StoredInventory(sealed, count)

    def _keep_inventory(self, connection: Connection, sealed: Sealed, now: int) -> None:
        """Keep the inventory in place of the one before.

        Raises:
            RetiredKeyError: it was sealed with a key that is to seal nothing any more.
        """
        self._use(connection, sealed.key_id, now)
        changed = connection.execute(update(_inventory).values(_columns(sealed)))
        if changed.rowcount == 0:
            connection.execute(insert(_inventory).values(number=_ONLY, **_columns(sealed)))

    def _find(self, connection: Connection, name: str) -> StoredSecret | None:
        query = _with_inventory().where(_secrets.c.name == name)
        row = connection.execute(query).one_or_none()
        return None if row is None else _stored(row)

    def _get(self, connection: Connection, name: str) -> StoredSecret:
        found = self._find(connection, name)
        if found is None:
            near = nearest(name, connection.execute(select(_secrets.c.name)).scalars())
            meant = f"did you mean {' or '.join(near)}? " if near else ""
            raise SecretMissingError(
                f"there is no secret {name[:100]!r}",
                hint=f"{meant}set it with: cloacina secret set {name[:100]}",
            )
        return found


def _with_inventory() -> Select[Any]:
    """Return what reads secrets together with the inventory: both of one moment."""
    return select(
        _secrets,
        _inventory.c.key_id.label("inventory_key_id"),
        _inventory.c.nonce.label("inventory_nonce"),
        _inventory.c.ciphertext.label("inventory_ciphertext"),
    ).select_from(_secrets.outerjoin(_inventory, true()))


def _columns(sealed: Sealed) -> dict[str, Any]:
    return {"key_id": sealed.key_id, "nonce": sealed.nonce, "ciphertext": sealed.ciphertext}


def _stored(row: Row[Any]) -> StoredSecret:
    info = SecretInfo(
        name=row.name,
        revision=row.revision,
        key_id=row.key_id,
        set_by=row.set_by,
        set_at=from_micros(row.set_at),
        fields=tuple(filter(None, row.fields.split(","))),
    )
    inventory = (
        Sealed(row.inventory_key_id, bytes(row.inventory_nonce), bytes(row.inventory_ciphertext))
        if row.inventory_key_id is not None
        else None
    )
    return StoredSecret(
        info, Sealed(row.key_id, bytes(row.nonce), bytes(row.ciphertext)), inventory
    )
