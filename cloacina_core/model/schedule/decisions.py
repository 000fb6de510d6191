"""Which firings of a schedule start a run, and which are skipped, and why: pure."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloacina_core.foundation.period import Period
from cloacina_core.model.schedule.firing import Firing
from cloacina_core.model.schedule.schedule import CatchUp, FiringState, Overlap, Schedule

ON_TIME = timedelta(minutes=1)
"""A firing that is decided on later than that was missed."""


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


def decide(schedule: Schedule, earlier: Earlier, now: datetime) -> list[Decision]:
    """Return what is to become of the firings that are due.

    Args:
        schedule: the schedule.
        earlier: what it did before.
        now: the current moment.
    """
    decisions: list[Decision] = []
    horizon = now - schedule.delay - schedule.catch_up_window
    since = earlier.decided_until
    if since < horizon:
        first = schedule.next_firing(since)
        if first is not None and first.utc <= horizon:
            window = Period(schedule.catch_up_window)
            reason = f"missed, with all that followed up to {window} before it was noticed"
            decisions += _skipped([first], reason)
        since = horizon
    until = now - schedule.delay
    due = list(itertools.takewhile(lambda one: one.utc <= until, schedule.firings(since)))
    late = [one for one in due if until - one.utc > ON_TIME]
    wanted = due[len(late) :]
    caught_up = _caught_up(schedule, late, has_newer=bool(wanted))
    missed = late[: len(late) - len(caught_up)]
    decisions += _skipped(missed, "missed: no engine was there")
    wanted = [*caught_up, *wanted]
    if schedule.max_runs is not None:  # behind the last one, nothing is due
        wanted = wanted[: max(0, schedule.max_runs - earlier.started)]
    return decisions + _overlapping(schedule.overlap, wanted, earlier)


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
    begun = [] if earlier.live else [Decision(wanted[0], FiringState.DUE)]
    rest = wanted[len(begun) :]
    if policy is Overlap.QUEUE and rest and not earlier.waiting:
        begun.append(Decision(rest[0], FiringState.WAITING, "an earlier run is live"))
        return begun + _skipped(rest[1:], "another firing waits already")
    reason = "another firing waits already" if policy is Overlap.QUEUE else "an earlier run is live"
    return begun + _skipped(rest, reason)
