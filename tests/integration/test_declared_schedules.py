"""Schedules that packages declare: switched on, following a channel, and never started twice."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.registry import SignedWheel, StoreView, flows_returning, open_home, signed_wheel
from support.runs import PATIENCE, open_runtime

import cloacina_registry.hooks
from cloacina_core.errors import InputError, UnknownChannelError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.schedule.schedule import FiringState
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_core.plugin.manager import Plugins
from cloacina_core.plugin.resolution import ChosenRelease
from cloacina_core.runtime import AsyncRuntime, Runtime
from cloacina_core.runtime.schedules import Schedules
from cloacina_core.runtime.sources import Sources
from cloacina_core.services.declarations import (
    SCHEDULES,
    NotEnabledError,
    UnknownDeclarationError,
)
from cloacina_core.services.following import Follower, Followers, all_followers
from cloacina_core.store.schedule_following import ScheduleFollowing
from cloacina_core.store.schedule_rows import ScheduleExistsError
from cloacina_core.store.schedules import ScheduleStore
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.rollout.check import check_promotion

NAME = "acme-etl.early"


def release(version: str, **declared: dict[str, Any]) -> SignedWheel:
    schedules = [
        DeclaredSchedule.checked(name, "nightly", **options) for name, options in declared.items()
    ]
    return signed_wheel(version, sources=flows_returning(version), schedules=tuple(schedules))


EACH_SECOND = {"cron": "* * * * * *", "catch_up": "all"}
RELEASES = {
    "1.0": release("1.0", early={"cron": "@daily", "timezone": "Europe/Berlin"}),
    "2.0": release("2.0", early={"cron": "@hourly"}, late={"cron": "0 22 * * *"}),
    "3.0": release("3.0"),
    "4.0": release("4.0", early=EACH_SECOND),
    "5.0": release("5.0", early={**EACH_SECOND, "priority": 7}),
    "6.0": release("6.0", early={"cron": "@daily", "starts_at": datetime(2031, 1, 1, tzinfo=UTC)}),
}


def plugins() -> Plugins:
    found = Plugins()
    found.add(cloacina_registry.hooks, "registry")
    return found


@pytest.fixture
def view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home", SystemClock(), url=store_url)


@pytest.fixture
def promote(view: StoreView) -> Callable[[str], object]:
    """Return what has the channel `stable` point to a version, uploaded if it isn't yet."""
    registry = Registry.of(view)
    channels = Channels.of(view, registry)

    def promote(version: str) -> None:
        RELEASES[version].upload_to(registry)
        channels.promote("acme-etl", version, "stable", tried=False)

    return promote


@pytest.fixture
def sources(view: StoreView) -> Sources:
    return Sources(view, plugins())


@pytest.fixture
def schedules(view: StoreView, sources: Sources) -> Schedules:
    return Schedules(lambda: view.database, sources, SystemClock())


@pytest.fixture
def follow(view: StoreView, sources: Sources) -> Callable[[], None]:
    """Return what an engine does now and then."""
    return Follower(all_followers(view.database), sources.choose).look


def cron_of(state: ScheduleState) -> str:
    return str(state.schedule.timing.expression)


def set_back(view: StoreView, length: timedelta) -> None:
    """Let the last decision be some time ago."""
    with view.begin() as connection:
        statement = text(
            "update schedules set decided_until = decided_until - :micros, "
            "next_at = decided_until - :micros"
        )
        connection.execute(statement, {"micros": length // timedelta(microseconds=1)})


def test_what_a_release_declares_is_kept_under_its_own_name(
    schedules: Schedules, promote: Callable[[str], object]
) -> None:
    promote("2.0")

    kept = schedules.enable("acme-etl@stable")
    again = schedules.enable("acme-etl@stable")

    assert [(state.schedule.name, is_new) for state, is_new in kept] == [
        (NAME, True),
        ("acme-etl.late", True),
    ]
    assert [is_new for _, is_new in again] == [False, False]
    state = schedules.get(NAME)
    assert state.schedule.reference == "acme-etl/nightly@stable"
    assert state.to_json()["declared_by"] == {
        "name": "early",
        "reference": "acme-etl@stable",
        "version": "2.0",
        "digest": RELEASES["2.0"].digest,
        "pinned": False,
        "overridden": {},
    }


def test_what_cannot_be_enabled_is_refused(
    view: StoreView, schedules: Schedules, promote: Callable[[str], object]
) -> None:
    promote("1.0")
    with pytest.raises(
        UnknownDeclarationError, match=r"1\.0 declares no schedule 'erly'"
    ) as caught:
        schedules.enable("acme-etl@stable", "erly")
    assert caught.value.hint == "it declares early"
    RELEASES["3.0"].upload_to(Registry.of(view))
    with pytest.raises(UnknownDeclarationError, match="declares no schedules"):
        schedules.enable("acme-etl==3.0")
    with pytest.raises(UnknownChannelError):
        schedules.enable("acme-etl@nightly")
    with pytest.raises(InputError, match="names a workflow"):
        schedules.enable("acme-etl/nightly@stable")
    with pytest.raises(InputError, match="goes with the name"):
        schedules.enable("acme-etl@stable", stored_as="job")
    with pytest.raises(InputError, match="schedule name '7'"):
        schedules.enable("acme-etl@stable", "early", stored_as="7")
    schedules.enable("acme-etl@stable")
    with pytest.raises(ScheduleExistsError, match="reference") as told:
        schedules.enable("acme-etl==1.0", "early")
    assert str(told.value.hint).endswith(
        ": cloacina schedule disable acme-etl@stable early"
        " && cloacina schedule enable acme-etl==1.0 early"
    )
    schedules.add("job", "acme-etl/nightly@stable", cron="@daily")
    with pytest.raises(ScheduleExistsError, match="what declares it") as told:
        schedules.enable("acme-etl@stable", "early", stored_as="job")
    assert told.value.hint == "change it with: cloacina schedule update job"


def test_it_follows_its_channel_and_stops_when_it_is_declared_no_more(
    schedules: Schedules, promote: Callable[[str], object], follow: Callable[[], None]
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    schedules.enable("acme-etl==1.0", "early", stored_as="pinned")

    promote("2.0")
    follow()
    moved = schedules.get(NAME)
    promote("3.0")
    follow()
    gone = schedules.get(NAME)
    promote("1.0")
    follow()
    back = schedules.get(NAME)

    assert (cron_of(moved), moved.schedule.timezone, moved.is_paused) == ("@hourly", "UTC", False)
    assert (gone.is_paused, gone.next_at) == (True, None)
    assert gone.pause_reason == "acme-etl 3.0 declares no schedule 'early'"
    assert (cron_of(back), back.is_paused, back.pause_reason) == ("@daily", False, None)
    assert back.next_at is not None
    assert cron_of(schedules.get("pinned")) == "@daily"
    assert [state.schedule.name for state in schedules.all()] == [NAME, "pinned"]


def test_a_release_that_declares_it_again_does_not_resume_what_people_paused(
    schedules: Schedules, promote: Callable[[str], object], follow: Callable[[], None]
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    schedules.pause(NAME)

    for version in ("3.0", "2.0"):
        promote(version)
        follow()

    state = schedules.get(NAME)
    assert (cron_of(state), state.is_paused, state.next_at) == ("@hourly", True, None)


def test_what_an_operator_changed_stays_changed(
    schedules: Schedules, promote: Callable[[str], object], follow: Callable[[], None]
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    schedules.update(NAME, priority=3)
    schedules.update(NAME, timezone="Asia/Tokyo")

    promote("2.0")
    follow()

    state = schedules.get(NAME)
    assert (cron_of(state), state.schedule.timezone) == ("@hourly", "Asia/Tokyo")
    assert state.schedule.priority == 3
    assert state.following is not None
    assert state.following.overridden == {"priority": 3, "timezone": "Asia/Tokyo"}
    with pytest.raises(InputError, match="follows acme-etl@stable") as told:
        schedules.update(NAME, reference="acme-etl/nightly==1.0")
    assert str(told.value.hint).endswith("schedule enable acme-etl@CHANNEL early")
    schedules.enable("acme-etl@stable", "early", stored_as="other")
    with pytest.raises(InputError, match="follows") as told:
        schedules.update("other", reference="acme-etl/nightly==1.0")
    assert str(told.value.hint).endswith("acme-etl@CHANNEL early --as other")


def test_what_was_changed_is_given_back(
    schedules: Schedules, promote: Callable[[str], object], follow: Callable[[], None]
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    schedules.update(NAME, cron="0 5 * * *")
    promote("2.0")
    follow()
    assert cron_of(schedules.get(NAME)) == "0 5 * * *"

    restored = schedules.restore(NAME)

    assert cron_of(restored) == "@hourly"
    assert restored.following is not None
    assert restored.following.overridden == {}
    schedules.add("job", "acme-etl/nightly", cron="@daily")
    with pytest.raises(InputError, match="people made it"):
        schedules.restore("job")


def test_what_was_changed_and_no_longer_fits_pauses_it(
    view: StoreView,
    schedules: Schedules,
    promote: Callable[[str], object],
    follow: Callable[[], None],
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    schedules.update(NAME, ends_at="2030-01-01T00:00:00+00:00")

    promote("6.0")
    follow()

    state = schedules.get(NAME)
    assert state.is_paused
    assert "what was changed of it doesn't go with acme-etl 6.0" in str(state.pause_reason)


def test_a_move_decides_on_what_was_due_and_makes_up_for_nothing_else(
    view: StoreView,
    schedules: Schedules,
    promote: Callable[[str], object],
    follow: Callable[[], None],
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    set_back(view, timedelta(days=1, minutes=1))  # one firing was missed, a day ago at most

    promote("4.0")
    follow()
    before = schedules.history(NAME)
    ScheduleStore(view.database).decide()

    assert len(before) == 1, "what was due by the old rule is decided on by it"
    state = schedules.get(NAME)
    (old,) = before
    anew = [one for one in schedules.history(NAME, limit=1000) if one.at != old.at]
    assert all(one.at > state.updated_at - timedelta(seconds=1) for one in anew)


def test_a_move_that_leaves_the_moments_as_they_are_loses_none(
    view: StoreView,
    schedules: Schedules,
    promote: Callable[[str], object],
    follow: Callable[[], None],
) -> None:
    promote("4.0")
    schedules.enable("acme-etl@stable")
    set_back(view, timedelta(seconds=10))

    promote("5.0")
    follow()
    ScheduleStore(view.database).decide()

    times = [one.at for one in reversed(schedules.history(NAME, limit=1000))]
    assert len(times) >= 10
    assert times == [times[0] + timedelta(seconds=n) for n in range(len(times))]
    assert schedules.get(NAME).schedule.priority == 7


def test_of_engines_that_see_a_move_one_follows_it(
    view: StoreView, schedules: Schedules, sources: Sources, promote: Callable[[str], object]
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    promote("2.0")
    before = threading.Barrier(4)
    moved: list[bool] = []

    class Counting(ScheduleFollowing):
        def follow(self, *args: Any) -> bool:
            before.wait(PATIENCE)
            is_first = super().follow(*args)
            moved.append(is_first)
            return is_first

    def look() -> None:
        Follower([Followers(SCHEDULES, Counting(view.database))], sources.choose).look()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert sorted(moved) == [False, False, False, True]
    assert cron_of(schedules.get(NAME)) == "@hourly"


def test_a_channel_that_cannot_be_followed_is_told_once_and_leaves_it(
    view: StoreView,
    schedules: Schedules,
    promote: Callable[[str], object],
    follow: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    Registry.of(view).delete("acme-etl", "1.0")

    follow()
    follow()

    assert caplog.text.count("acme-etl@stable can't be followed now") == 1
    assert not schedules.get(NAME).is_paused


def test_a_source_with_a_fault_does_not_keep_others_from_starting(
    view: StoreView,
    schedules: Schedules,
    promote: Callable[[str], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")

    def choose(reference: str) -> ChosenRelease:
        raise RuntimeError(f"a fault, at {reference}")

    Follower(all_followers(view.database), choose).look()

    assert "acme-etl@stable can't be followed now: a fault" in caplog.text


def test_what_was_enabled_is_disabled_by_the_same_reference(
    schedules: Schedules, promote: Callable[[str], object]
) -> None:
    promote("2.0")
    schedules.enable("acme-etl@stable")
    schedules.enable("acme-etl==2.0", "early", stored_as="pinned")

    assert schedules.disable("acme-etl@stable", "late") == ["acme-etl.late"]
    assert schedules.disable("acme-etl@stable") == [NAME]
    with pytest.raises(NotEnabledError):
        schedules.disable("acme-etl@stable")
    assert [state.schedule.name for state in schedules.all()] == ["pinned"]


def test_an_engine_follows_and_starts_what_the_channel_says(
    view: StoreView, schedules: Schedules, promote: Callable[[str], object]
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    with ExitStack() as stack:
        runtime: Runtime = stack.enter_context(
            open_runtime(view.home, view.settings.database_url, plugins=plugins())
        )
        is_started = threading.Event()
        runtime.observe(lambda _: is_started.set())

        promote("4.0")

        assert is_started.wait(PATIENCE)
        schedules.pause(NAME)
        records = schedules.history(NAME, limit=1000)
        assert {one.state for one in records} <= {FiringState.STARTED, FiringState.DUE}
        assert {run.release.version for run in runtime.list() if run.release} == {"4.0"}


def test_a_check_before_a_promotion_tells_of_schedules_that_it_would_pause(
    view: StoreView, schedules: Schedules, promote: Callable[[str], object]
) -> None:
    promote("1.0")
    schedules.enable("acme-etl@stable")
    registry = Registry.of(view)
    RELEASES["3.0"].upload_to(registry)

    report = check_promotion(view, registry, "acme-etl", "3.0", "stable")
    elsewhere = check_promotion(view, registry, "acme-etl", "3.0", "candidate")

    told = [str(one) for one in report.warnings if one.kind == "schedule"]
    assert told == [f"schedule {NAME}: would be paused: this release declares no schedule 'early'"]
    assert elsewhere.warnings == ()


def test_schedules_are_awaited_too(view: StoreView, promote: Callable[[str], object]) -> None:
    promote("2.0")

    async def use(runtime: AsyncRuntime) -> None:
        found = runtime.schedules
        (kept, *_) = await found.enable("acme-etl@stable")
        await found.add("job", "acme-etl/nightly", cron="@daily", paused=True)
        assert (await found.update("job", priority=1)).schedule.priority == 1
        assert (await found.pause(NAME)).is_paused
        assert not (await found.resume(NAME)).is_paused
        assert (await found.restore(NAME)).following is not None
        assert await found.get(NAME) != kept[0]
        assert len(await found.next("job", count=3)) == 3
        assert await found.history("job") == []
        until = SystemClock().now()
        planned = await found.backfill("job", until - timedelta(days=3), until, dry_run=True)
        assert len(planned.firings) == 3
        assert await found.backfills("job") == []
        assert await found.cancel_backfills("job") == []
        assert (await found.definition("acme-etl/nightly")).name == "nightly"
        await found.delete("job")
        assert await found.disable("acme-etl@stable") == [NAME, "acme-etl.late"]
        assert await found.all() == []

    with open_runtime(
        view.home, view.settings.database_url, plugins=plugins(), recover=False
    ) as runtime:
        asyncio.run(use(AsyncRuntime(runtime)))
