"""What is known of a schedule, as people read it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloacina_core.cli.facts import aligned, told
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.period import Period
from cloacina_core.model.schedule.schedule import CatchUp, PendingBackfill, Schedule
from cloacina_core.model.schedule.state import ScheduleState


def text_of(state: ScheduleState, now: datetime, backfills: Sequence[PendingBackfill] = ()) -> str:
    """Return all that is known of a schedule, a line each, and its backfills behind it."""
    return aligned([*_lines(state, now), *map(_backfill_line, backfills)])


def _backfill_line(backfill: PendingBackfill) -> tuple[str, str]:
    when = f"{_moment(backfill.begins)} to {_moment(backfill.ends)}"
    many = f"{backfill.begun} runs begun, {backfill.left} left, {backfill.parallel} at a time"
    return "backfill", f"{backfill.id}, {when}: {many}"


def _lines(state: ScheduleState, now: datetime) -> Iterator[tuple[str, str]]:
    known = state.schedule
    yield "name", known.name
    yield "reference", known.reference
    yield "cron", f"{known.timing.expression} ({known.timezone})"
    yield from (("note", note) for note in known.timing.expression.notes)
    yield "next", next_of(state, now)
    yield "started", f"{state.started} runs"
    yield "lag", lag_of(state)
    if state.last_failure is not None:
        yield "last failure", state.last_failure
    yield from _policies(known)
    yield from _limits(state)
    yield from (("windows", f"{window}: {known.in_window}") for window in known.not_during)
    yield from _following_lines(state)


def _policies(known: Schedule) -> Iterator[tuple[str, str]]:
    limit = f", {known.catch_up_limit} at most" if known.catch_up is CatchUp.ALL else ""
    within = Period(known.catch_up_window or None)
    yield "catch-up", f"{known.catch_up.value}{limit}, within {within}"
    yield "overlap", known.overlap.value
    if known.timing.gap is not None:
        yield "gap", known.timing.gap.value
    if known.timing.fold is not None:
        yield "fold", known.timing.fold.value
    if known.params is not None:
        yield "params", told(dict(known.params))
    if known.priority:
        yield "priority", str(known.priority)


def _limits(state: ScheduleState) -> Iterator[tuple[str, str]]:
    known, zone = state.schedule, state.schedule.timing.zone
    if known.jitter:
        yield "jitter", f"up to {Period(known.jitter)}; it starts {length_of(known.delay)} late"
    if known.starts_at is not None:
        yield "start", f"{known.starts_at.astimezone(zone):%Y-%m-%d %H:%M:%S %z}"
    if known.ends_at is not None:
        yield "end", f"{known.ends_at.astimezone(zone):%Y-%m-%d %H:%M:%S %z}"
    if known.max_runs is not None:
        yield "max-runs", f"{known.max_runs}, {runs_left(state)} left"


def _following_lines(state: ScheduleState) -> Iterator[tuple[str, str]]:
    following = state.following
    if following is None:
        return
    yield "declared", f"{following.name}, by {following.version} of {following.reference}"
    if following.overridden:
        yield "changed", f"{', '.join(following.overridden)}: not as declared"


def runs_left(state: ScheduleState) -> int | None:
    """Return how many runs a schedule starts yet, at most; None: any number."""
    most = state.schedule.max_runs
    return None if most is None else max(0, most - state.started)


def next_of(state: ScheduleState, now: datetime) -> str:
    """Return when a schedule is due next, or why it isn't."""
    if state.is_paused:
        return f"paused: {state.pause_reason}" if state.pause_reason else "paused"
    if state.due_since is not None:
        return f"due since {_moment(state.due_since)}"
    if state.resting_until is not None:
        return f"rests until {_moment(state.resting_until)}"
    if state.next_at is None:
        return "never again"
    if state.next_at <= now:  # its jitter holds it back
        until = state.next_at + state.schedule.delay
        return f"due since {_moment(state.next_at)}, held until {_moment(until)}"
    return _moment(state.next_at)


def lag_of(state: ScheduleState) -> str:
    """Return how late the last run was accepted, or that none was where one was due."""
    if state.last_failure is not None:
        return "failed"
    return "-" if state.lag is None else f"{state.lag.total_seconds():.1f}s"


def length_of(length: timedelta) -> str:
    """Return a length of time in seconds, or in hours, minutes and seconds."""
    seconds = length.total_seconds()
    is_short = length < timedelta(minutes=1)
    return f"{seconds:.1f}s" if is_short else str(timedelta(seconds=round(seconds)))


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What comes between the firings of a schedule and their runs."""

    is_paused: bool
    runs_left: int | None
    """How many it starts at most; None: any number."""
    resting_until: datetime | None
    delay: timedelta
    """How long its jitter holds each back."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as members of a JSON object."""
        return {
            "paused": self.is_paused,
            "runs_left": self.runs_left,
            "resting_until": None if self.resting_until is None else iso(self.resting_until),
            "delay_seconds": self.delay.total_seconds(),
        }

    def lines(self) -> Iterator[str]:
        """Yield what is to be said of it."""
        if self.is_paused:
            yield "it is paused: none of these starts before it is resumed"
        if self.runs_left is not None:
            yield f"at most {self.runs_left} runs are left of its --max-runs"
        if self.resting_until is not None:
            yield f"it rests until {_moment(self.resting_until)}"
        if self.delay:
            yield f"its jitter holds each back by {length_of(self.delay)}"


def outlook(state: ScheduleState) -> Outlook:
    """Return what comes between the firings of a schedule and their runs."""
    return Outlook(
        is_paused=state.is_paused,
        runs_left=runs_left(state),
        resting_until=state.resting_until,
        delay=state.schedule.delay,
    )
