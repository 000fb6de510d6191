"""What couldn't be started, by the moment of its failure; each kind has an index of its own."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Column, RowMapping, Table, TextClause, and_, or_, select, text, tuple_

from cloacina_core.foundation.clock import from_micros, iso, to_micros
from cloacina_core.model.observed import FailedStart, Starter
from cloacina_core.model.release import Reference
from cloacina_core.store import schema
from cloacina_core.store.database import Database


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where the failures of one kind are."""

    table: Table
    at: Column[int]
    has_failed: TextClause
    owner: Table
    """What has them, with its body."""
    which: Callable[[RowMapping], str]

    @property
    def is_failed(self) -> TextClause:
        """The condition of the index, as words: with a value that is handed in, none is found."""
        return text(f"{self.table.name}.{self.has_failed}")

    @property
    def key(self) -> Sequence[Column[Any]]:
        """The columns of the primary key, the name of the owner first."""
        return list(self.table.primary_key.columns)


_KINDS: Mapping[Starter, _Kind] = MappingProxyType(
    {
        Starter.SCHEDULE: _Kind(
            schema.firings,
            schema.firings.c.decided_at,
            schema.FAILED,
            schema.schedules,
            lambda row: iso(from_micros(row["at"])),
        ),
        Starter.TRIGGER: _Kind(
            schema.trigger_firings,
            schema.trigger_firings.c.decided_at,
            schema.FAILED,
            schema.triggers,
            lambda row: f"{row['poll_id']}/{row['position']}",
        ),
        Starter.SUBSCRIPTION: _Kind(
            schema.deliveries,
            schema.deliveries.c.decided_at,
            schema.FAILED,
            schema.subscriptions,
            lambda row: str(row["event_id"]),
        ),
        Starter.POLLS: _Kind(
            schema.polls,
            schema.polls.c.first_at,
            schema.FAILING,
            schema.triggers,
            lambda row: str(row["number"]),
        ),
    }
)


def failed_starts(
    database: Database,
    starter: Starter,
    after: datetime,
    last: FailedStart | None = None,
    limit: int = 500,
) -> Sequence[FailedStart]:
    """Return what couldn't be started; see `RunHistory` in `cloacina_core.plugin`."""
    kind = _KINDS[starter]
    micros = to_micros(after)
    is_behind = kind.at > micros
    if last is not None:
        is_later = tuple_(*kind.key) > tuple_(*last.place)
        is_behind = and_(kind.at >= micros, or_(kind.at > micros, is_later))
    name = kind.key[0]
    query = (
        select(kind.table, kind.at.label("failed_at"), kind.owner.c.body)
        .join_from(kind.table, kind.owner, kind.owner.c.name == name)
        .where(kind.is_failed, is_behind)
        .order_by(kind.at, *kind.key)
        .limit(limit)
    )
    with database.read() as connection:
        return [_failed(starter, kind, row) for row in connection.execute(query).mappings()]


def _failed(starter: Starter, kind: _Kind, row: RowMapping) -> FailedStart:
    reference = json.loads(row["body"])["reference"]
    found = Reference.parse(reference)
    place = tuple(row[column] for column in kind.key)
    return FailedStart(
        starter=starter,
        name=str(place[0]),
        which=kind.which(row),
        reference=reference,
        package=found.package,
        workflow=found.workflow or "",
        at=from_micros(row["failed_at"]),
        reason=row["reason"] or "",
        place=place,
    )
