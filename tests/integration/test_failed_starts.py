"""What can't be started is found again in the store, each of it once, and by an index."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, text
from support.failed_starts import (
    REFERENCE,
    WHY,
    fail_delivery,
    fail_fired,
    fail_firings,
    poll,
)

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.observed import FAILING_POLLS, FailedStart, Starter
from cloacina_core.model.polling.enabled import PollState
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.history import StoredHistory

EVER = datetime(2020, 1, 1, tzinfo=UTC)
FAILED, SKIPPED = PollState.FAILED, PollState.SKIPPED
INDEXES = {
    Starter.SCHEDULE: "ix_firings_failed",
    Starter.TRIGGER: "ix_trigger_firings_failed",
    Starter.SUBSCRIPTION: "ix_deliveries_failed",
    Starter.POLLS: "ix_polls_failing",
}


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url, SystemClock())
    yield database
    database.close()


def found(database: Database, starter: Starter, after: datetime = EVER) -> list[FailedStart]:
    """Return what failed, read one by one."""
    history, last = StoredHistory(database), None
    failed: list[FailedStart] = []
    while page := history.failed_starts(starter, after, last, 1):
        failed += page
        (last,) = page
        after = last.at
    return failed


def test_each_kind_tells_what_failed_and_why(database: Database) -> None:
    fail_firings(database)
    fail_fired(database)
    fail_delivery(database)
    poll(database, *[FAILED] * FAILING_POLLS)

    (firing,), (fired,), (delivery,), (failing,) = (found(database, one) for one in Starter)

    names = [one.name for one in (firing, fired, delivery, failing)]
    assert names == ["report", "files", "orders", "ftp"]
    assert [one.reason for one in (firing, fired, delivery)] == [WHY] * 3
    assert failing.reason == "ConnectionError: nobody answers"
    assert firing.which.endswith(":00.000000Z")
    assert (delivery.which, fired.which) == ("0" * 26, f"{'1' * 26}/0")
    assert {one.reference for one in (firing, fired, delivery, failing)} == {REFERENCE}
    assert (firing.package, firing.workflow) == ("acme-etl", "nightly")


def test_what_failed_at_one_moment_is_all_found_once(database: Database) -> None:
    fail_firings(database, count=5)
    with database.begin() as connection:
        connection.execute(text("UPDATE firings SET decided_at = 1700000000000000"))

    which = [one.which for one in found(database, Starter.SCHEDULE)]

    assert len(which) >= 5
    assert which == sorted(set(which))


def test_what_failed_before_isnt_found(database: Database) -> None:
    fail_firings(database)
    (first,) = found(database, Starter.SCHEDULE)
    fail_firings(database, "other")

    (later,) = found(database, Starter.SCHEDULE, first.at)

    assert later.name == "other"


def test_polls_are_told_of_at_the_third_failure_in_a_row_and_once(database: Database) -> None:
    poll(database, FAILED, FAILED, SKIPPED, FAILED, FAILED)
    assert found(database, Starter.POLLS) == []

    poll(database, FAILED, FAILED, FAILED)
    (failing,) = found(database, Starter.POLLS)
    poll(database, SKIPPED, FAILED, FAILED, FAILED)

    assert failing.which == "6"
    assert [one.which for one in found(database, Starter.POLLS)] == ["6", "12"]


@pytest.mark.parametrize("starter", Starter)
def test_what_failed_is_found_by_its_index(database: Database, starter: Starter) -> None:
    said: list[tuple[str, object]] = []

    def hear(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        said.append((statement, parameters))

    event.listen(database._engine, "before_cursor_execute", hear)
    found(database, starter)
    event.remove(database._engine, "before_cursor_execute", hear)
    ((statement, parameters),) = [one for one in said if "failed_at" in one[0]]
    word = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.read() as connection:
        if not database.is_sqlite:  # an empty table is read faster as a whole
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = connection.exec_driver_sql(f"{word} {statement}", parameters).all()  # type: ignore[arg-type]

    assert INDEXES[starter] in "\n".join(str(row[-1]) for row in rows)


def test_the_index_is_of_the_failure_that_is_told() -> None:
    assert str(schema.FAILING) == f"failures = {FAILING_POLLS}"
