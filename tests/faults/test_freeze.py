"""An engine that was stopped for longer than its lease goes on, and nothing of it counts twice.

`SIGSTOP` and `SIGCONT` make what a pause of a virtual machine makes: an engine that believes it has
its runs, and attempts that end after others began anew.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from random import Random

import pytest
from support.faults.engines import EngineProcess, Orders, Place
from support.faults.invariants import Aftermath, assert_nothing_was_lost_or_done_twice
from support.runs import PATIENCE

from cloacina_core.model.event import EventType
from cloacina_core.model.status import AttemptOutcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TOGETHER = 3
"""How many engines work on a store at a time."""

KEYS = 2
"""How many runs each engine is given."""

LEASE = timedelta(seconds=1)
LONGEST_TASK = 0.4
"""Seconds: so long that an engine is stopped in the middle of attempts."""


def test_what_a_stopped_engine_still_does_counts_for_nothing(
    new_place: Callable[[], Place],
    start: Callable[[Orders], EngineProcess],
    chance: Random,
    rounds: int,
    tell: Callable[..., None],
):
    for _ in range(rounds):
        place = new_place()
        processes = [
            start(
                Orders(
                    place,
                    [f"{place.home.name}-{engine}-{n}" for n in range(KEYS)],
                    lease=LEASE,
                    longest_task=LONGEST_TASK,
                )
            )
            for engine in range(TOGETHER)
        ]

        for count in (1, TOGETHER):
            _freeze(place, chance.sample(processes, count), chance)
        for process in processes:
            assert process.wait() == 0

        found = Aftermath.read(place)
        assert_nothing_was_lost_or_done_twice(found)
        lost = [one for one in found.attempts() if one.outcome is AttemptOutcome.LOST]
        rejected = found.count(EventType.COMMIT_REJECTED)
        tell(place.kind, "freeze", "lost attempts", len(lost))
        tell(place.kind, "freeze", "rejected", rejected)
        assert lost, "a series that hits nothing proves nothing"


def _freeze(place: Place, processes: list[EngineProcess], chance: Random) -> None:
    """Stop engines that are at work for longer than their lease, and let them go on."""
    _wait_for_work(place, processes)
    for process in processes:
        process.freeze()
    time.sleep(LEASE.total_seconds() * chance.uniform(1.2, 1.6))
    for process in processes:
        process.thaw()


def _wait_for_work(place: Place, processes: list[EngineProcess]) -> None:
    """Wait until an engine has begun something new, or all have ended."""
    before = sum(place.ledger.begun().values())
    deadline = time.monotonic() + PATIENCE
    while sum(place.ledger.begun().values()) <= before:
        if not any(process.is_alive for process in processes):
            return
        assert time.monotonic() < deadline, "the engine never began to work"
        time.sleep(0.01)
