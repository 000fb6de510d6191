"""The audit, as the store has it: rows are added, ended once, and forgotten when they are old.

Nothing here can be changed later by those who are told of, as long as they come through the checks.
Whoever has the database's credentials can write what they like: it is a record, not a proof.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import FromClause, Row, Table, delete, insert, or_, select, update

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.foundation.json_value import canonical
from cloacina_core.model.audit import AuditEntry, AuditOutcome, Deed
from cloacina_core.store import schema
from cloacina_core.store.database import Database

_MICROSECOND = timedelta(microseconds=1)
ENTRIES_IN_TRANSACTION = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries to list; None means any."""

    who: str | None = None
    verb: str | None = None
    """One verb, or `schedules.` for all that begin so."""
    target: str | None = None
    """What it was done to, exactly."""
    since: datetime | None = None
    """Asked at this moment or later."""


class Audit:
    """The audit of a store. Safe to use from any thread and any process."""

    def __init__(
        self,
        database: Database,
        ids: IdFactory,
        *,
        table: Table = schema.audit,
        told: FromClause | None = None,
        kept: timedelta | None = None,
    ) -> None:
        """Prepare.

        Args:
            database: the store's.
            ids: makes ids.
            table: which entries are added to.
            told: which are listed; None: those of that table.
            kept: how long, where no engine forgets old entries: then whoever adds one forgets some.
                None: an engine does, or they are kept for ever.
        """
        self._database = database
        self._ids = ids
        self._rows = table
        self._told = table if told is None else told
        self._kept = kept

    @contextmanager
    def one_transaction(self) -> Iterator[None]:
        """Have all that this thread writes in a block be one transaction, entries included."""
        with self._database.begin():
            yield

    def enter(self, deed: Deed, outcome: AuditOutcome, code: str | None = None) -> str:
        """Add an entry, and return its id; it is durable when this returns.

        Raises:
            StoreError: it couldn't be written, and wasn't.
        """
        deed_id = self._ids.deed_id()
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            connection.execute(
                insert(self._rows).values(
                    id=deed_id,
                    at=now,
                    who=deed.who,
                    role=deed.role,
                    origin=deed.origin,
                    verb=deed.verb,
                    target=deed.target,
                    facts=canonical(dict(deed.facts)),
                    outcome=outcome.value,
                    code=code,
                    ended_at=None if outcome is AuditOutcome.BEGUN else now,
                )
            )
            self.forget(self._kept)
        return deed_id

    def end(self, deed_id: str, outcome: AuditOutcome, code: str | None = None) -> None:
        """Say how something ended that was begun; what was said of it before stays."""
        with self._database.begin() as connection:
            begun = (self._rows.c.id == deed_id, self._rows.c.outcome == AuditOutcome.BEGUN.value)
            now = self._database.now_micros(connection)
            ended = update(self._rows).where(*begun)
            connection.execute(ended.values(outcome=outcome.value, code=code, ended_at=now))

    def entries(
        self, wanted: AuditFilter | None = None, *, before: str | None = None, limit: int = 50
    ) -> Sequence[AuditEntry]:
        """Return entries, newest first.

        Args:
            wanted: which.
            before: the id of the last entry on the page before.
            limit: how many at most.

        Raises:
            InputError: there is no entry `before`; retention may have forgotten it.
        """
        wanted = wanted or AuditFilter()
        query = (
            select(self._told).order_by(self._told.c.at.desc(), self._told.c.id.desc()).limit(limit)
        )
        if wanted.who is not None:
            query = query.where(self._told.c.who == wanted.who)
        if wanted.verb is not None:
            of_part = wanted.verb.endswith(".")
            is_it = self._told.c.verb.startswith(wanted.verb, autoescape=True)
            query = query.where(is_it if of_part else self._told.c.verb == wanted.verb)
        if wanted.target is not None:
            query = query.where(self._told.c.target == wanted.target)
        if wanted.since is not None:
            query = query.where(self._told.c.at >= to_micros(wanted.since))
        with self._database.read() as connection:
            if before is not None:
                of_last = select(self._told.c.at).where(self._told.c.id == before)
                at = connection.execute(of_last).scalar()
                if at is None:
                    raise InputError(
                        f"there is no entry {before[:100]!r}", hint="begin at the newest again"
                    )
                same = (self._told.c.at == at) & (self._told.c.id < before)
                query = query.where(or_(self._told.c.at < at, same))
            return [_entry(row) for row in connection.execute(query)]

    def forget(self, older_than: timedelta | None) -> int:
        """Delete some entries that are older, the oldest first; return how many.

        None: they are kept for ever.
        """
        if older_than is None:
            return 0
        with self._database.read() as connection:
            until = self._database.now_micros(connection) - older_than // _MICROSECOND
            old = select(self._rows.c.id).where(self._rows.c.at < until).order_by(self._rows.c.at)
            found = connection.execute(old.limit(ENTRIES_IN_TRANSACTION)).scalars().all()
        if not found:
            return 0
        with self._database.begin() as connection:
            return connection.execute(delete(self._rows).where(self._rows.c.id.in_(found))).rowcount


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=from_micros(row.at),
        deed=Deed(
            who=row.who,
            role=row.role,
            origin=row.origin,
            verb=row.verb,
            target=row.target,
            facts=json.loads(row.facts),
        ),
        outcome=AuditOutcome(row.outcome),
        code=row.code,
        ended_at=None if row.ended_at is None else from_micros(row.ended_at),
    )
