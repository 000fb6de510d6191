"""Triggers, their polls and what they fired, as the store has them.

A trigger is claimed for as long as a poll may take, and a little longer; then another engine may
poll it. What a poll came to is written in one transaction, if it has the trigger still: an entry of
the history, the cursor, when it is polled next, and the runs that it asks for. So a poll whose
engine died leaves nothing, and is made again. Runs are then started as those of firings are:
claimed, submitted with a key that names the poll and a place in it, and noted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, delete, func, insert, or_, select, update

from cloacina_core.errors import ConflictError, NotFoundError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, decode
from cloacina_core.foundation.names import nearest
from cloacina_core.model.following import Following
from cloacina_core.model.polling.definition import LONGEST_POLL, TriggerDefinition
from cloacina_core.model.polling.enabled import (
    EnabledTrigger,
    FiredState,
    PollRecord,
    PollState,
    TriggerState,
)
from cloacina_core.model.polling.result import Fire
from cloacina_core.model.release import Release
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.store import poll_history, schema, trigger_keys
from cloacina_core.store.claimed import is_free
from cloacina_core.store.database import Database
from cloacina_core.store.poll_history import PollOutcome
from cloacina_core.store.tenancy import is_on_hold
from cloacina_core.store.watching import announce

_triggers, _polls, _fired = schema.triggers, schema.polls, schema.trigger_firings
_keys, _runs = schema.trigger_keys, schema.runs

MARGIN = timedelta(seconds=15)
"""How much longer than its timeout a poll has its trigger."""
CLAIM = timedelta(seconds=30)
"""How long one who starts a run has it, before others try."""

_RECENT = 50
"""Of how many runs it is looked at whether one is live."""
_AT_A_TIME = 50
_MICROSECOND = timedelta(microseconds=1)
_OVERLAP = "a run that it started is live"


class UnknownTriggerError(NotFoundError):
    """There is no trigger of this name."""

    code = "unknown-trigger"

    def __init__(self, name: str, near: Sequence[str]) -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else "see: cloacina trigger list"
        super().__init__(f"there is no trigger {name[:100]!r}", hint=hint)


class TriggerExistsError(ConflictError):
    """There is another trigger of this name."""

    code = "trigger-exists"

    def __init__(self, there: EnabledTrigger) -> None:
        super().__init__(
            f"trigger {there.name!r} is there already: it polls {there.following.name!r}, "
            f"follows {there.following.reference}, and starts {there.reference}",
            hint=f"forget it with: cloacina trigger delete {there.name}",
        )


class TriggerPausedError(ConflictError):
    """A trigger isn't polled before it is resumed."""

    code = "trigger-paused"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"trigger {name!r} is paused", hint=f"resume it with: cloacina trigger resume {name}"
        )


@dataclass(frozen=True, slots=True)
class PollClaim:
    """A poll that is to be made."""

    id: str
    trigger: EnabledTrigger
    cursor: str | None
    """As JSON text; None: there was no poll before."""
    began: int
    """In microseconds, on the database's clock."""


@dataclass(frozen=True, slots=True)
class OpenFired:
    """A run that a trigger asks for, and that is to be started."""

    trigger: EnabledTrigger
    poll: int
    poll_id: str
    position: int
    key: str | None
    params: Mapping[str, JsonValue] | None
    at: datetime

    @property
    def starter(self) -> StartedBy:
        """What the run is started by."""
        return StartedBy(kind=StarterKind.TRIGGER, name=self.trigger.name, key=self.key)

    @property
    def run_key(self) -> str:
        """The idempotency key of the run."""
        return f"trigger/{self.trigger.name}/{self.poll_id}/{self.position}"


class TriggerStore:
    """Keeps triggers, and decides who polls them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, trigger: EnabledTrigger, *, is_paused: bool = False) -> tuple[TriggerState, bool]:
        """Keep a trigger; return it, and whether it is new. The same one again changes nothing.

        Raises:
            TriggerExistsError: another one has the name.
        """
        with self._database.begin() as connection:
            found = self._find(connection, trigger.name, lock=True)
            if found is not None:
                there = EnabledTrigger.from_text(found.body)
                if _started_by(there) != _started_by(trigger):
                    raise TriggerExistsError(there)
                return self._state(connection, trigger.name), False
            now = self._database.now_micros(connection)
            values = {
                "name": trigger.name,
                "body": trigger.to_text(),
                "paused": is_paused,
                "failures": 0,
                "next_at": now,
                "pause": 0,
                "polls": 0,
                "created_at": now,
                "updated_at": now,
            }
            connection.execute(insert(_triggers).values(**values))
            announce(connection)
            return self._state(connection, trigger.name), True

    def pause(self, name: str, *, is_paused: bool) -> TriggerState:
        """Have a trigger not be polled, or again, at once. A poll that runs comes to its end.

        Raises:
            UnknownTriggerError: there is none of this name.
        """
        with self._database.begin() as connection:
            row = self._get(connection, name, lock=True)
            if row.paused != is_paused:
                now = self._database.now_micros(connection)
                self._set(connection, name, updated_at=now, paused=is_paused, next_at=now)
                announce(connection)
            return self._state(connection, name)

    def poll_now(self, name: str) -> TriggerState:
        """Have a trigger polled at once, however long it failed.

        Raises:
            UnknownTriggerError: there is none of this name.
            TriggerPausedError: it is paused.
        """
        with self._database.begin() as connection:
            if self._get(connection, name, lock=True).paused:
                raise TriggerPausedError(name)
            self._set(connection, name, next_at=self._database.now_micros(connection))
            announce(connection)
            return self._state(connection, name)

    def delete(self, name: str) -> None:
        """Forget a trigger, its cursor, keys and history. Runs that it started go on.

        Raises:
            UnknownTriggerError: there is none of this name.
        """
        with self._database.begin() as connection:
            self._get(connection, name, lock=True)
            for table in (_fired, _polls, _keys):
                connection.execute(delete(table).where(table.c.trigger == name))
            connection.execute(delete(_triggers).where(_triggers.c.name == name))

    def get(self, name: str) -> TriggerState:
        """Return a trigger.

        Raises:
            UnknownTriggerError: there is none of this name.
        """
        with self._database.read() as connection:
            return self._state(connection, name)

    def all(self) -> list[TriggerState]:
        """Return all triggers, by name."""
        query = select(_triggers).order_by(_triggers.c.name)
        with self._database.read() as connection:
            due, now = _due(connection), self._database.now_micros(connection)
            given_up = poll_history.given_up(connection)
            return [
                _state(row, due.get(row.name, 0), _hangs_since(row, given_up.get(row.name), now))
                for row in connection.execute(query)
            ]

    def history(self, name: str, *, before: int | None = None, limit: int = 50) -> list[PollRecord]:
        """Return polls of a trigger, newest first; those that came to the same nothing as one.

        Args:
            name: of the trigger.
            before: only those with a lower number.
            limit: how many at most.

        Raises:
            UnknownTriggerError: there is none of this name.
        """
        with self._database.read() as connection:
            self._get(connection, name)
            return poll_history.entries(connection, name, before=before, limit=limit)

    def survey(self) -> tuple[timedelta | None, bool]:
        """Return in how long one is to be polled, and whether runs are to be started.

        The length is by the database's clock; None: never. It is asked often, and almost always in
        vain: it is one small question.
        """
        with self._database.read() as connection:
            if is_on_hold(self._database, connection):
                return None, False
            now = self._database.now_micros(connection)
            was_put_back = _triggers.c.next_at - _triggers.c.pause > now  # the clock
            is_claimed = _triggers.c.claimed_until > _triggers.c.next_at
            free_at = case(
                (was_put_back, now),
                (is_claimed, _triggers.c.claimed_until),
                else_=_triggers.c.next_at,
            )
            first = select(func.min(free_at)).where(_triggers.c.paused.is_(False))
            waits = select(_fired.c.poll).where(schema.DUE).exists()
            query = select(first.scalar_subquery().label("due"), waits.label("waits"))
            row = connection.execute(query).one()
            due = None if row.due is None else timedelta(microseconds=row.due - now)
            return due, bool(row.waits)

    def claim(
        self, new_id: Callable[[], str], most: int, *, without: Collection[str] = ()
    ) -> list[PollClaim]:
        """Take triggers that are to be polled now, those first that waited longest.

        Args:
            new_id: makes an id for each poll.
            most: how many.
            without: names of triggers to leave to others.
        """
        with self._database.read() as connection:  # as good as always there is nothing to do
            now = self._database.now_micros(connection)
            query = self._to_poll(now, without).limit(1)
            if most <= 0 or connection.execute(query).first() is None:
                return []
            if is_on_hold(self._database, connection):
                return []
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            query = self._to_poll(now, without).order_by(_triggers.c.next_at).limit(most)
            rows = connection.execute(query.with_for_update(skip_locked=True)).all()
            return [
                claim
                for row in rows
                if (claim := self._claim(connection, row, new_id(), now)) is not None
            ]

    def _to_poll(self, now: int, without: Collection[str]) -> Any:
        return select(_triggers).where(
            _triggers.c.paused.is_(False),
            # Or the clock was put back since it was said when it is polled next.
            or_(_triggers.c.next_at <= now, _triggers.c.next_at - _triggers.c.pause > now),
            is_free(_triggers.c.claimed_until, now, LONGEST_POLL + MARGIN),
            _triggers.c.name.not_in(sorted(without)),
        )

    def _claim(
        self, connection: Connection, row: Row[Any], poll_id: str, now: int
    ) -> PollClaim | None:
        trigger = EnabledTrigger.from_text(row.body)
        definition = trigger.definition
        if definition.overlap == "skip" and self._is_live(connection, row.name):
            number = poll_history.note(connection, row, _OVERLAPPED, (), poll_id=poll_id, now=now)
            pause = definition.every // _MICROSECOND
            self._set(connection, row.name, polls=number, next_at=now + pause, pause=pause)
            return None
        until = now + (definition.timeout + MARGIN) // _MICROSECOND
        self._set(connection, row.name, claimed_by=poll_id, claimed_until=until)
        return PollClaim(poll_id, trigger, row.cursor, now)

    def _is_live(self, connection: Connection, name: str) -> bool:
        of_it = _fired.c.trigger == name
        due = select(_fired.c.poll).where(of_it, schema.DUE).limit(1)
        if connection.execute(due).first() is not None:
            return True
        recent = select(_fired.c.run_id).where(of_it, _fired.c.run_id.is_not(None))
        recent = recent.order_by(_fired.c.poll.desc(), _fired.c.position.desc()).limit(_RECENT)
        ids = list(connection.execute(recent).scalars())
        live = select(_runs.c.id).where(_runs.c.id.in_(ids), schema.LIVE).limit(1)
        return connection.execute(live).first() is not None

    def let_go(self, claim: PollClaim) -> None:
        """Leave a trigger that was claimed to whoever comes first."""
        with self._database.begin() as connection:
            place = _triggers.c.name == claim.trigger.name, _triggers.c.claimed_by == claim.id
            freed = update(_triggers).where(*place)
            connection.execute(freed.values(claimed_by=None, claimed_until=0))
            announce(connection)

    def finish(self, claim: PollClaim, outcome: PollOutcome) -> bool:
        """Write what a poll came to; False when it doesn't have its trigger any more."""
        name = claim.trigger.name
        with self._database.begin() as connection:
            row = self._find(connection, name, lock=True)
            if row is None or row.claimed_by != claim.id:
                return False
            now = self._database.now_micros(connection)
            has_failed = outcome.state is PollState.FAILED
            failures = row.failures + 1 if has_failed else 0
            definition = outcome.definition or claim.trigger.definition
            polled = replace(
                claim.trigger,
                definition=definition,
                following=_following(claim.trigger.following, outcome.release),
            )
            pause = definition.pause_after(failures) // _MICROSECOND
            if not has_failed:
                every = claim.trigger.definition.every
                trigger_keys.pass_over(connection, name, row.polled_at, every, now)
            decided = _decided(connection, name, outcome.fired, definition, now)
            number = poll_history.note(connection, row, outcome, decided, poll_id=claim.id, now=now)
            if FiredState.DUE in decided:
                announce(connection)
            self._set(
                connection,
                name,
                body=polled.to_text(),
                cursor=row.cursor if outcome.cursor is None else outcome.cursor,
                failures=failures,
                polls=number,
                polled_at=row.polled_at if has_failed else now,
                next_at=now + pause if has_failed else max(now, claim.began + pause),
                pause=pause,
                claimed_by=None,
                claimed_until=0,
            )
            return True

    def waits(self) -> bool:
        """Whether runs are to be started."""
        with self._database.read() as connection:
            query = select(_fired.c.poll).where(schema.DUE).limit(1)
            waits = connection.execute(query).first() is not None
            return waits and not is_on_hold(self._database, connection)

    def claim_fired(self) -> list[OpenFired]:
        """Take runs that are to be started, oldest first, for a while."""
        if not self.waits():  # which is almost always: nobody should wait for our transaction
            return []
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            query = select(_fired).where(schema.DUE, is_free(_fired.c.claimed_until, now, CLAIM))
            query = query.order_by(_fired.c.trigger, _fired.c.poll, _fired.c.position)
            query = query.limit(_AT_A_TIME).with_for_update(skip_locked=True)
            rows = connection.execute(query).all()
            found = [self._claim_one(connection, row, now) for row in rows]
            return [one for one in found if one is not None]

    def _claim_one(self, connection: Connection, row: Row[Any], now: int) -> OpenFired | None:
        trigger = self._find(connection, row.trigger)
        if trigger is None:
            return None
        until = now + CLAIM // _MICROSECOND
        place = _place(row.trigger, row.poll, row.position)
        connection.execute(update(_fired).where(*place).values(claimed_until=until))
        return OpenFired(
            EnabledTrigger.from_text(trigger.body),
            row.poll,
            row.poll_id,
            row.position,
            row.key,
            None if row.params is None else decode(row.params),
            from_micros(row.decided_at),
        )

    def started(self, fired: OpenFired, run_id: RunId) -> None:
        """Note that a run was accepted."""
        with self._database.begin() as connection:
            self._close(connection, fired, state=FiredState.STARTED.value, run_id=run_id)
            if fired.key is not None:
                trigger_keys.started(connection, fired.trigger.name, fired.key, run_id)

    def failed(self, fired: OpenFired, reason: str) -> None:
        """Note that a run can't be started."""
        with self._database.begin() as connection:
            self._close(connection, fired, state=FiredState.FAILED.value, reason=reason)

    def _close(self, connection: Connection, fired: OpenFired, **values: Any) -> None:
        place = _place(fired.trigger.name, fired.poll, fired.position)
        now = self._database.now_micros(connection)
        closed = update(_fired).where(*place, schema.DUE)
        connection.execute(closed.values(decided_at=now, **values))

    def _set(self, connection: Connection, name: str, **values: Any) -> None:
        connection.execute(update(_triggers).where(_triggers.c.name == name).values(**values))

    def _find(self, connection: Connection, name: str, *, lock: bool = False) -> Row[Any] | None:
        query = select(_triggers).where(_triggers.c.name == name)
        return connection.execute(query.with_for_update() if lock else query).one_or_none()

    def _get(self, connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
        row = self._find(connection, name, lock=lock)
        if row is None:
            names = list(connection.execute(select(_triggers.c.name)).scalars())
            raise UnknownTriggerError(name, nearest(name, names))
        return row

    def _state(self, connection: Connection, name: str) -> TriggerState:
        row, now = self._get(connection, name), self._database.now_micros(connection)
        since = _hangs_since(row, poll_history.given_up(connection).get(name), now)
        return _state(row, _due(connection).get(name, 0), since)


def _started_by(trigger: EnabledTrigger) -> tuple[str, str, str]:
    """Return what a trigger polls, what it follows, and what it starts."""
    return trigger.following.name, trigger.following.reference, trigger.reference


def _following(following: Following, polled: Release | None) -> Following:
    """Return what a trigger follows, declared by the release that was polled, if one was."""
    if polled is None:
        return following
    return replace(following, version=polled.version, digest=polled.digest)


_OVERLAPPED = PollOutcome(state=PollState.SKIPPED, reason=_OVERLAP)


def _decided(
    connection: Connection,
    trigger: str,
    fired: Sequence[Fire],
    definition: TriggerDefinition,
    now: int,
) -> list[FiredState]:
    """Return what becomes of each run that a poll asks for; of one key, one is to be started."""
    window = definition.key_window
    are_new = (
        one.key is None or trigger_keys.take(connection, trigger, one.key, window, now)
        for one in fired
    )
    return [FiredState.DUE if is_new else FiredState.REPEATED for is_new in are_new]


def _place(trigger: str, poll: int, position: int) -> tuple[Any, ...]:
    return _fired.c.trigger == trigger, _fired.c.poll == poll, _fired.c.position == position


def _due(connection: Connection) -> dict[str, int]:
    query = select(_fired.c.trigger, func.count().label("due")).where(schema.DUE)
    return {row.trigger: row.due for row in connection.execute(query.group_by(_fired.c.trigger))}


def _hangs_since(row: Row[Any], given_up: int | None, now: int) -> int | None:
    """Return since when a poll runs that was given up and keeps others from being made."""
    is_late = not row.paused and row.next_at <= now and row.claimed_until <= now
    if given_up is None or not is_late:
        return None
    timeout = EnabledTrigger.from_text(row.body).definition.timeout
    return given_up - timeout // _MICROSECOND


def _state(row: Row[Any], due: int, hangs_since: int | None) -> TriggerState:
    return TriggerState(
        trigger=EnabledTrigger.from_text(row.body),
        is_paused=row.paused,
        failures=row.failures,
        cursor=None if row.cursor is None else decode(row.cursor),
        due=due,
        next_at=None if row.paused else from_micros(row.next_at),
        hangs_since=None if hangs_since is None else from_micros(hangs_since),
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )
