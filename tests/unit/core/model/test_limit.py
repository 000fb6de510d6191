"""Limits: what is let in, and what their texts mean."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.errors import InputError
from cloacina_core.model.limit import Limit, Rate, Room

SECOND = 1_000_000
RATES = st.builds(
    Rate, st.integers(1, 4), st.integers(1, 10).map(lambda seconds: timedelta(seconds=seconds))
)
STEPS = st.lists(st.integers(0, 4 * SECOND), max_size=40)


@given(rate=RATES, steps=STEPS)
def test_no_period_ever_has_more_starts_than_the_rate_and_refusals_tell_when(
    rate: Rate, steps: list[int]
):
    limit = Limit(name="api", rate=rate)
    period = rate.period // timedelta(microseconds=1)
    started: list[int] = []
    now = 0
    for step in steps:
        now += step
        refusal = Room({"api": limit}, {}, {"api": started}, now).let_in(["api"], is_start=True)
        if refusal is None:
            started.append(now)
            continue
        assert refusal.again_in is not None
        again = now + refusal.again_in // timedelta(microseconds=1)
        sooner = Room({"api": limit}, {}, {"api": started}, again - 1)
        then = Room({"api": limit}, {}, {"api": started}, again)
        assert sooner.let_in(["api"], is_start=True) is not None
        assert then.let_in(["api"], is_start=True) is None
    for first in started:
        assert sum(first <= start < first + period for start in started) <= rate.starts


def test_what_is_let_in_takes_room_from_the_next():
    room = Room({"api": Limit(name="api", size=2)}, {"api": 1}, {}, 0)

    assert room.let_in(["api"], is_start=True) is None
    refusal = room.let_in(["api"], is_start=True)
    assert refusal is not None
    assert (refusal.limit, refusal.again_in) == ("api", None)


def test_one_that_is_refused_by_one_limit_takes_no_room_of_another():
    limits = {"a": Limit(name="a", size=1), "b": Limit(name="b", size=0)}
    room = Room(limits, {}, {}, 0)

    assert room.let_in(["a", "b"], is_start=True) is not None
    assert room.let_in(["a"], is_start=True) is None


@pytest.mark.parametrize("text", ["10/1m", "1/30s", "500/2h", "3/31d"])
def test_a_rate_is_told_as_it_is_written(text: str):
    assert str(Rate.parse(text)) == text


@pytest.mark.parametrize("text", ["", "10", "0/1m", "10/0", "10/forever", "x/1m", "1/32d"])
def test_what_is_no_rate_is_refused(text: str):
    with pytest.raises(InputError, match="rate"):
        Limit.checked("api", rate=text)


def test_a_limit_has_a_name_and_a_size_or_a_rate():
    with pytest.raises(InputError, match="neither"):
        Limit.checked("api")
    with pytest.raises(InputError, match="whole number"):
        Limit.checked("api", -1)
    with pytest.raises(InputError, match="limit name"):
        Limit.checked("no spaces", 1)
