"""Whatever becomes of a schedule, no firing is lost without a word, and none is met twice."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from cloacina_core.errors import InputError
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.following import Followed, Following
from cloacina_core.model.schedule.never import NeverStartsError
from cloacina_core.model.schedule.schedule import FiringState, Schedule
from cloacina_core.model.schedule.window import CommonWindow, Window
from cloacina_core.store import schedules
from cloacina_core.store.backfills import BackfillStore
from cloacina_core.store.database import Database
from cloacina_core.store.schedule_changes import PAUSED
from cloacina_core.store.schedule_following import ScheduleFollowing
from cloacina_core.store.schedules import ScheduleStore
from cloacina_core.store.windows import WindowStore
from cloacina_core.testing import FrozenClock

MINUTE = timedelta(minutes=1)
EIGHT = datetime(2026, 1, 15, 8, tzinfo=UTC)
WINDOW = "5 8 * * * for 10m"


class OfOneClock(Database):
    """A store that takes the time from the clock that it was given, whichever database it is."""

    ahead = timedelta()
    """How much the database's clock is."""

    def now_micros(self, connection: Connection) -> int:
        return self.local_micros() + self.ahead // timedelta(microseconds=1)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(EIGHT)


@pytest.fixture
def database(store_url: str, clock: FrozenClock) -> Iterator[OfOneClock]:
    database = OfOneClock(store_url, clock)
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> ScheduleStore:
    return ScheduleStore(database)


def schedule(**options: Any) -> Schedule:
    return Schedule.checked("job", "acme-etl/nightly", **{"cron": "6 8 * * *"} | options)


def decided(store: ScheduleStore) -> list[tuple[str, FiringState, str | None]]:
    records = reversed(store.history("job", limit=1000))
    return [(f"{one.at:%H:%M}", one.state, one.reason) for one in records]


def put_off() -> Schedule:
    return schedule(not_during=[WINDOW], in_window="put-off")


def held_back() -> Schedule:
    held = schedule(jitter=timedelta(hours=1))
    assert held.delay > 2 * MINUTE
    return held


HELD = pytest.mark.parametrize("held", [put_off(), held_back()], ids=["put off", "held back"])


@HELD
def test_a_change_that_leaves_the_moments_leaves_what_is_held(
    store: ScheduleStore, clock: FrozenClock, held: Schedule
) -> None:
    store.add(held)
    clock.advance(7 * MINUTE)
    store.decide()

    store.update("job", {"priority": 3})
    store.update("job", {})
    clock.advance(timedelta(hours=1))
    store.decide()

    assert decided(store) == [("08:06", FiringState.DUE, None)]
    assert [firing.schedule.priority for firing in store.claim()] == [3]


@HELD
def test_a_change_of_the_moments_still_starts_what_is_held(
    store: ScheduleStore, clock: FrozenClock, held: Schedule
) -> None:
    store.add(held)
    clock.advance(7 * MINUTE)
    store.decide()

    store.update("job", {"cron": "0 20 * * *"})
    claimed_at_once = store.claim()
    clock.advance(10 * MINUTE)
    store.decide()

    assert decided(store) == [("08:06", FiringState.DUE, None)]
    assert len(claimed_at_once or store.claim()) == 1
    next_at = store.get("job").next_at
    assert next_at is not None
    assert next_at.hour == 20
    assert (claimed_at_once == []) is (held == put_off()), "a window is kept free"


@HELD
def test_a_pause_tells_of_what_it_keeps_from_starting(
    store: ScheduleStore, clock: FrozenClock, held: Schedule
) -> None:
    store.add(held)
    clock.advance(7 * MINUTE)
    store.decide()

    store.pause("job", is_paused=True)
    clock.advance(timedelta(days=1))
    store.pause("job", is_paused=False)
    store.decide()

    assert decided(store) == [("08:06", FiringState.SKIPPED, PAUSED)]


def test_a_change_while_no_engine_runs_drops_nothing(
    store: ScheduleStore, clock: FrozenClock
) -> None:
    store.add(schedule(cron="* * * * *", catch_up="all"))
    clock.advance(5 * MINUTE)

    store.update("job", {})
    store.update("job", {"timezone": "Asia/Tokyo"})
    store.decide()

    assert [at for at, *_ in decided(store)] == [f"08:0{minute}" for minute in range(1, 6)]
    assert {state for _, state, _ in decided(store)} == {FiringState.DUE}


def test_one_that_was_decided_on_with_a_clock_that_was_ahead_goes_on_from_now(
    database: OfOneClock, store: ScheduleStore, clock: FrozenClock
) -> None:
    """A firing that was started early isn't again; those that were skipped are decided on anew."""
    store.add(schedule())
    database.ahead = timedelta(days=29, minutes=7)
    store.decide()
    (early,) = store.claim()
    store.started(early, RunId("early"))
    skipped = [state for _, state, _ in decided(store)].count(FiringState.SKIPPED)

    database.ahead = timedelta()
    looked_at = store.decide(), store.decide()
    for _ in range(31):
        clock.advance(timedelta(days=1))
        store.decide()

    assert skipped == 1, "which stands for 29"
    assert looked_at == (1, 0)
    states = [state for _, state, _ in decided(store)]
    assert states == 29 * [FiringState.DUE] + [FiringState.STARTED, FiringState.DUE]


def test_a_claim_of_a_clock_that_was_ahead_keeps_nobody_from_starting_it(
    database: OfOneClock, store: ScheduleStore, clock: FrozenClock
) -> None:
    store.add(schedule(cron="@hourly"))
    backfills = BackfillStore(database)
    backfills.begin(backfills.plan("job", EIGHT - timedelta(hours=2), EIGHT, 1, "b" * 26))
    clock.advance(timedelta(hours=1))
    store.decide()
    database.ahead = timedelta(hours=10)
    ahead = store.claim()  # and then its engine died

    database.ahead = timedelta()

    assert [firing.is_backfilled for firing in ahead] == [False, True]
    assert store.claim() == ahead
    assert store.claim() == []


def test_a_run_that_began_as_its_backfill_was_cancelled_is_told_of(
    database: OfOneClock, store: ScheduleStore
) -> None:
    store.add(schedule(cron="@hourly"))
    backfills = BackfillStore(database)
    backfills.begin(backfills.plan("job", EIGHT - timedelta(hours=3), EIGHT, 2, "b" * 26))
    first, second = store.claim()
    backfills.cancel("job", None)

    store.started(first, RunId("first"))
    store.failed(second, "no release fits")

    newest_first = [(one.state, one.reason, one.run_id) for one in store.history("job")]
    skipped = FiringState.SKIPPED, "the backfill was cancelled", None
    assert newest_first == [skipped, skipped, (FiringState.STARTED, None, "first")]


def test_why_the_last_firing_started_nothing_is_told_until_one_does(
    store: ScheduleStore, clock: FrozenClock
) -> None:
    store.add(schedule(cron="* * * * *"))
    told: list[str | None] = []
    for fails in (True, False, True):
        clock.advance(MINUTE)
        store.decide()
        (firing,) = store.claim()
        if fails:
            store.failed(firing, "no release fits")
        else:
            store.started(firing, RunId(f"{firing.at}"))
        told.append(store.get("job").last_failure)

    assert told == ["no release fits", None, "no release fits"]
    assert [state.last_failure for state in store.all()] == ["no release fits"]


def test_one_that_would_never_start_anything_is_refused(store: ScheduleStore) -> None:
    with pytest.raises(InputError, match="never start anything"):
        store.add(schedule(ends_at=EIGHT - MINUTE))
    with pytest.raises(InputError, match="never start anything"):
        store.add(schedule(ends_at=EIGHT + MINUTE))

    assert store.all() == []


def test_nobody_waits_while_it_is_found_out(
    database: OfOneClock, store: ScheduleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(schedule: Schedule, after: datetime, common: Sequence[Window]) -> None:
        asked.append(database._open.connection)
        raise NeverStartsError(schedule.name, "cron", "it can't", hint="ask again")

    store.add(schedule())
    monkeypatch.setattr(schedules, "require_start", refuse)
    monkeypatch.setattr(schedules, "require_free", refuse)
    with pytest.raises(NeverStartsError):
        store.add(Schedule.checked("other", "acme-etl", cron="@daily"))
    with pytest.raises(NeverStartsError):
        store.update("job", {"cron": "@daily"})

    assert asked == [None, None]
    assert store.add(schedule()) == (store.get("job"), False)


@pytest.mark.parametrize("ahead", [timedelta(seconds=50), timedelta(0)])
def test_clocks_that_differ_a_little_are_no_clock_that_was_ahead(
    database: OfOneClock, store: ScheduleStore, clock: FrozenClock, ahead: timedelta
) -> None:
    store.add(schedule())
    clock.advance(10 * MINUTE)
    database.ahead = ahead
    store.decide()

    database.ahead = timedelta()

    assert store.decide() == 0


def test_a_paused_one_goes_on_from_now_when_it_is_resumed(
    database: OfOneClock, store: ScheduleStore
) -> None:
    store.add(schedule())
    database.ahead = timedelta(days=30)
    store.decide()
    store.pause("job", is_paused=True)

    database.ahead = timedelta(days=1)
    paused = store.decide()
    store.pause("job", is_paused=False)
    resumed = store.decide()

    assert (paused, resumed) == (0, 1)
    assert store.get("job").next_at == EIGHT + timedelta(days=1, minutes=6)


def followed(version: str) -> Following:
    return Following(
        name="job",
        reference="acme-etl@stable",
        version=version,
        digest=Digest("0" * 64),
        is_pinned=False,
    )


@HELD
@pytest.mark.parametrize("is_declared", [True, False])
def test_a_release_that_changes_it_loses_nothing(
    database: Database,
    store: ScheduleStore,
    clock: FrozenClock,
    held: Schedule,
    is_declared: bool,
) -> None:
    store.add(held, followed("1.0"))
    clock.advance(7 * MINUTE)
    store.decide()
    rule = schedule(cron="@monthly") if is_declared else None
    reason = None if is_declared else "acme-etl 2.0 declares no schedule 'job'"

    anew = Followed(following=followed("2.0"), rule=rule, reason=reason)
    assert ScheduleFollowing(database).follow("job", followed("1.0"), anew)
    clock.advance(timedelta(days=1))
    store.decide()

    state = FiringState.DUE if is_declared else FiringState.SKIPPED
    assert decided(store) == [("08:06", state, reason)]


def test_one_that_was_over_goes_on_from_now(store: ScheduleStore, clock: FrozenClock) -> None:
    store.add(schedule(cron="* * * * *", max_runs=1))
    clock.advance(MINUTE)
    store.decide()
    clock.advance(10 * MINUTE)

    store.update("job", {"max_runs": 2})
    clock.advance(MINUTE)
    store.decide()

    assert decided(store) == [("08:01", FiringState.DUE, None), ("08:12", FiringState.DUE, None)]


def test_a_firing_whose_run_could_not_be_started_counts_for_no_limit(
    store: ScheduleStore, clock: FrozenClock
) -> None:
    store.add(schedule(cron="* * * * *", max_runs=2, catch_up="all"))
    clock.advance(5 * MINUTE)
    store.decide()

    first, second = store.claim()
    for _ in range(2):  # told twice, it counts once
        store.failed(first, "quarantined")
    store.failed(second, "quarantined")
    started = store.get("job").started
    store.decide()

    assert started == 0
    assert decided(store) == [
        ("08:01", FiringState.FAILED, "quarantined"),
        ("08:02", FiringState.FAILED, "quarantined"),
        ("08:03", FiringState.DUE, None),
        ("08:04", FiringState.DUE, None),
    ]
    assert (store.get("job").started, store.get("job").next_at) == (2, None)


RULES = (
    {"cron": "*/7 * * * *"},
    {"cron": "*/7 * * * *", "jitter": 3600},
    {"cron": "*/7 * * * *", "not_during": ["10 * * * * for 15m"], "in_window": "put-off"},
    {"cron": "*/5 * * * *", "overlap": "skip", "priority": 1},
    {"cron": "*/5 * * * *", "catch_up": "skip", "timezone": "Asia/Kolkata"},
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 40)),
        st.tuples(st.sampled_from(["update", "follow"]), st.integers(0, len(RULES) - 1)),
        st.tuples(st.sampled_from(["look", "window", "no window"]), st.just(0)),
        st.tuples(st.sampled_from(["pause", "resume"]), st.just(0)),
    ),
    max_size=25,
)


class Believed:
    """A schedule, and all moments at which it should have been due, by the rule of each time."""

    def __init__(self, url: str) -> None:
        self.clock = FrozenClock(EIGHT)
        self.database = OfOneClock(url, self.clock)
        self.store = ScheduleStore(self.database)
        self.rule = schedule(**RULES[0])
        self.store.add(self.rule, followed("0"))
        self.is_paused = False
        self.moments: set[datetime] = set()

    def do(self, step: str, number: int) -> None:
        windows = WindowStore(self.database)
        acts: dict[str, Callable[[], object]] = {
            "pass": lambda: self._pass(number * MINUTE),
            "update": lambda: self._update(RULES[number]),
            "follow": lambda: self._follow(RULES[number]),
            "look": self.store.decide,
            "window": lambda: windows.add(CommonWindow.checked("move", "0 * * * * for 20m")),
            "no window": lambda: windows.all() and windows.remove("move"),
            "pause": lambda: self._pause(is_paused=True),
            "resume": lambda: self._pause(is_paused=False),
        }
        acts[step]()

    def _pass(self, length: timedelta) -> None:
        before = self.clock.now()
        self.clock.advance(length)
        if not self.is_paused:
            self.moments |= {one.utc for one in firings(self.rule, before, self.clock.now())}

    def _update(self, changes: dict[str, Any]) -> None:
        self.rule = self.store.update("job", changes).schedule

    def _follow(self, changes: dict[str, Any]) -> None:
        before = self.store.get("job").following
        assert before is not None
        rule = self.rule.changed(**changes)
        anew = Followed(following=followed(f"{before.version}1"), rule=rule)
        assert ScheduleFollowing(self.database).follow("job", before, anew)
        self.rule = rule

    def _pause(self, *, is_paused: bool) -> None:
        self.is_paused = is_paused
        self.store.pause("job", is_paused=is_paused)


def firings(rule: Schedule, after: datetime, until: datetime) -> Sequence[Any]:
    return list(takewhile(lambda one: one.utc <= until, rule.firings(after)))


@settings(max_examples=20)
@given(steps=STEPS)
def test_each_moment_is_told_of_once(steps: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as home:
        believed = Believed(f"sqlite:///{Path(home) / 'store.db'}")
        for step in steps:
            believed.do(*step)
        believed.do("no window", 0)
        believed.store.pause("job", is_paused=False)
        believed.clock.advance(timedelta(hours=2))  # beyond jitter and windows
        believed.store.decide()
        told = {record.at for record in believed.store.history("job", limit=10_000)}
        believed.database.close()

    assert believed.moments <= told


def test_a_clock_that_was_set_back_tells_no_lag(store: ScheduleStore, clock: FrozenClock) -> None:
    store.add(schedule(cron="* * * * *"))
    clock.advance(MINUTE)
    store.decide()
    (firing,) = store.claim()

    clock._now -= MINUTE
    store.started(firing, RunId("r" * 26))

    assert store.get("job").lag is None
