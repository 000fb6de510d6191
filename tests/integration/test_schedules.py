"""Schedules start runs once, on both databases, whoever is there and whoever dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support import killed_schedules
from support.killed_schedules import STEPS
from support.registry import StoreView, flows_returning, open_home, signed_wheel
from support.runs import PATIENCE, open_runtime
from support.waiting import wait_until

import cloacina_registry.hooks
from cloacina_core.errors import InputError, OverQuotaError, UnknownPackageError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.model.schedule.schedule import FiringRecord, FiringState
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import RunStatus
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import Runtime
from cloacina_core.runtime.schedules import Schedules
from cloacina_core.runtime.sources import Sources
from cloacina_core.services.scheduling import ScheduleService
from cloacina_core.store.backfills import UnknownBackfillError
from cloacina_core.store.reading import RunFilter
from cloacina_core.store.retention import Expiry, Retention
from cloacina_core.store.schedule_changes import PAUSED
from cloacina_core.store.schedule_rows import ScheduleExistsError, UnknownScheduleError
from cloacina_core.store.schedules import OpenFiring, ScheduleStore
from cloacina_core.store.windows import UnknownWindowError, WindowExistsError
from cloacina_registry.registry import Registry

WAITING = {
    "acme_etl/__init__.py": b"",
    "acme_etl/flows.py": (
        b"from cloacina_core import Context, Workflow\n\n"
        b'nightly = Workflow("nightly")\n\n\n'
        b"@nightly.task\n"
        b"def wait(context: Context) -> None:\n"
        b'    context.wait_for("go")\n'
    ),
}
QUICK = signed_wheel("1.0", sources=flows_returning("one"))
LONG = signed_wheel("2.0", sources=WAITING)
EACH_SECOND = "* * * * * *"


def plugins() -> Plugins:
    found = Plugins()
    found.add(cloacina_registry.hooks, "registry")
    return found


@pytest.fixture
def view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    for view in open_home(tmp_path / "home", SystemClock(), url=store_url):
        registry = Registry.of(view)
        for wheel in (QUICK, LONG):
            wheel.upload_to(registry)
        yield view


@pytest.fixture
def store(view: StoreView) -> ScheduleStore:
    return ScheduleStore(view.database)


@pytest.fixture
def schedules(view: StoreView) -> Schedules:
    return Schedules(lambda: view.database, Sources(view, plugins()), SystemClock())


@pytest.fixture
def start(view: StoreView) -> Iterator[Callable[[], Runtime]]:
    """Return what starts an engine on the store."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            open_runtime(view.home, view.settings.database_url, plugins=plugins())
        )


def set_back(view: StoreView, name: str, length: timedelta) -> None:
    """Let a schedule's last decision be some time ago."""
    with view.begin() as connection:
        statement = text(
            "update schedules set decided_until = decided_until - :micros, "
            "next_at = decided_until - :micros where name = :name"
        )
        micros = length // timedelta(microseconds=1)
        connection.execute(statement, {"micros": micros, "name": name})


def named_by(key: str | None) -> tuple[str, datetime]:
    """Return the schedule and the moment that the key of a run names."""
    kind, name, _, at = str(key).split("/")
    assert kind == "schedule"
    return name, datetime.strptime(at, "%Y%m%dT%H%M%S%z")


def states(schedules: Schedules, name: str = "job") -> list[FiringState]:
    return [record.state for record in reversed(schedules.history(name))]


def finished(schedules: Schedules, count: int) -> list[FiringRecord]:
    """Wait until so many firings have started their runs, and return them, oldest first."""
    found: list[FiringRecord] = []

    def are_there() -> bool:
        records = reversed(schedules.history("job", limit=1000))
        found[:] = [one for one in records if one.state is FiringState.STARTED]
        return len(found) >= count

    wait_until(are_there)
    return found


def test_two_engines_start_each_firing_once(
    schedules: Schedules, start: Callable[[], Runtime]
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND)
    one, _ = start(), start()

    records = finished(schedules, 4)
    schedules.pause("job")

    assert len({record.run_id for record in records}) == len(records)
    runs = {run.run_id: run for run in one.list(limit=1000)}
    for record in records:
        run = runs[RunId(record.run_id or "")]
        assert named_by(run.idempotency_key) == ("job", record.at)
        assert (run.created_at - record.at) < timedelta(seconds=30)
    times = [record.at for record in records]
    assert times == [times[0] + timedelta(seconds=n) for n in range(len(times))]
    assert len(runs) <= len(schedules.history("job", limit=1000))


def test_a_run_knows_its_firing(schedules: Schedules, start: Callable[[], Runtime]) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND, timezone="Asia/Tokyo")
    runtime = start()

    (record, *_) = finished(schedules, 1)
    result = runtime.attach(record.run_id or "").result(PATIENCE)

    assert result.context["schedule"] == {
        "name": "job",
        "at": f"{record.at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "local": record.local,
        "timezone": "Asia/Tokyo",
    }
    assert record.local.endswith("+09:00")
    assert result.context["value"] == "one"
    by = StartedBy(kind=StarterKind.SCHEDULE, name="job", at=record.at)
    assert result.summary.started_by == by
    (event, *_) = runtime.events(result.run_id)
    assert str(event.reason).endswith(f", by schedule job, due {record.at:%Y-%m-%dT%H:%M:%SZ}")


def test_what_was_decided_is_started_by_who_comes_next(
    view: StoreView,
    schedules: Schedules,
    store: ScheduleStore,
    start: Callable[[], Runtime],
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND, max_runs=1)
    set_back(view, "job", timedelta(seconds=5))
    store.decide()  # and then its engine died
    assert FiringState.DUE in states(schedules)

    start()

    (record,) = finished(schedules, 1)
    assert record.run_id is not None


def test_a_run_that_was_accepted_isnt_accepted_again(
    view: StoreView,
    schedules: Schedules,
    store: ScheduleStore,
    start: Callable[[], Runtime],
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND, max_runs=1)
    set_back(view, "job", timedelta(seconds=5))
    store.decide()
    (firing,) = store.claim()
    with open_runtime(
        view.home, view.settings.database_url, plugins=plugins(), recover=False
    ) as other:
        accepted = other._start_scheduled(firing)  # and then its engine died
    assert store.claim() == [], "it was claimed a moment ago"
    with view.begin() as connection:
        connection.execute(text("update firings set claimed_until = 0"))
    schedules.update("job", reference="acme-etl/nightly>=1.0,<2")

    runtime = start()

    (record,) = finished(schedules, 1)
    assert record.run_id == accepted
    assert len(runtime.list()) == 1


def test_one_engine_decides(view: StoreView, schedules: Schedules, store: ScheduleStore) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND, catch_up="all")
    set_back(view, "job", timedelta(seconds=20))

    for _ in range(3):
        store.decide()

    times = [record.at for record in schedules.history("job", limit=100)]
    assert len(times) == len(set(times)) >= 20


def test_a_release_that_is_gone_fails_the_firing(
    view: StoreView, schedules: Schedules, start: Callable[[], Runtime]
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND)
    Registry.of(view).delete("acme-etl", "1.0")
    start()

    wait_until(lambda: FiringState.FAILED in states(schedules))
    failed = [one for one in schedules.history("job") if one.state is FiringState.FAILED]
    assert "unknown-release" in str(failed[0].reason)


def test_overlapping_runs_are_skipped_or_replaced(
    schedules: Schedules, start: Callable[[], Runtime]
) -> None:
    schedules.add("job", "acme-etl/nightly==2.0", cron=EACH_SECOND, overlap="skip")
    runtime = start()
    (first,) = finished(schedules, 1)[:1]
    wait_until(lambda: FiringState.SKIPPED in states(schedules))
    assert states(schedules).count(FiringState.STARTED) == 1

    schedules.update("job", overlap="cancel-previous")
    finished(schedules, 2)
    schedules.pause("job")

    ended = runtime.attach(first.run_id or "").result(PATIENCE)
    assert ended.status is RunStatus.CANCELLED
    for run in runtime.list():
        if not run.status.is_final:
            runtime.cancel(run.run_id)


def test_one_firing_waits_for_the_run_before_it(
    schedules: Schedules, start: Callable[[], Runtime]
) -> None:
    schedules.add("job", "acme-etl/nightly==2.0", cron=EACH_SECOND, overlap="queue")
    runtime = start()
    (first,) = finished(schedules, 1)[:1]
    wait_until(lambda: FiringState.WAITING in states(schedules))
    wait_until(lambda: FiringState.SKIPPED in states(schedules))
    assert states(schedules).count(FiringState.WAITING) == 1
    schedules.pause("job")

    runtime.signal(first.run_id or "", "go")

    second = finished(schedules, 2)[1]
    runtime.signal(second.run_id or "", "go")
    assert runtime.attach(second.run_id or "").result(PATIENCE).status is RunStatus.SUCCEEDED


def test_a_firing_that_waits_isnt_started_beside_the_one_before_it(
    view: StoreView, schedules: Schedules, store: ScheduleStore
) -> None:
    schedules.add("job", "acme-etl/nightly==2.0", cron="@hourly", overlap="queue", catch_up="all")
    set_back(view, "job", timedelta(hours=3))
    store.decide()
    assert {FiringState.DUE, FiringState.WAITING} <= set(states(schedules))

    (first,) = store.claim()
    assert store.claim() == [], "the first one's run isn't accepted yet"
    store.started(first, IdFactory(SystemClock()).run_id())  # which has ended since
    (second,) = store.claim()

    assert second.at > first.at


def test_a_paused_schedule_makes_up_for_nothing(
    view: StoreView, schedules: Schedules, store: ScheduleStore
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND, paused=True, catch_up="all")
    with view.begin() as connection:
        connection.execute(text("update schedules set decided_until = decided_until - 3600000000"))
    assert store.decide() == 0

    state = schedules.resume("job")

    assert state.next_at is not None
    assert state.next_at > state.updated_at - timedelta(seconds=1)
    assert schedules.history("job") == []


def test_adding_again_changes_nothing_and_another_is_refused(schedules: Schedules) -> None:
    first, is_new = schedules.add("job", "acme-etl/nightly", cron="@daily")
    again, is_new_again = schedules.add("job", "acme-etl/nightly", cron="@daily")

    assert (is_new, is_new_again) == (True, False)
    assert first == again
    with pytest.raises(ScheduleExistsError, match="cron, priority"):
        schedules.add("job", "acme-etl/nightly", cron="@hourly", priority=1)


def test_what_could_not_run_is_refused_at_once(schedules: Schedules) -> None:
    with pytest.raises(UnknownPackageError):
        schedules.add("job", "acme-elt/nightly", cron="@daily")
    with pytest.raises(InputError, match="params"):
        schedules.add("job", "acme-etl/nightly", cron="@daily", params={"day": object()})
    with pytest.raises(UnknownScheduleError):
        schedules.get("job")


def test_schedules_are_changed_listed_and_deleted(schedules: Schedules) -> None:
    schedules.add("job", "acme-etl/nightly", cron="@daily")
    schedules.add("another", "acme-etl/nightly", cron="@hourly", max_runs=3)

    changed = schedules.update("job", cron="30 4 * * *", timezone="Europe/Berlin")

    assert [state.schedule.name for state in schedules.all()] == ["another", "job"]
    assert schedules.get("job") == changed
    assert {f"{one.local:%H:%M}" for one in schedules.next("job", count=3)} == {"04:30"}
    schedules.delete("job")
    with pytest.raises(UnknownScheduleError, match="there is no schedule 'job'"):
        schedules.delete("job")


def test_the_past_is_backfilled_a_few_runs_at_a_time(
    schedules: Schedules, start: Callable[[], Runtime]
) -> None:
    schedules.add("job", "acme-etl/nightly==2.0", cron="@hourly", paused=True)
    ends = datetime.now(UTC).replace(minute=30) - timedelta(hours=1)
    begins = ends - timedelta(hours=5)

    planned = schedules.backfill("job", begins, ends, parallel=2, dry_run=True)
    assert len(planned.firings) == 5
    assert schedules.history("job") == []
    schedules.backfill("job", begins, ends, parallel=2)

    runtime, _ = start(), start()
    finished(schedules, 2)
    first = [run for run in runtime.list() if not run.status.is_final]
    assert len(first) == 2
    again = schedules.backfill("job", begins, ends, dry_run=True)
    assert (len(again.firings), again.started_before, again.pending_before) == (0, 2, 3)
    (pending,) = schedules.backfills("job")
    assert (pending.begun, pending.left, pending.parallel) == (2, 3, 2)
    for run in first:
        runtime.signal(run.run_id, "go")
    finished(schedules, 4)
    assert [one.left for one in schedules.cancel_backfills("job")] == [1]
    assert schedules.backfills("job") == []
    assert [record.at for record in finished(schedules, 4)] == [
        firing.utc for firing in planned.firings[:4]
    ]
    for run in runtime.list():
        if not run.status.is_final:
            runtime.signal(run.run_id, "go")
            assert runtime.attach(run.run_id).result(PATIENCE).status is RunStatus.SUCCEEDED
    assert schedules.history("job")[0].reason == "the backfill was cancelled"
    assert len(schedules.backfill("job", begins, ends, dry_run=True).firings) == 1
    of_backfills = RunFilter(started_by=(StarterKind.BACKFILL,), starter="job")
    assert [run.started_by.at for run in reversed(runtime.list(of_backfills))] == [
        firing.utc for firing in planned.firings[:4]
    ]
    assert runtime.list(RunFilter(started_by=(StarterKind.SCHEDULE,), starter="job")) == []


def test_backfills_are_taken_back_one_by_one(schedules: Schedules, store: ScheduleStore) -> None:
    schedules.add("job", "acme-etl/nightly==2.0", cron="@hourly", paused=True)
    ends = datetime.now(UTC).replace(minute=30) - timedelta(hours=1)
    first = schedules.backfill("job", ends - timedelta(hours=2), ends)
    second = schedules.backfill("job", ends - timedelta(hours=5), ends)

    assert (len(second.firings), second.started_before, second.pending_before) == (3, 0, 2)
    assert [(one.id, one.left) for one in schedules.backfills("job")] == [
        (first.id, 2),
        (second.id, 3),
    ]

    (cancelled,) = schedules.cancel_backfills("job", second.id)

    assert (cancelled.id, cancelled.left) == (second.id, 3)
    assert [one.id for one in schedules.backfills("job")] == [first.id]
    assert [firing.at for firing in store.claim()] == [first.firings[0].utc]
    assert schedules.cancel_backfills("job", second.id) == []
    assert [one.id for one in schedules.cancel_backfills("job")] == [first.id]


def test_a_backfill_that_isnt_there_isnt_taken_back(schedules: Schedules) -> None:
    for name in ("job", "other"):
        schedules.add(name, "acme-etl/nightly==2.0", cron="@hourly", paused=True)
    now = datetime.now(UTC)
    of_other = [schedules.backfill("other", now - timedelta(hours=n), now) for n in (3, 6)]

    for backfill in (of_other[0].id, "0" * 26, "", " "):
        with pytest.raises(UnknownBackfillError, match="has no backfill"):
            schedules.cancel_backfills("job", backfill)
    with pytest.raises(InputError, match="more than one backfill begins with"):
        schedules.cancel_backfills("other", of_other[0].id[:4])
    with pytest.raises(UnknownScheduleError):
        schedules.backfills("nobodys")
    assert len(schedules.backfills("other")) == 2


def test_a_schedule_that_is_made_anew_starts_runs_of_its_own(
    view: StoreView, schedules: Schedules, start: Callable[[], Runtime]
) -> None:
    runtime = start()
    ends = datetime.now(UTC) - timedelta(hours=1)
    begins = ends - timedelta(hours=2)
    had: list[set[str | None]] = []
    for reference in ("acme-etl/nightly==1.0", "acme-etl/nightly==1.0", "acme-etl/nightly==2.0"):
        schedules.add("job", reference, cron="@hourly", paused=True)
        planned = schedules.backfill("job", begins, ends, parallel=2)
        had.append({record.run_id for record in finished(schedules, 2)})
        schedules.delete("job")
        assert planned.started_before == 0

    assert len(set.union(*had)) == 6, "each has its own"
    releases = {runtime.get(RunId(str(one))).summary.release for one in had[-1]}
    assert {release.version for release in releases if release} == {"2.0"}
    for one in had[-1]:
        runtime.cancel(RunId(str(one)))


def test_what_a_schedule_started_is_not_noted_of_the_one_that_took_its_name(
    view: StoreView, schedules: Schedules, store: ScheduleStore
) -> None:
    ends = datetime.now(UTC) - timedelta(hours=1)
    begins = ends - timedelta(hours=1)

    def asked() -> OpenFiring:
        schedules.add("job", "acme-etl/nightly==1.0", cron="@hourly", paused=True)
        schedules.backfill("job", begins, ends)
        (firing,) = store.claim()
        return firing

    before = asked()
    schedules.delete("job")
    anew = asked()
    store.started(before, IdFactory(SystemClock()).run_id())

    assert before.key != anew.key
    assert states(schedules) == [FiringState.WAITING]


def test_a_firing_for_whose_run_there_is_no_room_stays_due(
    view: StoreView, schedules: Schedules
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron="@daily")
    set_back(view, "job", timedelta(days=1))
    refused: list[OpenFiring] = []

    def start(firing: OpenFiring) -> RunId:
        refused.append(firing)
        raise OverQuotaError("live_runs", 1, 1, hint="wait")

    ScheduleService(ScheduleStore(view.database), start, lambda: None).look()

    assert len(refused) == 1
    assert [record.state for record in schedules.history("job")] == [FiringState.DUE]


def test_firings_without_runs_are_kept_as_long_as_runs(
    view: StoreView, schedules: Schedules
) -> None:
    schedules.add("job", "acme-etl/nightly==2.0", cron="@hourly", paused=True)
    ends = datetime.now(UTC).replace(minute=30) - timedelta(hours=1)
    schedules.backfill("job", ends - timedelta(hours=5), ends)
    retention = Retention(view.database)
    expired = Expiry(RunStatus.SUCCEEDED, older_than=timedelta(hours=3))

    assert retention.forget_firings(expired) == 0, "their runs are still to start"
    schedules.cancel_backfills("job")
    assert retention.forget_firings(Expiry(RunStatus.SUCCEEDED, older_than=timedelta(days=1))) == 0
    assert retention.forget_firings(expired) == 3
    assert retention.forget_firings(expired) == 0
    assert len(schedules.history("job")) == 2


@pytest.mark.parametrize("parallel", [0, True, 1001])
def test_a_backfill_that_makes_no_sense_is_refused(schedules: Schedules, parallel: int) -> None:
    schedules.add("job", "acme-etl/nightly", cron="* * * * * *")
    now = datetime.now(UTC)

    with pytest.raises(InputError, match="parallel"):
        schedules.backfill("job", now - timedelta(days=1), now, parallel=parallel)
    with pytest.raises(InputError, match="more than 10000"):
        schedules.backfill("job", now - timedelta(days=1), now)
    with pytest.raises(InputError, match="past"):
        schedules.backfill("job", now, now + timedelta(days=1))


YESTERDAY = datetime.now(UTC) - timedelta(days=1)
OPEN = f"0 0 {YESTERDAY.day} {YESTERDAY.month} * for 3d"


def test_in_a_maintenance_window_schedules_rest_until_it_is_closed_or_removed(
    view: StoreView, schedules: Schedules, store: ScheduleStore
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND, catch_up="all")
    window, is_new = schedules.add_window("move", OPEN, timezone="Europe/Berlin")
    set_back(view, "job", timedelta(seconds=5))

    store.decide()

    assert is_new
    assert schedules.windows() == [window]
    assert schedules.history("job") == []
    resting = schedules.get("job").resting_until
    assert resting is not None
    assert resting > datetime.now(UTC) + timedelta(minutes=50)
    next_look = store.next_look()
    assert next_look is not None
    assert next_look > timedelta(minutes=50), "it sleeps meanwhile"

    schedules.remove_window("move")
    store.decide()

    assert FiringState.DUE in states(schedules)
    assert schedules.get("job").resting_until is None


def test_what_was_decided_on_before_a_window_opened_starts_when_it_is_closed(
    view: StoreView, schedules: Schedules, store: ScheduleStore
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND, max_runs=1)
    set_back(view, "job", timedelta(seconds=5))
    store.decide()

    schedules.update("job", not_during=[OPEN])
    assert store.claim() == []
    start = store.next_start()
    assert start is not None
    assert start > timedelta(hours=1)
    service = ScheduleService(store, lambda _: pytest.fail("it is kept"), lambda: None)
    assert service.is_idle()
    assert service.look() > 1, "it doesn't look each second whether the window is closed"
    schedules.update("job", not_during=[])

    assert not service.is_idle()
    assert len(store.claim()) == 1


def test_windows_are_idempotent_by_name(schedules: Schedules) -> None:
    schedules.add_window("move", OPEN)

    assert schedules.add_window("move", OPEN)[1] is False
    with pytest.raises(WindowExistsError):
        schedules.add_window("move", "0 22 * * * for 1h")
    with pytest.raises(UnknownWindowError, match="no maintenance window 'mvoe'") as caught:
        schedules.remove_window("mvoe")
    assert caught.value.hint == "did you mean move?"


def test_how_late_it_is_can_be_seen(
    view: StoreView, schedules: Schedules, start: Callable[[], Runtime]
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND, max_runs=1)
    assert schedules.get("job").lag is None
    set_back(view, "job", timedelta(seconds=30))
    due_since = schedules.get("job").due_since

    start()
    (record,) = finished(schedules, 1)

    assert due_since is not None
    assert record.started_at is not None
    assert record.at <= record.decided_at <= record.started_at
    (state,) = schedules.all()
    assert state.lag == record.started_at - record.at
    assert state.due_since is None


@pytest.mark.slow
def test_engines_that_are_killed_lose_no_firing_and_start_none_twice(
    view: StoreView, schedules: Schedules, start: Callable[[], Runtime]
) -> None:
    schedules.add("job", "acme-etl/nightly==1.0", cron=EACH_SECOND, catch_up="all")
    set_back(view, "job", timedelta(seconds=5))
    for step in STEPS:
        command = [sys.executable, "-m", killed_schedules.__name__, str(view.home)]
        ended = subprocess.run(
            [*command, view.settings.database_url, step],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            timeout=PATIENCE,
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL, step
        with view.begin() as connection:  # what the dead had claimed is free after a while
            connection.execute(text("update firings set claimed_until = 0"))

    runtime = start()
    wait_until(lambda: FiringState.DUE not in states(schedules))
    schedules.pause("job")
    wait_until(lambda: FiringState.DUE not in states(schedules))

    history = list(reversed(schedules.history("job", limit=1000)))
    assert {one.reason for one in history} <= {None, PAUSED}
    records = [one for one in history if one.state is FiringState.STARTED]
    times = [record.at for record in records]
    assert times == [times[0] + timedelta(seconds=n) for n in range(len(times))]
    assert len(times) > len(STEPS)
    runs = runtime.list(limit=1000)
    assert sorted(run.run_id for run in runs) == sorted(str(one.run_id) for one in records)
    assert {named_by(run.idempotency_key) for run in runs} == {("job", at) for at in times}
