"""Whose turn it is among runs of which only so many may be live: of a workflow, or of a key.

How many are live is counted from the runs themselves, while nobody else claims runs of this kind.
One that runs counts, also when its engine is gone; one that is queued, or rests while it is paused,
doesn't, unless an engine has claimed it already.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select

from cloacina_core.foundation.ids import RunId
from cloacina_core.model.command import CommandKind
from cloacina_core.model.status import RunStatus
from cloacina_core.store import postgresql, schema
from cloacina_core.store.database import Database

_runs, _commands = schema.runs, schema.commands
LIVE, _waiting = _runs.alias("live"), _runs.alias("waiting")

IS_LIVE = or_(LIVE.c.status == RunStatus.RUNNING.value, LIVE.c.engine.is_not(None))
"""What is true of live runs, in their alias, that take room of their limits."""

IS_ANY_LIMITED = or_(
    *(
        exists().where(among, _waiting.c.engine.is_(None))
        for among in (schema.LIVE_LIMITED, schema.LIVE_KEYED)
    )
)
"""Whether any run waits whose turn has to be looked at."""

IS_UNLIMITED = _runs.c.limited_as.is_(None) & _runs.c.concurrency_key.is_(None)
"""What is true of runs that need no turn."""

# One that is to end doesn't wait for others.
_IS_TO_END = exists().where(
    _commands.c.run_id == _runs.c.id,
    _commands.c.handled_at.is_(None),
    _commands.c.kind == CommandKind.CANCEL.value,
)
_FACTS = select(
    _runs.c.id,
    _runs.c.limited_as,
    _runs.c.max_live_runs,
    _runs.c.concurrency_key,
    _runs.c.max_live_per_key,
    or_(_runs.c.status == RunStatus.RUNNING.value, _IS_TO_END).label("is_free"),
)


class Turns:
    """Lets runs become live in one transaction, which is the only one that does so at the time."""

    def __init__(self, database: Database, connection: Connection) -> None:
        if not database.is_sqlite:  # whose transactions that write have a lock from the beginning
            postgresql.lock_turns(connection)
        self._connection = connection
        self._full: dict[str, set[str]] = {"limited_as": set(), "concurrency_key": set()}
        self._taken: dict[str, Counter[str]] = {name: Counter() for name in self._full}

    def may_come(self) -> ColumnElement[bool]:
        """Return what is true of runs whose turn it may be; `take` knows for sure."""
        may = _IS_TO_END | (_runs.c.status == RunStatus.RUNNING.value)
        return may | (
            self._has_room("limited_as", schema.LIVE_LIMITED, "max_live_runs")
            & self._has_room("concurrency_key", schema.LIVE_KEYED, "max_live_per_key")
        )

    def _has_room(self, name: str, among: Any, size: str) -> ColumnElement[bool]:
        column = _runs.c[name]
        full = select(LIVE.c[name]).where(among, IS_LIVE).group_by(LIVE.c[name])
        full = full.having(func.count() >= func.max(LIVE.c[size]))
        has_room = column.not_in(full) & column.not_in(self._full[name])
        return or_(column.is_(None), has_room)

    def take(self, runs: Sequence[RunId]) -> list[RunId]:
        """Return those of some runs whose turn it is, in order; they count from now on."""
        facts = {
            row.id: row for row in self._connection.execute(_FACTS.where(_runs.c.id.in_(runs)))
        }
        rows = [facts[run_id] for run_id in runs]
        of_workflow = self._count("limited_as", schema.LIVE_LIMITED, rows)
        of_key = self._count("concurrency_key", schema.LIVE_KEYED, rows)
        taken = []
        for row in rows:
            is_in = row.limited_as is None or of_workflow[row.limited_as] < row.max_live_runs
            key = row.concurrency_key
            is_in_key = key is None or of_key[key] < row.max_live_per_key
            if not is_in:
                self._full["limited_as"].add(row.limited_as)
            if not is_in_key:
                self._full["concurrency_key"].add(key)
            if row.is_free or (is_in and is_in_key):
                taken.append(RunId(row.id))
                for counts in (of_workflow, self._taken["limited_as"]):
                    counts[row.limited_as] += 1
                for counts in (of_key, self._taken["concurrency_key"]):
                    counts[key] += 1
        return taken

    def _count(self, name: str, among: Any, rows: Collection[Any]) -> Counter[str]:
        """Count the live runs that share something with some runs, and those taken before."""
        shared = {getattr(row, name) for row in rows} - {None}
        if not shared:
            return Counter()
        query = select(LIVE.c[name], func.count()).where(among, IS_LIVE, LIVE.c[name].in_(shared))
        counted = self._connection.execute(query.group_by(LIVE.c[name]))
        return Counter({row[0]: row[1] for row in counted}) + self._taken[name]
