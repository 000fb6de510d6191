"""Takes many runs at once for an engine: by priority, in turn between workflows, oldest first.

Runs that wait stand in an index by priority and definition. It is read in jumps, from one workflow
to the next, so that a claim costs what it takes and not what waits.
"""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from sqlalchemy import Connection, Row, false, func, or_, select, update

from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.ownership import WAITING, hold
from cloacina_core.store.tenancy import is_on_hold
from cloacina_core.store.turns import IS_ANY_LIMITED, IS_UNLIMITED, Turns

_runs, _definitions = schema.runs, schema.definitions


@dataclass(frozen=True, slots=True)
class CodeHere:
    """Which runs an engine has the code of."""

    sources: Collection[str]
    """The sources of packages that are here."""
    has: Callable[[str], bool]
    """Whether a workflow that isn't packaged is here, by its fingerprint."""


class Claims:
    """Takes runs that nobody works on."""

    def __init__(self, database: Database, code: CodeHere) -> None:
        self._database = database
        self._code = code
        self._behind = ""
        """The definition that was served last: the next claim begins behind it."""
        self._fingerprints: dict[str, str] = {}
        self._only: Collection[RunId] | None = None
        self._turns: Turns | None = None
        """Whose turn it is, while a claim looks at runs whose number is limited."""

    def claim(
        self, engine: EngineId, room: int, *, only: Collection[RunId] | None = None
    ) -> list[RunId]:
        """Take runs whose code is here, in the order in which they are to begin.

        Args:
            engine: who takes them.
            room: how many at most.
            only: take none but these.
        """
        if room < 1:
            return []
        waiting = self._waiting(only)
        if waiting is None:
            return []
        claimed: list[RunId] = []
        with self._database.begin() as connection:
            if not hold(connection, engine):
                return []
            self._only = only
            self._turns = Turns(self._database, connection) if waiting.is_any_limited else None
            for priority in _priorities(connection):
                claimed += self._share_out(connection, priority, room - len(claimed))
                if len(claimed) == room:
                    break
            if claimed:
                taken = update(_runs).where(_runs.c.id.in_(claimed))
                connection.execute(taken.values(engine=engine))
        return claimed

    def _waiting(self, only: Collection[RunId] | None) -> Row[Any] | None:
        """Return whether a claim may find something; to look takes no lock that others wait for.

        To a suspended tenant nothing is given.
        """
        these = () if only is None else (_runs.c.id.in_(only),)
        query = select(_runs.c.id, IS_ANY_LIMITED.label("is_any_limited")).where(*WAITING, *these)
        with self._database.read() as connection:
            if is_on_hold(self._database, connection):
                return None
            return connection.execute(query.limit(1)).first()

    def _share_out(self, connection: Connection, priority: int, room: int) -> list[RunId]:
        """Choose runs of one priority, in turn between their definitions."""
        last: dict[str, str] = dict.fromkeys(
            self._waiting_definitions(connection, priority, room), ""
        )
        chosen: list[RunId] = []
        while last and len(chosen) < room:
            share = -(-(room - len(chosen)) // len(last))
            found = {
                definition: self._next(connection, priority, definition, behind, share)
                for definition, behind in last.items()
            }
            last = {definition: ids[-1] for definition, ids in found.items() if len(ids) == share}
            in_turn = chain.from_iterable(
                zip_longest(*([(name, run_id) for run_id in ids] for name, ids in found.items()))
            )
            for definition, run_id in filter(None, in_turn):
                if len(chosen) < room:
                    chosen.append(run_id)
                    self._behind = definition
        return chosen

    def _waiting_definitions(
        self, connection: Connection, priority: int, most: int
    ) -> Iterator[str]:
        """Yield definitions of which runs wait, each once, beginning behind the one served last."""
        of_priority = (*WAITING, _runs.c.priority == priority)
        behind, turned, count = self._behind, False, 0
        while count < most:
            query = select(_runs.c.definition).where(*of_priority, _runs.c.definition > behind)
            found = connection.execute(query.order_by(_runs.c.definition).limit(1)).scalar()
            if found is not None and not (turned and found > self._behind):
                yield found
                behind, count = found, count + 1
            elif turned or not self._behind:
                return
            else:
                behind, turned = "", True

    def _next(
        self, connection: Connection, priority: int, definition: str, behind: str, limit: int
    ) -> list[RunId]:
        """Return the oldest runs of a definition whose code is here, but for those being taken."""
        if self._turns is None:
            return self._page(connection, priority, definition, behind, limit)
        found: list[RunId] = []
        while len(found) < limit:
            page = self._page(connection, priority, definition, behind, limit - len(found))
            found += self._turns.take(page)
            if not page:
                break
            behind = page[-1]
        return found

    def _page(
        self, connection: Connection, priority: int, definition: str, behind: str, limit: int
    ) -> list[RunId]:
        is_here = self._code.has(self._fingerprint(connection, definition))
        query = (
            select(_runs.c.id)
            .where(
                *WAITING,
                *(() if self._only is None else (_runs.c.id.in_(self._only),)),
                # Limited runs may have been stored since it was looked whether any waits.
                IS_UNLIMITED if self._turns is None else self._turns.may_come(),
                _runs.c.priority == priority,
                _runs.c.definition == definition,
                _runs.c.id > behind,
                or_(
                    _runs.c.source.in_(self._code.sources),
                    _runs.c.source.is_(None) if is_here else false(),
                ),
            )
            .order_by(_runs.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=_runs)
        )
        return [RunId(run_id) for run_id in connection.execute(query).scalars()]

    def _fingerprint(self, connection: Connection, definition: str) -> str:
        if definition not in self._fingerprints:
            query = select(_definitions.c.body).where(_definitions.c.digest == definition)
            body = connection.execute(query).scalar_one()
            self._fingerprints[definition] = str(json.loads(body)["fingerprint"])
        return self._fingerprints[definition]


def _priorities(connection: Connection) -> Iterator[int]:
    """Yield the priorities of runs that wait, the highest first."""
    highest = select(func.max(_runs.c.priority)).where(*WAITING)
    found = connection.execute(highest).scalar()
    while found is not None:
        yield found
        found = connection.execute(highest.where(_runs.c.priority < found)).scalar()
