"""Which firings of a schedule start a run, and which are skipped, and why: pure."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloacina_core.foundation.period import Period
from cloacina_core.model.schedule.firing import Firing
from cloacina_core.model.schedule.schedule import (
    CatchUp,
    FiringState,
    InWindow,
    Overlap,
    Schedule,
)
from cloacina_core.model.schedule.window import Span, Window, span_at, spans_of

ON_TIME = timedelta(minutes=1)
"""A firing that is decided on later than that was missed."""
_AN_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a firing."""

    firing: Firing
    state: FiringState
    reason: str | None = None
    """Why it is skipped, or waits."""


def _skipped(firings: Iterable[Firing], reason: str) -> list[Decision]:
    return [Decision(firing, FiringState.SKIPPED, reason) for firing in firings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What a schedule did before."""

    decided_until: datetime
    """All firings up to this moment were decided on."""
    started: int
    """How many runs it has started, and is to start."""
    live: bool
    """Whether one of these is live, or is to start."""
    waiting: bool
    """Whether a firing waits for that."""
    known: frozenset[datetime] = frozenset()
    """Firings behind `decided_until` of which it is known already what becomes of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What is to become of firings, and how far that goes."""

    decisions: Sequence[Decision]
    until: datetime
    """All firings up to this moment are decided on."""
    resting_until: datetime | None = None
    """When the maintenance window closes that is open; nothing is decided before."""


def decide(
    schedule: Schedule, earlier: Earlier, now: datetime, windows: Sequence[Window] = ()
) -> Decided:
    """Return what is to become of the firings that are due.

    While a maintenance window is open, nothing is decided. When it is closed, the firings that
    would have started in it are skipped or put off, and those before it were missed, if any.

    Args:
        schedule: the schedule.
        earlier: what it did before.
        now: the current moment.
        windows: those that hold for all schedules.
    """
    spans = _spans_up_to(now, schedule, windows)
    if spans and now < spans[-1].ends:
        resting = spans[-1].ends
        return Decided(decisions=(), until=earlier.decided_until, resting_until=resting)
    return _decided(schedule, earlier, now, spans, until=now - schedule.delay)


def decide_at_once(
    schedule: Schedule, earlier: Earlier, now: datetime, windows: Sequence[Window] = ()
) -> Decided:
    """Return what is to become of all firings up to now, of a schedule that is about to change.

    What jitter holds back starts at once, and what an open maintenance window puts off is due when
    that is closed: nothing is left to the rule that is to come.

    Args:
        schedule: the schedule as it was.
        earlier: what it did before.
        now: the current moment.
        windows: those that hold for all schedules.
    """
    spans = _spans_up_to(now, schedule, windows)
    return _decided(schedule, earlier, now, spans, until=now)


def give_up(schedule: Schedule, earlier: Earlier, now: datetime, reason: str) -> Decided:
    """Return that all firings up to now are skipped that weren't decided on, for a reason."""
    decisions, since = _forgotten(schedule, earlier, _horizon(schedule, now))
    decisions += _skipped(_due(schedule, earlier, since, now), reason)
    return Decided(decisions=decisions, until=max(now, earlier.decided_until))


def _horizon(schedule: Schedule, now: datetime) -> datetime:
    return now - schedule.delay - schedule.catch_up_window


def _spans_up_to(now: datetime, schedule: Schedule, windows: Sequence[Window]) -> Sequence[Span]:
    return spans_of((*schedule.not_during, *windows), _horizon(schedule, now), now)


def _forgotten(
    schedule: Schedule, earlier: Earlier, horizon: datetime
) -> tuple[list[Decision], datetime]:
    """Return what is said of firings that are too old, and behind which moment the others are."""
    since = earlier.decided_until
    if since >= horizon:
        return [], since
    first = next(_due(schedule, earlier, since, horizon), None)
    if first is None:
        return [], horizon
    window = Period(schedule.catch_up_window)
    reason = f"missed, with all that followed up to {window} before it was noticed"
    return _skipped([first], reason), horizon


def _due(
    schedule: Schedule, earlier: Earlier, since: datetime, until: datetime
) -> Iterator[Firing]:
    """Yield the firings of some time, but for those that are known already."""
    firings = itertools.takewhile(lambda one: one.utc <= until, schedule.firings(since))
    return (one for one in firings if one.utc not in earlier.known)


def _decided(
    schedule: Schedule,
    earlier: Earlier,
    now: datetime,
    spans: Sequence[Span],
    *,
    until: datetime,
) -> Decided:
    horizon = _horizon(schedule, now)
    if spans:  # what is put off is as old as its window is long
        horizon = min(horizon, spans[0].begins - schedule.delay - _AN_INSTANT)
    decisions, since = _forgotten(schedule, earlier, horizon)
    due = _due(schedule, earlier, since, until)
    begun = _outside_of(spans, schedule, due, decisions)
    late = [one for one in begun if now - one.start > ON_TIME]
    wanted = [one.firing for one in begun[len(late) :]]
    were_late = [one.firing for one in late]
    caught_up = _caught_up(schedule, were_late, has_newer=bool(wanted))
    missed = were_late[: len(late) - len(caught_up)]
    decisions += _skipped(missed, "missed: no engine was there")
    wanted = [*caught_up, *wanted]
    until = max(until, earlier.decided_until)
    if schedule.max_runs is not None:
        room = max(0, schedule.max_runs - earlier.started)
        if len(wanted) > room:  # the next one is due only if a run of these can't be started
            until = wanted[room].utc - _AN_INSTANT
            decisions = [one for one in decisions if one.firing.utc <= until]
            wanted = wanted[:room]
    decisions += _overlapping(schedule.overlap, wanted, earlier)
    return Decided(decisions=decisions, until=until)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A firing, and when its run is to start."""

    firing: Firing
    start: datetime


def _outside_of(
    spans: Sequence[Span],
    schedule: Schedule,
    due: Iterable[Firing],
    decisions: list[Decision],
) -> list[_Begun]:
    """Return the firings that no maintenance window keeps from starting; decide on the others."""
    begun: list[_Begun] = []
    places = ((span_at(spans, one.utc + schedule.delay), one) for one in due)
    for span, group in itertools.groupby(places, key=lambda place: place[0]):
        firings = [firing for _, firing in group]
        if span is None:
            begun += [_Begun(firing, firing.utc + schedule.delay) for firing in firings]
        elif schedule.in_window is InWindow.PUT_OFF:
            later = f"{span.what}: a later firing was put off to its end"
            decisions += _skipped(firings[:-1], later)
            begun.append(_Begun(firings[-1], span.ends))
        else:
            decisions += _skipped(firings, span.what)
    return begun


def _caught_up(schedule: Schedule, late: Sequence[Firing], *, has_newer: bool) -> Sequence[Firing]:
    match schedule.catch_up:
        case CatchUp.ALL:
            return late[-schedule.catch_up_limit :]
        case CatchUp.LATEST if not has_newer:
            return late[-1:]
        case _:
            return ()


def _overlapping(policy: Overlap, wanted: Sequence[Firing], earlier: Earlier) -> list[Decision]:
    if policy is Overlap.ALLOW or not wanted:
        return [Decision(firing, FiringState.DUE) for firing in wanted]
    if policy is Overlap.CANCEL_PREVIOUS:
        newer = "a newer firing was due with it"
        return [*_skipped(wanted[:-1], newer), Decision(wanted[-1], FiringState.DUE)]
    # What waits comes first, also when it waits for nothing any more and is about to start.
    is_held = earlier.live or earlier.waiting
    begun = [] if is_held else [Decision(wanted[0], FiringState.DUE)]
    rest = wanted[len(begun) :]
    if policy is Overlap.QUEUE and rest and not earlier.waiting:
        begun.append(Decision(rest[0], FiringState.WAITING, "an earlier run is live"))
        return begun + _skipped(rest[1:], "another firing waits already")
    reason = "another firing waits already" if policy is Overlap.QUEUE else "an earlier run is live"
    return begun + _skipped(rest, reason)
