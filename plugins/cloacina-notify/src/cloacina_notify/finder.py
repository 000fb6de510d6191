"""Finds what is to be told to a destination, and has it noted: once, whoever finds it.

Observers tell at once what an engine did, but only as long as it lives. So the store is asked, too:
for all that ended since it was asked before, and a while before that, because what happened first
isn't always committed first. Of what can't be started, only the store tells.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from cloacina_core.plugin import (
    DescribedRun,
    EventType,
    FailedStart,
    RunEvent,
    RunId,
    RunStatus,
    RuntimeView,
    SignalWait,
    Starter,
)
from cloacina_notify.configuration import Destination
from cloacina_notify.notification import Notification, of_end, of_failed_start, of_wait
from cloacina_notify.outbox import Outbox

_PAGE = 200
_LATE = timedelta(minutes=1)
"""How much later than the lease says something may show up in the store: clocks differ."""
_MARK_AGE = timedelta(minutes=10)
"""About how much is looked through again after a restart, where nothing of it was wanted."""


class Finder:
    """Finds what is to be told to one destination."""

    def __init__(self, view: RuntimeView, destination: Destination, outbox: Outbox) -> None:
        self._view = view
        self._destination = destination
        self._outbox = outbox
        self._overlap = view.settings.lease + _LATE
        self._since: datetime | None = None
        """From when on the destination is told; None before that is known."""
        self._looked_until = self._marked = view.clock.now()
        """Up to when the store was asked, and up to when it knows that."""

    def note_heard(self, events: Sequence[RunEvent]) -> None:
        """Note what observers told."""
        self._open()
        deferred = {one.run_id for one in events if one.type is EventType.TASK_DEFERRED}
        self._note_ends([one for one in events if one.type is not EventType.TASK_DEFERRED])
        for run_id in sorted(deferred):
            self._note_waits(self._view.history.signal_waits_of(run_id))

    def look(self) -> None:
        """Note what is in the store and nobody told."""
        since = self._open()
        now = self._outbox.now()
        begin = max(since, self._looked_until - self._overlap)
        has_found = False
        for occasion in sorted(self._destination.on):
            if occasion.status is not None:
                for ends in self._ends(occasion.status, begin):
                    has_found = True
                    self._note_ends(ends)
            elif occasion.starter is not None:
                for failed in self._failed_starts(occasion.starter, begin):
                    has_found = True
                    self._note_failed_starts(failed)
            else:
                for waits in self._waits():
                    self._note_waits([wait for wait in waits if wait.since > since])
        self._looked_until = now
        if has_found and now - self._marked > _MARK_AGE:
            self._note([])

    def _open(self) -> datetime:
        if self._since is None:
            self._since, self._marked = self._outbox.open(self._destination.name)
            self._looked_until = self._marked
        return self._since

    def _ends(self, status: RunStatus, after: datetime) -> Iterator[Sequence[RunEvent]]:
        last = None
        while page := self._view.history.ends(status, after, last, _PAGE):
            yield page
            after, last = page[-1].at, page[-1].run_id

    def _failed_starts(self, starter: Starter, after: datetime) -> Iterator[Sequence[FailedStart]]:
        last = None
        while page := self._view.history.failed_starts(starter, after, last, _PAGE):
            yield page
            last = page[-1]
            after = last.at

    def _waits(self) -> Iterator[Sequence[SignalWait]]:
        waits, following = self._view.history.signal_waits(limit=_PAGE)
        yield waits
        while following is not None:
            waits, following = self._view.history.signal_waits(following, limit=_PAGE)
            yield waits

    def _note_ends(self, events: Sequence[RunEvent]) -> None:
        runs = self._fitting(event.run_id for event in events)
        self._note_new(of_end(one, runs[one.run_id]) for one in events if one.run_id in runs)

    def _note_waits(self, waits: Sequence[SignalWait]) -> None:
        runs = self._fitting(wait.run_id for wait in waits)
        self._note_new(of_wait(one, runs[one.run_id]) for one in waits if one.run_id in runs)

    def _note_failed_starts(self, failed: Sequence[FailedStart]) -> None:
        fits = self._destination.where.fits_start
        self._note_new(of_failed_start(one) for one in failed if fits(one))

    def _fitting(self, run_ids: Iterable[RunId]) -> dict[RunId, DescribedRun]:
        """Return those of some runs of which the destination wants to be told."""
        runs = self._view.history.describe(set(run_ids))
        return {one: run for one, run in runs.items() if self._destination.where.fits(run)}

    def _note_new(self, notifications: Iterable[Notification]) -> None:
        found = {one.id_for(self._destination.name): one for one in notifications}
        known = self._outbox.known(found)
        if new := [one for one_id, one in found.items() if one_id not in known]:
            self._note(new)

    def _note(self, notifications: Sequence[Notification]) -> None:
        self._outbox.note(self._destination.name, notifications, self._looked_until)
        self._marked = self._looked_until
