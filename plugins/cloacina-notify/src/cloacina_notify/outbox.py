"""The messages of a store: noted once, claimed by one engine at a time, ended visibly.

All moments are those of the database's clock. A message is claimed for a while before it is tried,
and the claim counts the try: an engine that dies in the midst of it leaves it to others when that
while is over. What became of a try is written only by who still has the claim.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, delete, func, select, update

from cloacina_core.errors import NotFoundError
from cloacina_core.plugin import RuntimeView
from cloacina_notify.notification import Notification
from cloacina_notify.sending import Message
from cloacina_notify.tables import destinations, messages

DUE, DELIVERED, GIVEN_UP = "due", "delivered", "given-up"
STATES = (DUE, DELIVERED, GIVEN_UP)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST_PROBLEM = 500
_MOST_FORGOTTEN = 500


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that is this engine's for a while."""

    message: Message
    attempt: int
    """The number of the try, from 1."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a claim."""

    claim: Claim
    problem: str | None = None
    """None: it arrived."""
    again_in: timedelta | None = None
    """When it is tried again; None when it arrived or is given up."""
    is_released: bool = False
    """It wasn't tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message as it stands."""

    id: str
    destination: str
    type: str
    about: str
    state: str
    attempts: int
    queued_at: datetime
    """Since when it is to be sent: since it was noted, or retried by hand."""
    next_at: datetime | None
    ended_at: datetime | None
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the message as a JSON object."""
        return {
            "id": self.id,
            "destination": self.destination,
            "type": self.type,
            "about": self.about,
            "state": self.state,
            "attempts": self.attempts,
            "queued_at": _text(self.queued_at),
            "next_at": _text(self.next_at),
            "ended_at": _text(self.ended_at),
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a destination stands."""

    due: int = 0
    oldest_due: datetime | None = None
    """Since when the oldest of those is to be sent."""
    failing: int = 0
    """How many of those were tried in vain."""
    given_up: int = 0
    paused_until: datetime | None = None
    """Nothing is sent before: the last try failed."""
    disabled_at: datetime | None = None
    disabled_because: str | None = None


class Outbox:
    """The messages of one store."""

    def __init__(self, view: RuntimeView) -> None:
        self._view = view

    def open(self, destination: str) -> tuple[datetime, datetime]:
        """Return since when a destination is told, and up to when what happened was noted.

        A new one is told from now on.
        """
        with self._view.read() as connection:
            place = _place(connection, destination)
        if place is None:
            with self._view.begin() as connection:
                now = self._now(connection)
                row = {"name": destination, "since": now, "noted_until": now}
                _add(connection, destinations, [row])
                place = _place(connection, destination)
        return _moment(place.since), _moment(place.noted_until)

    def now(self) -> datetime:
        """Return the time on the database's clock."""
        with self._view.read() as connection:
            return self._view.database_now(connection)

    def known(self, ids: Collection[str]) -> set[str]:
        """Return those of some messages that were noted already."""
        query = select(messages.c.id).where(messages.c.id.in_(ids))
        with self._view.read() as connection:
            return set(connection.scalars(query))

    def note(
        self, destination: str, notifications: Sequence[Notification], until: datetime
    ) -> None:
        """Note notifications for a destination, each once, and how far it was looked for them."""
        with self._view.begin() as connection:
            connection.execute(
                update(destinations)
                .where(destinations.c.name == destination)
                .values(noted_until=_latest(destinations.c.noted_until, _micros(until)))
            )
            if notifications:
                now = self._now(connection)
                rows = [_new(destination, one, now) for one in notifications]
                _add(connection, messages, rows)

    def due_in(self, destination: str) -> timedelta | None:
        """Return when something is to be sent to a destination; None when nothing is."""
        free_at = func.min(_latest(messages.c.next_at, messages.c.claimed_until))
        query = select(free_at).where(_is_due_for(destination))
        with self._view.read() as connection:
            place = _place(connection, destination)
            first = connection.execute(query).scalar()
            now = self._now(connection)
        if first is None or place is None or place.disabled_at is not None:
            return None
        return timedelta(microseconds=max(0, first - now, place.not_before - now))

    def claim(self, destination: str, token: str, count: int, hold: timedelta) -> list[Claim]:
        """Take some of the messages that are due, those that were due first.

        Args:
            destination: of which destination.
            token: who takes them; nobody else has it.
            count: how many at most.
            hold: how long they are this one's.
        """
        with self._view.begin() as connection:
            now = self._now(connection)
            place = _place(connection, destination)
            if place is None or place.disabled_at is not None or place.not_before > now:
                return []
            found = (
                select(messages.c.id)
                .where(
                    _is_due_for(destination),
                    messages.c.next_at <= now,
                    messages.c.claimed_until <= now,
                )
                .order_by(messages.c.next_at)
                .limit(count)
                .with_for_update(skip_locked=True)
            )
            taken = connection.execute(
                update(messages)
                .where(messages.c.id.in_(connection.scalars(found).all()))
                .values(
                    claimed_by=token,
                    claimed_until=now + hold // _MICROSECOND,
                    attempts=messages.c.attempts + 1,
                )
                .returning(messages.c.id, messages.c.body, messages.c.attempts)
            )
            return [Claim(Message(one_id, body), attempts) for one_id, body, attempts in taken]

    def record(
        self,
        destination: str,
        token: str,
        results: Sequence[Result],
        *,
        pause: timedelta | None = None,
        disabled_because: str | None = None,
    ) -> None:
        """Write down what became of claims, as far as they are this one's still.

        Args:
            destination: of which destination.
            token: who claimed them.
            results: of the claims.
            pause: how long the destination is left alone now.
            disabled_because: why nothing is sent there any more.
        """
        with self._view.begin() as connection:
            now = self._now(connection)
            for result in results:
                connection.execute(
                    update(messages)
                    .where(
                        messages.c.id == result.claim.message.id,
                        messages.c.claimed_by == token,
                        messages.c.attempts == result.claim.attempt,
                        messages.c.state == DUE,
                    )
                    .values(_changes(result, now))
                )
            values: dict[str, Any] = {}
            if pause is not None:
                values["not_before"] = now + pause // _MICROSECOND
            if disabled_because is not None:
                values |= {"disabled_at": now, "disabled_because": disabled_because}
            if values:
                connection.execute(
                    update(destinations).where(destinations.c.name == destination).values(values)
                )

    def give_up_old(self, destination: str, age: timedelta) -> int:
        """Give up what couldn't be sent for so long; return how many."""
        with self._view.read() as connection:
            old = self._older(connection, destination, age)
            if connection.execute(select(messages.c.id).where(*old).limit(1)).scalar() is None:
                return 0
        with self._view.begin() as connection:
            old = self._older(connection, destination, age)
            now = self._now(connection)
            values = {"state": GIVEN_UP, "ended_at": now}
            return int(connection.execute(update(messages).where(*old).values(values)).rowcount)

    def forget(self, age: timedelta) -> int:
        """Delete some of the messages that ended so long ago; return how many."""
        with self._view.read() as connection:
            before = self._now(connection) - age // _MICROSECOND
            query = select(messages.c.id).where(messages.c.ended_at < before)
            ids = connection.scalars(query.limit(_MOST_FORGOTTEN)).all()
        if not ids:
            return 0
        with self._view.begin() as connection:
            gone = delete(messages).where(messages.c.id.in_(ids), messages.c.ended_at < before)
            return int(connection.execute(gone).rowcount)

    def history(
        self,
        *,
        destination: str | None = None,
        state: str | None = None,
        about: str | None = None,
        limit: int = 50,
    ) -> list[StoredMessage]:
        """Return messages, the newest first."""
        query = select(messages)
        for column, wanted in (
            (messages.c.destination, destination),
            (messages.c.state, state),
            (messages.c.about, about),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        newest = query.order_by(messages.c.queued_at.desc(), messages.c.id.desc())
        with self._view.read() as connection:
            return [_stored(row) for row in connection.execute(newest.limit(limit))]

    def standings(self) -> Mapping[str, Standing]:
        """Return how each destination stands that was ever used."""
        counts = (
            select(
                messages.c.destination,
                messages.c.state,
                func.count().label("count"),
                func.count(messages.c.problem).label("failing"),
                func.min(messages.c.queued_at).label("oldest"),
            )
            .where(messages.c.state != DELIVERED)
            .group_by(messages.c.destination, messages.c.state)
        )
        with self._view.read() as connection:
            now = self._now(connection)
            places = connection.execute(select(destinations)).all()
            counted = {(row.destination, row.state): row for row in connection.execute(counts)}
        return {
            place.name: Standing(
                **_of_due(counted.get((place.name, DUE))),
                given_up=_count(counted.get((place.name, GIVEN_UP))),
                paused_until=_moment(place.not_before) if place.not_before > now else None,
                disabled_at=None if place.disabled_at is None else _moment(place.disabled_at),
                disabled_because=place.disabled_because,
            )
            for place in places
        }

    def retry(self, *, ids: Collection[str] = (), destination: str | None = None) -> list[str]:
        """Have messages that were given up tried anew; return which.

        Args:
            ids: those with these ids.
            destination: all those of a destination.

        Raises:
            NotFoundError: an id is of none that was given up.
        """
        wanted = (
            messages.c.id.in_(ids) if destination is None else messages.c.destination == destination
        )
        with self._view.begin() as connection:
            now = self._now(connection)
            done = connection.execute(
                update(messages)
                .where(wanted, messages.c.state == GIVEN_UP)
                .values(
                    state=DUE,
                    attempts=0,
                    next_at=now,
                    queued_at=now,
                    claimed_until=0,
                    ended_at=None,
                )
                .returning(messages.c.id)
            )
            found = sorted(done.scalars())
            if missing := set(ids) - set(found):
                raise NotFoundError(
                    f"there is no message {min(missing)!r} that was given up",
                    hint="see which were: cloacina notify history --state given-up",
                )
            return found

    def enable(self, destination: str) -> None:
        """Send to a destination again, at once.

        Raises:
            NotFoundError: nothing was ever sent there.
        """
        values = {"disabled_at": None, "disabled_because": None, "not_before": 0}
        with self._view.begin() as connection:
            place = update(destinations).where(destinations.c.name == destination)
            if not connection.execute(place.values(values)).rowcount:
                raise NotFoundError(
                    f"destination {destination!r} was never used",
                    hint="see which there are: cloacina notify list",
                )

    def _older(
        self, connection: Connection, destination: str, age: timedelta
    ) -> tuple[ColumnElement[bool], ...]:
        now = self._now(connection)
        return (
            _is_due_for(destination),
            messages.c.queued_at < now - age // _MICROSECOND,
            messages.c.claimed_until <= now,
        )

    def _now(self, connection: Connection) -> int:
        return _micros(self._view.database_now(connection))


def _of_due(row: Any) -> dict[str, Any]:
    if row is None:
        return {}
    return {"due": _count(row), "oldest_due": _moment(row.oldest), "failing": row.failing}


def _count(row: Any) -> int:
    return 0 if row is None else int(row[2])


def _add(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, but for those that are there: another engine may be faster."""
    insert: Any
    if connection.dialect.name == "postgresql":  # each dialect is slow to import: only one is
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415
    else:
        from sqlalchemy.dialects.sqlite import insert  # noqa: PLC0415
    connection.execute(insert(table).on_conflict_do_nothing(), rows)


def _new(destination: str, notification: Notification, now: int) -> dict[str, Any]:
    return {
        "id": notification.id_for(destination),
        "destination": destination,
        "type": notification.type,
        "about": notification.about,
        "body": notification.body_for(destination),
        "queued_at": now,
        "state": DUE,
        "attempts": 0,
        "next_at": now,
        "claimed_until": 0,
    }


def _place(connection: Connection, destination: str) -> Any:
    query = select(destinations).where(destinations.c.name == destination)
    return connection.execute(query).one_or_none()


def _is_due_for(destination: str) -> ColumnElement[bool]:
    return (messages.c.destination == destination) & (messages.c.state == DUE)


def _changes(result: Result, now: int) -> dict[str, Any]:
    """Return what a result changes of its message."""
    if result.is_released:
        return {"claimed_until": 0, "attempts": result.claim.attempt - 1}
    problem = result.problem and result.problem[:_MOST_PROBLEM]
    if result.again_in is not None:
        next_at = now + result.again_in // _MICROSECOND
        return {"claimed_until": 0, "next_at": next_at, "problem": problem}
    state = DELIVERED if problem is None else GIVEN_UP
    return {"claimed_until": 0, "state": state, "ended_at": now, "problem": problem}


def _latest(one: Any, other: Any) -> ColumnElement[int]:
    """Return the greater of two; the databases have no common word for it."""
    return case((one > other, one), else_=other)


def _stored(row: Any) -> StoredMessage:
    return StoredMessage(
        id=row.id,
        destination=row.destination,
        type=row.type,
        about=row.about,
        state=row.state,
        attempts=row.attempts,
        queued_at=_moment(row.queued_at),
        next_at=_moment(row.next_at) if row.state == DUE else None,
        ended_at=None if row.ended_at is None else _moment(row.ended_at),
        problem=row.problem,
    )


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
