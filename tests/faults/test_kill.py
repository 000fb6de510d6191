"""`kill -9` at any transition loses nothing, commits nothing twice, and leaves nothing half done.

Two engines at a time share the work of a store, and each dies at a transition that it is given.
Others go on, until one has all the time it needs.
"""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from random import Random

import pytest
from support.faults.aims import TRANSITIONS, aims
from support.faults.engines import EngineProcess, Orders, Place
from support.faults.invariants import Aftermath, assert_nothing_was_lost_or_done_twice

from cloacina_core.model.status import RunStatus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TOGETHER = 2
"""How many engines work on a store at a time."""

KEYS = 2
"""How many runs each engine is given."""

LEASE = timedelta(seconds=2)
"""Short: twice in each lease, engines look for runs of those that died."""


def test_the_same_seed_makes_the_same_schedule():
    assert aims(Random(7)) == aims(Random(7))
    assert aims(Random(7)) != aims(Random(8))
    assert {aim.transition for aim in aims(Random(7))} == set(TRANSITIONS)


def test_kills_lose_nothing_and_repeat_nothing_that_was_recorded(
    new_place: Callable[[], Place],
    start: Callable[[Orders], EngineProcess],
    chance: Random,
    wanted_kills: int | None,
    tell: Callable[..., None],
):
    """As many series of kills as are wanted, and all that must hold behind each."""
    hits = 0
    for number in count(1):
        place = new_place()

        killed = _kill(place, start, chance)

        found = Aftermath.read(place)
        assert_nothing_was_lost_or_done_twice(found)
        hit = [pid for pid in killed if found.lost_by(found.ledger.engines_of(pid))]
        succeeded = [one for one in found.results.values() if one.status is RunStatus.SUCCEEDED]
        assert len(hit) >= len(TRANSITIONS) / 2, "a series that hits nothing proves nothing"
        assert len(succeeded) >= len(found.results) / 2
        for pid, transition, side in found.ledger.lines("struck"):
            tell(place.kind, transition, side)
            tell(place.kind, transition, "hit live", int(pid) in hit)
        hits += len(hit)
        if hits >= (wanted_kills or 1):
            assert number < 1000
            return


def _kill(place: Place, start: Callable[[Orders], EngineProcess], chance: Random) -> list[int]:
    """Kill an engine at each transition; return the processes that were."""
    keys = [f"{place.home.name}-{n}" for n in range(KEYS * len(TRANSITIONS))]
    schedule = aims(chance)
    killed: list[int] = []
    while schedule:
        now, schedule = schedule[:TOGETHER], schedule[TOGETHER:]
        unknown = [key for key in keys if key not in place.ledger.accepted()]
        processes = [
            start(Orders(place, unknown[KEYS * n : KEYS * (n + 1)], aim, lease=LEASE))
            for n, aim in enumerate(now)
        ]
        for process in processes:
            process.wait()
        killed += [process.pid for process in processes if process.was_killed]
    unknown = [key for key in keys if key not in place.ledger.accepted()]
    assert start(Orders(place, unknown, lease=LEASE)).wait() == 0
    return killed
