"""A clock that moves only when it is told to."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.errors import InputError
from cloacina_core.testing import FrozenClock


def test_a_clock_stands_still() -> None:
    clock = FrozenClock()

    assert (clock.now(), clock.monotonic()) == (clock.now(), clock.monotonic())
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)


def test_advancing_moves_both_of_its_hands() -> None:
    clock = FrozenClock()

    clock.advance(timedelta(minutes=1, seconds=30))

    assert clock.now() == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)
    assert clock.monotonic() == 90


def test_a_start_in_another_zone_is_told_in_utc() -> None:
    start = datetime(2026, 6, 1, 2, tzinfo=timezone(timedelta(hours=2)))

    clock = FrozenClock(start)

    assert clock.now() == start
    assert clock.now().tzinfo is UTC


def test_a_start_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="no time zone"):
        FrozenClock(datetime(2026, 6, 1))  # noqa: DTZ001 - that is the fault


def test_time_does_not_go_back() -> None:
    clock = FrozenClock()

    with pytest.raises(InputError, match="doesn't go back"):
        clock.advance(timedelta(microseconds=-1))

    assert clock.monotonic() == 0


PAUSES = st.integers(1, 10**12).map(lambda micros: timedelta(microseconds=micros))


@given(st.lists(PAUSES, min_size=1, max_size=10))
def test_waits_measured_in_seconds_lose_no_microsecond(pauses: list[timedelta]) -> None:
    """Moments that were set at the start, as those of timers, are met one after the other."""
    clock = FrozenClock()
    moments = sorted(pauses)

    for moment in moments:
        due = moment.total_seconds()
        while clock.monotonic() < due:
            clock.wait(due - clock.monotonic())

        assert clock.monotonic() == pytest.approx(due, rel=1e-15)
        assert clock.now() == FrozenClock().now() + moment
