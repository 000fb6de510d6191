"""Schedules, as programs use them: made, changed, and asked what they did."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any

from cloacina_core.errors import IllegalTransitionError, InputError
from cloacina_core.foundation.clock import Clock, iso
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.schedule.fields import changes_as_json
from cloacina_core.model.schedule.firing import Firing
from cloacina_core.model.schedule.never import is_always_open
from cloacina_core.model.schedule.schedule import (
    MOST_PARALLEL,
    Backfill,
    FiringRecord,
    PendingBackfill,
    Schedule,
)
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_core.model.schedule.window import CommonWindow
from cloacina_core.runtime.enabling import FollowingRules
from cloacina_core.runtime.handle import RunHandle
from cloacina_core.runtime.sources import Sources
from cloacina_core.services.declarations import SCHEDULES
from cloacina_core.store.backfills import BackfillStore
from cloacina_core.store.database import Database
from cloacina_core.store.schedule_following import ScheduleFollowing
from cloacina_core.store.schedules import OpenFiring, ScheduleStore
from cloacina_core.store.windows import WindowStore


class Schedules(FollowingRules[Schedule, ScheduleState]):
    """The schedules of a store. Safe to use from any thread."""

    _kind = SCHEDULES

    def __init__(self, database: Callable[[], Database], sources: Sources, clock: Clock) -> None:
        super().__init__(database, sources)
        self._clock = clock
        self._ids = IdFactory(clock)

    @property
    def _store(self) -> ScheduleStore:
        return ScheduleStore(self._database())

    @property
    def _following(self) -> ScheduleFollowing:
        return ScheduleFollowing(self._database())

    def add(
        self, name: str, reference: str, *, cron: str, paused: bool = False, **options: Any
    ) -> tuple[ScheduleState, bool]:
        """Keep a schedule; adding the same one again changes nothing.

        Args:
            name: unique in the store.
            reference: what to run; it must mean something now, and is resolved anew at each firing.
            cron: when, as a cron expression.
            paused: whether nothing is due until it is resumed.
            **options: the other fields of `Schedule.checked`: timezone, params, gap, fold,
                catch_up, catch_up_limit, catch_up_window, overlap, jitter, starts_at, ends_at,
                max_runs, priority, not_during, in_window.

        Returns:
            The schedule as it is kept, and whether it is new.

        Raises:
            InputError: a part can't be used, or the params don't fit the workflow.
            NotFoundError: there is no such package, release, channel or workflow.
            ScheduleExistsError: another schedule has the name.
        """
        schedule = Schedule.checked(name, reference, cron=cron, **options)
        self._check(schedule)
        return self._store.add(schedule, is_paused=paused)

    def update(self, name: str, **changes: Any) -> ScheduleState:
        """Change fields of a schedule: what `add` takes, but for its name and whether it is paused.

        What was due before is still started, or told of in its history with a reason; new moments
        hold from now on.

        Raises:
            UnknownScheduleError: there is none of this name.
            InputError: there is no such field, a value can't be used, or the params don't fit the
                workflow.
            NotFoundError: there is no such package, release, channel or workflow.
        """
        return self._store.update(name, changes_as_json(changes), self._check)

    def history(
        self, name: str, *, before: datetime | None = None, limit: int = 50
    ) -> Sequence[FiringRecord]:
        """Return what became of firings of a schedule, newest first.

        Args:
            name: of the schedule.
            before: only those that were due before; aware.
            limit: how many at most.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        return self._store.history(name, before=before, limit=limit)

    def next(self, name: str, *, count: int = 5, after: datetime | None = None) -> Sequence[Firing]:
        """Return when a schedule is due next, whether it is paused or not.

        Args:
            name: of the schedule.
            count: how many firings at most.
            after: behind which moment; aware. None: now.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        schedule = self._store.get(name).schedule
        return list(islice(schedule.firings(after or self._clock.now()), count))

    def backfill(
        self,
        name: str,
        begins: datetime,
        ends: datetime,
        *,
        parallel: int = 1,
        dry_run: bool = False,
    ) -> Backfill:
        """Start the runs of firings in the past that have none, a few at a time.

        Firings that were skipped or failed, or were before the schedule was made, get their runs;
        those that had one don't get another. Overlap isn't looked at: `parallel` is.

        Args:
            name: of the schedule.
            begins: the first moment that counts; aware.
            ends: the first moment that doesn't; aware, and past.
            parallel: how many of the runs are live at a time, at most.
            dry_run: only say what would be started.

        Raises:
            UnknownScheduleError: there is none of this name.
            InputError: the time isn't in the past or has too many firings, or a number is wrong.
        """
        if type(parallel) is not int or not 1 <= parallel <= MOST_PARALLEL:
            raise InputError(f"parallel is a whole number from 1 to {MOST_PARALLEL}")
        backfills, backfill = BackfillStore(self._database()), str(self._ids.run_id())
        planned = backfills.plan(name, begins, ends, parallel, backfill)
        if not dry_run:
            backfills.begin(planned)
        return planned

    def backfills(self, name: str) -> Sequence[PendingBackfill]:
        """Return the backfills of a schedule whose runs aren't all started, oldest first.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        return BackfillStore(self._database()).pending(name)

    def cancel_backfills(self, name: str, backfill: str | None = None) -> Sequence[PendingBackfill]:
        """Start no more runs of a schedule's backfills; return those that had any left.

        Args:
            name: of the schedule.
            backfill: which one, by its id or the beginning of it; None: all of them.

        Raises:
            UnknownScheduleError: there is none of this name.
            UnknownBackfillError: it has no such backfill.
            InputError: several begin so.
        """
        return BackfillStore(self._database()).cancel(name, backfill)

    def add_window(
        self, name: str, when: str, *, timezone: str = "UTC"
    ) -> tuple[CommonWindow, bool]:
        """Have no schedule of the store start anything at some times; again changes nothing.

        Args:
            name: unique in the store.
            when: a cron expression that says when it opens, and for how long:
                `0 22 * * SAT for 6h`.
            timezone: on whose clock.

        Returns:
            The window as it is kept, and whether it is new.

        Raises:
            InputError: a part can't be used, or it would always be open.
            WindowExistsError: another window has the name.
        """
        window = CommonWindow.checked(name, when, timezone)
        if is_always_open([window.window]):
            raise InputError(
                f"window {name!r} would always be open: no schedule would start anything",
                hint="pause schedules with: cloacina schedule pause --all",
            )
        return window, WindowStore(self._database()).add(window)

    def windows(self) -> Sequence[CommonWindow]:
        """Return the windows that hold for all schedules, by name."""
        return WindowStore(self._database()).all()

    def remove_window(self, name: str) -> None:
        """Forget a window that holds for all; schedules that rest in it go on at once.

        Raises:
            UnknownWindowError: there is none of this name.
        """
        WindowStore(self._database()).remove(name)


def start_scheduled(
    submit: Callable[..., RunHandle], cancel: Callable[..., object], firing: OpenFiring
) -> RunId:
    """Accept the run of a firing, or find that it was accepted; cancel those that it replaces.

    Args:
        submit: accepts a run.
        cancel: cancels one.
        firing: the firing.
    """
    schedule = firing.schedule
    handle = submit(
        firing.starter,
        schedule.reference,
        schedule.params,
        context=_context_of(firing),
        idempotency_key=firing.key,
        priority=schedule.priority,
    )
    for run_id in firing.previous:
        if run_id != handle.id:
            with suppress(IllegalTransitionError):  # it has ended by itself
                cancel(run_id, reason=f"schedule {schedule.name} started {handle.id}")
    return RunId(handle.id)


def _context_of(firing: OpenFiring) -> Mapping[str, JsonValue]:
    """Return what the first tasks of a run see of the firing that started it."""
    schedule = firing.schedule
    return {
        "schedule": {
            "name": schedule.name,
            "at": iso(firing.at),
            "local": firing.local,
            "timezone": schedule.timezone,
        }
    }
