"""Shares of slots: max-min fair, work-conserving, and the same each time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.model.shares import capacity, shares

SLOTS = st.integers(1, 40)
DEMANDS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 60))


@pytest.mark.parametrize(
    ("slots", "demands", "expected"),
    [
        (8, {"a": 100, "b": 0}, {"a": 8, "b": 0}),
        (8, {"a": 100, "b": 100}, {"a": 4, "b": 4}),
        (8, {"a": 100, "b": 1}, {"a": 7, "b": 1}),
        (8, {"a": 100, "b": 2, "c": 100}, {"a": 3, "b": 2, "c": 3}),
        (8, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        (2, {"a": 9, "b": 9, "c": 9}, {"a": 1, "b": 1, "c": 1}),
        (4, {}, {}),
    ],
)
def test_shares_are_even_up_to_what_is_wanted(
    slots: int, demands: dict[str, int], expected: dict[str, int]
) -> None:
    assert shares(slots, demands) == expected


@given(SLOTS, DEMANDS)
def test_there_are_never_more_than_slots_or_tenants_that_want_any(
    slots: int, demands: dict[str, int]
) -> None:
    given_out = shares(slots, demands)

    assert sum(given_out.values()) <= capacity(slots, demands)
    assert given_out.keys() == demands.keys()
    assert all(0 <= given_out[name] <= demands[name] for name in demands)


@given(SLOTS, DEMANDS)
def test_none_is_idle_while_somebody_wants_it(slots: int, demands: dict[str, int]) -> None:
    given_out = shares(slots, demands)

    used, wanted = sum(given_out.values()), sum(demands.values())
    assert used == min(wanted, capacity(slots, demands))


@given(SLOTS, DEMANDS)
def test_nobody_has_less_than_an_even_share_of_what_is_there(
    slots: int, demands: dict[str, int]
) -> None:
    given_out = shares(slots, demands)

    wanting = sum(demand > 0 for demand in demands.values())
    for name, demand in demands.items():
        assert given_out[name] >= min(demand, max(1, slots // max(1, wanting)))


@given(SLOTS, DEMANDS)
def test_whoever_goes_short_has_at_most_one_less_than_any_other(
    slots: int, demands: dict[str, int]
) -> None:
    given_out = shares(slots, demands)

    most = max(given_out.values(), default=0)
    short = [name for name in demands if given_out[name] < demands[name]]
    assert all(given_out[name] >= most - 1 for name in short)


@given(SLOTS, DEMANDS)
def test_shares_dont_depend_on_the_order_of_tenants(slots: int, demands: dict[str, int]) -> None:
    assert shares(slots, dict(reversed(demands.items()))) == shares(slots, demands)
