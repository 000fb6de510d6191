"""API keys, as the store has them.

1. A key is looked up each time that it is used, and nothing of it is kept in memory: one that is
   revoked works nowhere from then on, whichever process it is that asks.
2. Whether it has expired is for the database's clock to say.
3. Digests are compared in constant time, also when there is no key of this id.
4. Why a key isn't accepted is told to nobody.
5. The last key with the role admin stays: those who would revoke the last two at once wait for
   each other.
"""

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.names import name_problem
from cloacina_core.model.access import Role
from cloacina_core.model.api_key import (
    ApiKey,
    ApiKeyExistsError,
    ApiKeyRecord,
    ApiKeyRefusedError,
    ApiKeyState,
    LastAdminKeyError,
    NewApiKey,
    UnknownApiKeyError,
)
from cloacina_core.store import schema
from cloacina_core.store.database import Database, insert_unless_there

_keys = schema.api_keys
_LONGEST = timedelta(days=36_500)
_MICROSECOND = timedelta(microseconds=1)
_COARSE = timedelta(hours=1)
_NO_DIGEST = "0" * 64


class ApiKeyStore:
    """The API keys of a store. Safe to use from any thread and any process."""

    def __init__(self, database: Database, entropy: Callable[[int], bytes] = os.urandom) -> None:
        """Prepare.

        Args:
            database: the open store.
            entropy: returns so many random bytes, fit for secrets.
        """
        self._database = database
        self._entropy = entropy

    def create(self, name: str, role: Role, *, expires_in: timedelta | None = None) -> NewApiKey:
        """Make an API key; this is the only time that it can be read.

        Args:
            name: of whoever it stands for.
            role: what it may do.
            expires_in: how long it works; None: until it is revoked.

        Raises:
            InputError: the name or the length can't be used.
            ApiKeyExistsError: one of this name works already.
        """
        if problem := name_problem(name, "API key"):
            raise InputError(problem)
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            rows = _of_name(connection, name)
            if any(_state(row, now) is ApiKeyState.LIVE for row in rows):
                raise ApiKeyExistsError(name)
            return self._make(connection, name, role, rows, _later(now, expires_in), now)

    def rotate(
        self,
        name: str,
        *,
        expires_in: timedelta | None = None,
        overlap: timedelta = timedelta(0),
    ) -> NewApiKey:
        """Replace an API key by one with the same name and role, which can be read only now.

        Args:
            name: of whoever it stands for.
            expires_in: how long the new one works; None: until it is revoked.
            overlap: how long the old one works still, unless it expires before.

        Raises:
            InputError: a length can't be used.
            UnknownApiKeyError: there is none of this name that works.
        """
        if overlap < timedelta(0):
            raise InputError("the overlap can't be shorter than nothing")
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            rows = _of_name(connection, name)
            live = [row for row in rows if _state(row, now) is ApiKeyState.LIVE]
            if not live:
                raise UnknownApiKeyError(name)
            until = now + overlap // _MICROSECOND
            for row in live:
                if not overlap:
                    _set(connection, row.id, revoked_at=now)
                elif row.expires_at is None or row.expires_at > until:
                    _set(connection, row.id, expires_at=until)
            role = Role(live[0].role)
            return self._make(connection, name, role, rows, _later(now, expires_in), now)

    def revoke(self, name: str) -> ApiKeyRecord:
        """Have an API key, and those that it replaced, not be accepted from now on.

        Returns:
            The newest of them.

        Raises:
            UnknownApiKeyError: there is none of this name that works.
            LastAdminKeyError: no other API key with the role admin works.
        """
        with self._database.begin() as connection:
            admins = connection.execute(
                select(_keys)
                .where(_keys.c.role == Role.ADMIN.value, _keys.c.revoked_at.is_(None))
                .order_by(_keys.c.id)
                .with_for_update()
            ).all()
            now = self._database.now_micros(connection)
            live = [
                row for row in _of_name(connection, name) if _state(row, now) is ApiKeyState.LIVE
            ]
            if not live:
                raise UnknownApiKeyError(name)
            others = [
                row for row in admins if row.name != name and _state(row, now) is ApiKeyState.LIVE
            ]
            if live[0].role == Role.ADMIN.value and not others:
                raise LastAdminKeyError(name)
            for row in live:
                _set(connection, row.id, revoked_at=now)
            return _record(_by_id(connection, live[0].id), now)

    def get(self, name: str) -> Sequence[ApiKeyRecord]:
        """Return the API keys that a name has and had, newest first.

        Raises:
            UnknownApiKeyError: there never was one.
        """
        with self._database.read() as connection:
            now = self._database.now_micros(connection)
            found = [_record(row, now) for row in _of_name(connection, name)]
        if not found:
            raise UnknownApiKeyError(name)
        return found

    def all(self) -> Sequence[ApiKeyRecord]:
        """Return all API keys, by name, the newest of each first."""
        query = select(_keys).order_by(_keys.c.name, _keys.c.generation.desc())
        with self._database.read() as connection:
            now = self._database.now_micros(connection)
            return [_record(row, now) for row in connection.execute(query)]

    def last_admin_until(self) -> datetime | None:
        """Return when no API key with the role admin will be left; None: never, or there is none.

        Raises:
            StoreError: the store can't be read.
        """
        with self._database.read() as connection:
            now = self._database.now_micros(connection)
            query = select(_keys.c.expires_at).where(
                _keys.c.role == Role.ADMIN.value, _is_live(now)
            )
            ends = connection.execute(query).scalars().all()
        lasting = [end for end in ends if end is not None]
        return from_micros(max(lasting)) if ends and len(lasting) == len(ends) else None

    def find(self, text: str) -> ApiKeyRecord:
        """Return what is kept of an API key that is given.

        Args:
            text: the whole key.

        Raises:
            ApiKeyRefusedError: it isn't accepted.
            StoreError: the store can't be read.
        """
        key = ApiKey.parse(text)
        with self._database.read() as connection:
            row = connection.execute(select(_keys).where(_keys.c.id == key.id)).one_or_none()
            now = self._database.now_micros(connection)
        is_it = compare_digest(key.digest, _NO_DIGEST if row is None else row.digest)
        if row is None or not is_it or _state(row, now) is not ApiKeyState.LIVE:
            raise ApiKeyRefusedError(key.id)
        if row.last_used_at is None or now - row.last_used_at > _COARSE // _MICROSECOND:
            self._note_use(key.id, row.last_used_at, now)
        return _record(row, now)

    def _note_use(self, key_id: str, before: int | None, now: int) -> None:
        """Note that a key was used; of those who would note it at the same time, one does."""
        same = _keys.c.last_used_at == before if before else _keys.c.last_used_at.is_(None)
        with self._database.begin() as connection:
            noted = update(_keys).where(_keys.c.id == key_id, same)
            connection.execute(noted.values(last_used_at=now))

    def _make(
        self,
        connection: Connection,
        name: str,
        role: Role,
        rows: Sequence[Row[Any]],
        expires_at: int | None,
        now: int,
    ) -> NewApiKey:
        key = ApiKey.new(self._entropy)
        generation = max((row.generation for row in rows), default=0) + 1
        made = insert_unless_there(self._database, _keys).values(
            id=key.id,
            name=name,
            generation=generation,
            role=role.value,
            digest=key.digest,
            created_at=now,
            expires_at=expires_at,
        )
        if not connection.execute(made.on_conflict_do_nothing()).rowcount:
            raise ApiKeyExistsError(name)  # another one made it at this moment
        return NewApiKey(_record(_by_id(connection, key.id), now), key)


def _later(now: int, length: timedelta | None) -> int | None:
    if length is None:
        return None
    if not timedelta(0) < length <= _LONGEST:
        raise InputError(f"an API key works for a while, at most {_LONGEST.days} days, or for ever")
    return now + length // _MICROSECOND


def _of_name(connection: Connection, name: str) -> Sequence[Row[Any]]:
    query = select(_keys).where(_keys.c.name == name).order_by(_keys.c.generation.desc())
    return connection.execute(query).all()


def _by_id(connection: Connection, key_id: str) -> Row[Any]:
    return connection.execute(select(_keys).where(_keys.c.id == key_id)).one()


def _set(connection: Connection, key_id: str, **values: int) -> None:
    connection.execute(update(_keys).where(_keys.c.id == key_id).values(**values))


def _is_live(now: int) -> ColumnElement[bool]:
    lasts = or_(_keys.c.expires_at.is_(None), _keys.c.expires_at > now)
    return and_(_keys.c.revoked_at.is_(None), lasts)


def _state(row: Row[Any], now: int) -> ApiKeyState:
    if row.revoked_at is not None:
        return ApiKeyState.REVOKED
    is_over = row.expires_at is not None and row.expires_at <= now
    return ApiKeyState.EXPIRED if is_over else ApiKeyState.LIVE


def _record(row: Row[Any], now: int) -> ApiKeyRecord:
    def moment(micros: int | None) -> datetime | None:
        return None if micros is None else from_micros(micros)

    return ApiKeyRecord(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        state=_state(row, now),
        created_at=from_micros(row.created_at),
        expires_at=moment(row.expires_at),
        revoked_at=moment(row.revoked_at),
        last_used_at=moment(row.last_used_at),
    )
