"""What can't be started is told like a run that failed, by who finds it in the store."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.failed_starts import REFERENCE, WHY, fail_delivery, fail_fired, fail_firings, poll

from cloacina_core.model.observed import FAILING_POLLS, Starter
from cloacina_core.model.polling.enabled import PollState
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.view import StoreView, open_view
from cloacina_core.settings import Settings

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ALL = ["schedule-failed", "trigger-failed", "subscription-failed", "trigger-failing"]


@pytest.fixture
def view(notify: Any, tmp_path: Path, store_url: str) -> Any:
    plugins = Plugins()
    plugins.add(notify("hooks"), "notify")
    view = open_view(Settings(home=tmp_path, database_url=store_url), plugins)
    yield view
    view.close()


class Journal:
    """A destination, and what is noted for it."""

    def __init__(self, notify: Any, view: StoreView, **fields: Any) -> None:
        entry = {"name": "journal", "kind": "log", "on": ALL, **fields}
        found = notify("configuration").parse({"destination": [entry]}, view.home)
        assert not found.problems
        (self.destination,) = found.destinations
        self.notify, self.view = notify, view
        self.outbox = notify("outbox").Outbox(view)

    def look(self) -> None:
        """Look once, as an engine does that has just started."""
        self.notify("finder").Finder(self.view, self.destination, self.outbox).look()

    def noted(self) -> list[tuple[str, str]]:
        return sorted((one.type, one.about) for one in self.outbox.history())


def fail_each(view: StoreView) -> None:
    fail_firings(view.database)
    fail_fired(view.database)
    fail_delivery(view.database)
    poll(view.database, *[PollState.FAILED] * FAILING_POLLS)


def test_each_kind_is_noted_once_whoever_looks_and_however_often(notify: Any, view: StoreView):
    journal = Journal(notify, view)
    journal.look()
    fail_each(view)

    for _ in range(2):
        journal.look()

    assert journal.noted() == [
        ("schedule.failed", "schedule/report"),
        ("subscription.failed", "subscription/orders"),
        ("trigger.failed", "trigger/files"),
        ("trigger.failing", "trigger/ftp"),
    ]


def test_a_destination_is_told_of_what_it_wants_alone(notify: Any, view: StoreView):
    wanted = [
        Journal(notify, view, name="one", on="trigger-failing"),
        Journal(notify, view, name="two", where={"workflow": "hourly"}),
        Journal(notify, view, name="three", where={"package": "acme-*", "workflow": "night*"}),
        Journal(notify, view, name="four", where={"tags": {"team": "*"}}),
    ]
    for one in wanted:
        one.look()
    fail_each(view)

    for one in wanted:
        one.look()

    outbox = wanted[0].outbox
    counts = [len(outbox.history(destination=one.destination.name)) for one in wanted]
    assert counts == [1, 0, 4, 0]


def test_what_failed_before_a_destination_was_there_isnt_told(notify: Any, view: StoreView):
    fail_each(view)
    journal = Journal(notify, view)

    journal.look()

    assert journal.noted() == []


def test_it_is_said_what_failed_and_why(notify: Any, view: StoreView):
    fail_firings(view.database)
    (failed,) = view.history.failed_starts(Starter.SCHEDULE, LONG_AGO)

    told = notify("notification").of_failed_start(failed)

    assert told.at == failed.at
    assert told.data == {
        "schedule": "report",
        "which": failed.which,
        "reference": REFERENCE,
        "package": "acme-etl",
        "workflow": "nightly",
        "reason": WHY,
    }
