"""What is to run when, and what becomes of firings that were missed or come too soon."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, decode, encode
from cloacina_core.foundation.names import name_problem
from cloacina_core.foundation.period import Period
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.params import accept_params
from cloacina_core.model.schedule.cron import CronExpression
from cloacina_core.model.schedule.fields import (
    LENGTHS,
    MOMENTS,
    length_from_json,
    moment_from_json,
    require_fields,
    texts_of,
)
from cloacina_core.model.schedule.firing import Firing, FoldPolicy, GapPolicy, Timing
from cloacina_core.model.schedule.window import Window
from cloacina_core.model.schedule.zone import find_zone

W = TypeVar("W", bound=StrEnum)

MOST_CAUGHT_UP: Final = 1000
MOST_RUNS: Final = 2**31 - 1
MOST_BACKFILLED: Final = 10_000
MOST_PARALLEL: Final = 1000
MOST_WINDOWS: Final = 20
LONGEST_WINDOW: Final = timedelta(days=31)
LONGEST_JITTER: Final = timedelta(hours=12)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9998, 12, 31, tzinfo=UTC)
"""Room for every offset: what lies beyond can't be told in each time zone."""


class CatchUp(StrEnum):
    """What becomes of firings that no engine was there for."""

    SKIP = "skip"
    """They are skipped."""
    LATEST = "latest"
    """The latest starts, when nothing newer is due."""
    ALL = "all"
    """They start, oldest first, as many as the limit allows; older ones are skipped."""


class Overlap(StrEnum):
    """What becomes of a firing while a run of the same schedule is live."""

    ALLOW = "allow"
    """It starts beside that."""
    SKIP = "skip"
    """It is skipped."""
    QUEUE = "queue"
    """It starts when that has ended; at most one waits, and others are skipped."""
    CANCEL_PREVIOUS = "cancel-previous"
    """It starts, and that is cancelled."""


class InWindow(StrEnum):
    """What becomes of firings in a maintenance window."""

    SKIP = "skip"
    """They are skipped."""
    PUT_OFF = "put-off"
    """The last one in it starts when it closes, and those before are skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A rule that says when runs of a reference are to be started. `checked` makes it."""

    name: str
    reference: str
    """Resolved anew at each firing: a channel or a specifier is followed."""
    timing: Timing
    timezone: str
    params: Mapping[str, JsonValue] | None = None
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_limit: int = 100
    """How many missed firings start at most, with `all`."""
    catch_up_window: timedelta = timedelta(days=1)
    """Firings that are older are skipped in any case."""
    overlap: Overlap = Overlap.ALLOW
    jitter: timedelta = timedelta(0)
    """Up to how much later than due the runs start; how much exactly follows from the name."""
    starts_at: datetime | None = None
    """Nothing is due before; aware."""
    ends_at: datetime | None = None
    """Nothing is due from then on; aware."""
    max_runs: int | None = None
    """How many runs it starts at all."""
    priority: int = 0
    """Of the runs."""
    not_during: tuple[Window, ...] = ()
    """Windows in which it starts nothing, on the clock of its time zone."""
    in_window: InWindow = InWindow.SKIP
    """What becomes of firings in these, and in those that hold for all schedules."""

    @classmethod
    def checked(
        cls,
        name: str,
        reference: str,
        *,
        cron: str,
        timezone: str = "UTC",
        gap: str | None = None,
        fold: str | None = None,
        not_during: Iterable[str] = (),
        **others: Any,
    ) -> "Schedule":
        """Return a schedule whose every part can be used.

        Args:
            name: unique in the store.
            reference: what to run.
            cron: a cron expression.
            timezone: the name of a time zone, as `Europe/Berlin`.
            gap: what becomes of times that the clock skips; None: see `Timing`.
            fold: what becomes of times that the clock shows twice; None: see `Timing`.
            not_during: maintenance windows, as `Window.parse` reads them.
            **others: the other fields of a schedule.

        Raises:
            InputError: a part can't be used.
        """
        given = {**others, "cron": cron, "timezone": timezone}
        require_fields(given, {*cls.__dataclass_fields__, "cron"} - {"timing"})
        timing = Timing(
            CronExpression.parse(cron),
            find_zone(timezone),
            gap=None if gap is None else _word(GapPolicy, gap, "gap"),
            fold=None if fold is None else _word(FoldPolicy, fold, "fold"),
        )
        for field, policy in _POLICIES.items():
            if field in others:
                others[field] = _word(policy, others[field], field)
        windows = tuple(Window.parse(text, timing.zone) for text in _listed(not_during))
        schedule = cls(
            name=name,
            reference=reference,
            timing=timing,
            timezone=timezone,
            not_during=windows,
            **others,
        )
        schedule._check()
        return schedule

    def _check(self) -> None:
        wrong = name_problem(self.name, "schedule")
        if wrong:
            raise InputError(wrong)
        if self.params is not None:
            try:
                encode(dict(self.params))
            except NotJsonError as error:
                raise InputError(f"the params can't be stored: {error}") from None
        for what, value, least, most in (
            ("catch_up_limit", self.catch_up_limit, 1, MOST_CAUGHT_UP),
            ("max_runs", 1 if self.max_runs is None else self.max_runs, 1, MOST_RUNS),
            ("priority", self.priority, 1 - 2**31, 2**31 - 1),
        ):
            if type(value) is not int or not least <= value <= most:
                raise InputError(f"{what} is a whole number from {least} to {most}, not {value!r}")
        for what, length, longest in (
            ("catch_up_window", self.catch_up_window, LONGEST_WINDOW),
            ("jitter", self.jitter, LONGEST_JITTER),
        ):
            if not timedelta(0) <= length <= longest:
                raise InputError(f"{what} is a length of up to {Period(longest)}")
        for moment in (self.starts_at, self.ends_at):
            if moment is not None and moment.tzinfo is None:
                raise InputError(f"{moment.isoformat()} has no time zone: say which moment it is")
            if moment is not None and not _EARLIEST <= moment <= _LATEST:
                raise InputError(f"{moment.isoformat()} isn't between the years 1970 and 9998")
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise InputError("it ends before it starts: nothing would ever be due")

    @property
    def delay(self) -> timedelta:
        """How much later than due its runs start."""
        digest = hashlib.sha256(self.name.encode()).digest()
        return self.jitter * int.from_bytes(digest[:4], "big") // 2**32

    def firings(self, after: datetime) -> Iterator[Firing]:
        """Yield all firings behind a moment, in order, up to the end of the schedule."""
        start = after if self.starts_at is None else max(after, self.starts_at - _AN_INSTANT)
        for firing in self.timing.firings(start):
            if self.ends_at is not None and firing.utc >= self.ends_at:
                return
            yield firing

    def require_taken_by(self, definition: WorkflowDefinition) -> None:
        """Refuse a workflow that wouldn't take the params.

        Raises:
            InputError: it wouldn't.
        """
        accept_params(definition, self.params)

    def next_firing(self, after: datetime) -> Firing | None:
        """Return the first firing behind a moment; None when there is none any more."""
        return next(self.firings(after), None)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the schedule as a JSON object."""
        timing = self.timing
        return {
            "name": self.name,
            "reference": self.reference,
            "cron": str(timing.expression),
            "timezone": self.timezone,
            "gap": None if timing.gap is None else timing.gap.value,
            "fold": None if timing.fold is None else timing.fold.value,
            "params": None if self.params is None else dict(self.params),
            "catch_up": self.catch_up.value,
            "catch_up_limit": self.catch_up_limit,
            "catch_up_window": int(self.catch_up_window.total_seconds()),
            "overlap": self.overlap.value,
            "jitter": int(self.jitter.total_seconds()),
            "starts_at": None if self.starts_at is None else iso(self.starts_at),
            "ends_at": None if self.ends_at is None else iso(self.ends_at),
            "max_runs": self.max_runs,
            "priority": self.priority,
            "not_during": [str(window) for window in self.not_during],
            "in_window": self.in_window.value,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Schedule":
        """Return the schedule that `to_json` told of."""
        rest = dict(data)
        for field in LENGTHS:
            rest[field] = length_from_json(field, rest[field])
        for field in MOMENTS:
            rest[field] = moment_from_json(field, rest[field])
        return cls.checked(**rest)

    @classmethod
    def from_text(cls, text: str) -> "Schedule":
        """Return the schedule that the JSON text of one tells of."""
        return cls.from_json(decode(text))

    def changed(self, **changes: Any) -> "Schedule":
        """Return the schedule with other values of some fields of `to_json`.

        Raises:
            InputError: a value can't be used.
        """
        schedule = Schedule.from_json({**self.to_json(), **changes})
        return replace(schedule, name=self.name)


_AN_INSTANT = timedelta(microseconds=1)
_POLICIES: Final[Mapping[str, type[StrEnum]]] = {
    "catch_up": CatchUp,
    "overlap": Overlap,
    "in_window": InWindow,
}


def _listed(windows: Iterable[str]) -> list[str]:
    texts = texts_of("not_during", windows)
    if len(texts) > MOST_WINDOWS:
        raise InputError(f"{len(texts)} maintenance windows are too many; {MOST_WINDOWS} fit")
    return texts


def _word(policy: type[W], value: str, field: str) -> W:
    try:
        return policy(value)
    except ValueError:
        words = ", ".join(policy)
        raise InputError(f"{field} can't be {value!r}", hint=f"it is one of: {words}") from None


class FiringState(StrEnum):
    """What became of a firing."""

    DUE = "due"
    """A run is to be started."""
    WAITING = "waiting"
    """A run is to be started when an earlier one has ended."""
    STARTED = "started"
    """A run was started."""
    SKIPPED = "skipped"
    """None was started; the reason says why."""
    FAILED = "failed"
    """None could be started; the reason says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringRecord:
    """A firing, and what became of it."""

    schedule: str
    at: datetime
    """When it was due; aware, UTC."""
    local: str
    """The same on the clock of its time zone."""
    note: str | None
    state: FiringState
    reason: str | None
    run_id: str | None
    decided_at: datetime
    started_at: datetime | None
    """When its run was accepted."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the record as a JSON object."""
        return {
            "schedule": self.schedule,
            "at": iso(self.at),
            "local": self.local,
            "note": self.note,
            "state": self.state.value,
            "reason": self.reason,
            "run_id": self.run_id,
            "decided_at": iso(self.decided_at),
            "started_at": None if self.started_at is None else iso(self.started_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """A request to start the runs of firings in the past, a few at a time."""

    id: str
    schedule: str
    begins: datetime
    """The first moment that counts; aware, UTC."""
    ends: datetime
    """The first moment that doesn't."""
    parallel: int
    """How many of its runs are live at a time, at most."""
    firings: tuple[Firing, ...]
    """Those that start runs, oldest first."""
    started_before: int
    """How many firings of the time had their runs already; these don't get others."""
    pending_before: int
    """How many are to get their runs already, by the schedule or another backfill."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the backfill as a JSON object."""
        return {
            "id": self.id,
            "schedule": self.schedule,
            "begins": iso(self.begins),
            "ends": iso(self.ends),
            "parallel": self.parallel,
            "firings": [firing.to_json() for firing in self.firings],
            "started_before": self.started_before,
            "pending_before": self.pending_before,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingBackfill:
    """A backfill of which runs are still to be started."""

    id: str
    schedule: str
    begins: datetime
    """The first moment that counts; aware, UTC."""
    ends: datetime
    """The first moment that doesn't."""
    parallel: int
    """How many of its runs are live at a time, at most."""
    left: int
    """How many of its runs are still to be started."""
    begun: int
    """How many were started; some may have ended."""
    created_at: datetime

    def to_json(self) -> dict[str, JsonValue]:
        """Return the backfill as a JSON object."""
        return {
            "id": self.id,
            "schedule": self.schedule,
            "begins": iso(self.begins),
            "ends": iso(self.ends),
            "parallel": self.parallel,
            "left": self.left,
            "begun": self.begun,
            "created_at": iso(self.created_at),
        }
