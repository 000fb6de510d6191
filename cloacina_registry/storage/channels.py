"""Where channels point, and pointed: a row in the store for each change, and none ever changes.

The newest row of a channel is what holds. A change adds the row after the one that it was decided
on. Of two who decide on the same row, one finds the place taken: compare and set.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    func,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.digest import Digest
from cloacina_core.model.channel import Canary, Channel
from cloacina_registry import tables

_moves = tables.channel_moves
_c = _moves.c


class MoveKind(StrEnum):
    """What can be done with a channel."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    CANARY = "canary"
    """A release is tried out, or gets another share of the runs."""
    CANARY_STOPPED = "canary-stopped"
    CANARY_PROMOTED = "canary-promoted"
    PIN = "pin"
    UNPIN = "unpin"


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRules:
    """What decides about a release that is tried out."""

    max_failures: int = 500
    """How many of 10,000 runs may fail before it is stopped: a percentage in hundredths."""
    min_runs: int = 20
    """How many runs must have ended before it is promoted."""
    bake: timedelta = timedelta()
    """How long it must have been tried out before it is promoted."""
    promotes: bool = True
    """Whether it is promoted without being asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A release that is tried out in a channel."""

    version: str
    digest: Digest
    share: int
    """How many of 10,000 runs get it."""
    since: int
    """The revision of the channel with which the trial began."""
    started_at: datetime
    rules: CanaryRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A channel as one change left it."""

    package: str
    channel: str
    revision: int
    """Counted from 1, without holes."""
    kind: MoveKind
    version: str
    digest: Digest
    trial: Trial | None = None
    pinned: str | None = None
    """Why it isn't to be moved; None: it may be."""
    before: int | None = None
    """The revision that a rollback returns to; None: there is nothing before."""
    at: datetime
    actor: str
    reason: str = ""

    def as_channel(self) -> Channel:
        """Return the channel as references are resolved by it."""
        trial = self.trial
        return Channel(
            package=self.package,
            name=self.channel,
            revision=self.revision,
            version=self.version,
            digest=self.digest,
            canary=None
            if trial is None
            else Canary(version=trial.version, digest=trial.digest, share=trial.share),
        )

    def __str__(self) -> str:
        return f"{self.package}@{self.channel}"


class ChannelMoves:
    """The channels, seen through one transaction of the store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, move: Move) -> bool:
        """Add a change. False, and nothing changes, when its revision is taken."""
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(_moves).values(_row(move)))
        except IntegrityError:
            return False
        return True

    def current(self, package: str | None = None) -> list[Move]:
        """Return channels as they are, of one package or of all, by package and name."""
        newest = select(_c.package, _c.channel, func.max(_c.revision).label("revision"))
        if package is not None:
            newest = newest.where(_c.package == package)
        places = newest.group_by(_c.package, _c.channel).subquery()
        query = select(_moves).join(
            places,
            (_c.package == places.c.package)
            & (_c.channel == places.c.channel)
            & (_c.revision == places.c.revision),
        )
        return self._all(query.order_by(_c.package, _c.channel))

    def get(self, package: str, channel: str, revision: int | None = None) -> Move | None:
        """Return a channel as it is, or as it was at a revision; None if there is no such."""
        query = select(_moves).where(_c.package == package, _c.channel == channel)
        if revision is not None:
            query = query.where(_c.revision == revision)
        found = self._all(query.order_by(_c.revision.desc()).limit(1))
        return found[0] if found else None

    def history(self, package: str, channel: str, *, limit: int) -> list[Move]:
        """Return the changes of a channel, newest first."""
        query = select(_moves).where(_c.package == package, _c.channel == channel)
        return self._all(query.order_by(_c.revision.desc()).limit(limit))

    def _all(self, query: Select[Any]) -> list[Move]:
        return [_move(row) for row in self._connection.execute(query)]


def _row(move: Move) -> dict[str, Any]:
    trial = move.trial
    row = {
        "package": move.package,
        "channel": move.channel,
        "revision": move.revision,
        "kind": move.kind.value,
        "version": move.version,
        "digest": move.digest,
        "pinned": move.pinned,
        "before": move.before,
        "at": to_micros(move.at),
        "actor": move.actor,
        "reason": move.reason,
    }
    if trial is None:
        return row
    return row | {
        "canary_version": trial.version,
        "canary_digest": trial.digest,
        "canary_share": trial.share,
        "canary_since": trial.since,
        "canary_started_at": to_micros(trial.started_at),
        "canary_max_failures": trial.rules.max_failures,
        "canary_min_runs": trial.rules.min_runs,
        "canary_bake": trial.rules.bake // timedelta(microseconds=1),
        "canary_promotes": trial.rules.promotes,
    }


def _move(row: Row[Any]) -> Move:
    return Move(
        package=row.package,
        channel=row.channel,
        revision=row.revision,
        kind=MoveKind(row.kind),
        version=row.version,
        digest=Digest(row.digest),
        trial=None if row.canary_version is None else _trial(row),
        pinned=row.pinned,
        before=row.before,
        at=from_micros(row.at),
        actor=row.actor,
        reason=row.reason,
    )


def _trial(row: Row[Any]) -> Trial:
    return Trial(
        version=row.canary_version,
        digest=Digest(row.canary_digest),
        share=row.canary_share,
        since=row.canary_since,
        started_at=from_micros(row.canary_started_at),
        rules=CanaryRules(
            max_failures=row.canary_max_failures,
            min_runs=row.canary_min_runs,
            bake=timedelta(microseconds=row.canary_bake),
            promotes=bool(row.canary_promotes),
        ),
    )
