"""An engine whose clock is a day off: leases are judged by the database's clock."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from support.faults.engines import EngineProcess, Orders, Place
from support.faults.invariants import Aftermath
from support.faults.preparations import shift_clock

from cloacina_core.model.status import AttemptOutcome, RunStatus

pytestmark = pytest.mark.slow

KEYS = 4


@pytest.mark.parametrize("new_place", ["postgresql"], indirect=True)
@pytest.mark.parametrize("off", [timedelta(days=1), timedelta(days=-1)], ids=["ahead", "behind"])
def test_a_clock_that_is_off_costs_nobody_a_lease(
    new_place: Callable[[], Place],
    start: Callable[[Orders], EngineProcess],
    off: timedelta,
):
    place = new_place()
    orders = [
        Orders(place, [f"{engine}-{n}" for n in range(KEYS)], before=before)
        for engine, before in enumerate((partial(shift_clock, off), None))
    ]

    engines = [start(one) for one in orders]

    assert [engine.wait() for engine in engines] == [0, 0]
    found = Aftermath.read(place)
    assert found.damage == []
    assert {result.status for result in found.results.values()} == {RunStatus.SUCCEEDED}
    assert len(found.results) == 2 * KEYS
    outcomes = {attempt.outcome for attempt in found.attempts()}
    assert outcomes == {AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED}
