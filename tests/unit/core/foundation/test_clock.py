"""Moments are aware, in UTC, to the microsecond."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.foundation.clock import EPOCH, SystemClock, from_micros, iso, to_micros

MOMENTS = st.datetimes(timezones=st.just(UTC))
BERLIN_SUMMER = timezone(timedelta(hours=2))


def test_the_system_clock_tells_aware_moments_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_the_system_clock_measures_without_going_back() -> None:
    clock = SystemClock()

    assert clock.monotonic() <= clock.monotonic()


@given(MOMENTS)
def test_a_moment_comes_back_from_its_microseconds(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


@given(MOMENTS, MOMENTS)
def test_microseconds_and_texts_sort_as_moments_do(one: datetime, other: datetime) -> None:
    assert (to_micros(one) < to_micros(other)) == (one < other)
    assert (iso(one) < iso(other)) == (one < other)


@given(MOMENTS)
def test_the_text_of_a_moment_tells_it_exactly(moment: datetime) -> None:
    assert datetime.fromisoformat(iso(moment)) == moment


def test_the_text_of_a_moment_is_in_utc_with_microseconds() -> None:
    assert iso(datetime(2024, 7, 1, 2, 30, tzinfo=BERLIN_SUMMER)) == "2024-07-01T00:30:00.000000Z"
    assert iso(EPOCH) == "1970-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("function", [iso, to_micros])
def test_a_moment_without_a_time_zone_is_refused(function: Any) -> None:
    with pytest.raises(TypeError):
        function(datetime(2024, 1, 1))  # noqa: DTZ001
