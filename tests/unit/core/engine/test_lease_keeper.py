"""A lease is renewed in time, or given up before it can have ended."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from cloacina_core.engine.lease_keeper import LeaseKeeper
from cloacina_core.errors import StoreUnavailableError
from cloacina_core.testing import FrozenClock

LEASE = timedelta(seconds=12)


@pytest.fixture
def lost() -> list[str]:
    return []


def keeper_of(renew: Callable[[], bool], clock: FrozenClock, lost: list[str]) -> LeaseKeeper:
    return LeaseKeeper(renew, lease=LEASE, clock=clock, on_lost=lost.append)


def refuse() -> bool:
    raise StoreUnavailableError("nobody answers")


def test_it_is_renewed_three_times_in_its_length(clock: FrozenClock, lost: list[str]):
    assert keeper_of(lambda: True, clock, lost).renew() == 4


def test_a_renewal_that_fails_is_tried_again_soon(clock: FrozenClock, lost: list[str]):
    pause = keeper_of(refuse, clock, lost).renew()

    assert pause is not None
    assert pause < 1
    assert lost == []


def test_it_is_given_up_before_it_ends(clock: FrozenClock, lost: list[str]):
    keeper = keeper_of(refuse, clock, lost)
    clock.advance(timedelta(seconds=8))
    assert keeper.watch() == 1
    clock.advance(timedelta(seconds=1))

    assert keeper.watch() is None
    assert len(lost) == 1


def test_a_renewal_puts_that_off(clock: FrozenClock, lost: list[str]):
    keeper = keeper_of(lambda: True, clock, lost)
    for _ in range(10):
        clock.advance(timedelta(seconds=8))
        keeper.renew()

    assert keeper.watch() == 9
    assert lost == []


def test_a_renewal_counts_from_when_it_was_asked_for(clock: FrozenClock, lost: list[str]):
    def renew_slowly() -> bool:
        clock.advance(timedelta(seconds=5))
        return True

    keeper = keeper_of(renew_slowly, clock, lost)
    keeper.renew()

    assert keeper.watch() == 4


def test_an_engine_that_was_declared_dead_is_told_once(clock: FrozenClock, lost: list[str]):
    keeper = keeper_of(lambda: False, clock, lost)

    assert keeper.renew() is None
    clock.advance(LEASE)
    keeper.watch()

    assert len(lost) == 1


def test_who_stopped_is_told_nothing(clock: FrozenClock, lost: list[str]):
    keeper = keeper_of(refuse, clock, lost)
    keeper.stop()
    clock.advance(LEASE)
    keeper.watch()

    assert lost == []
