"""Slots: what may start, in which order, and how many at a time."""

from cloacina_core.engine.slots import Slots
from cloacina_core.foundation.ids import RunId

A, B = RunId("a"), RunId("b")


def test_a_higher_priority_goes_first_and_equals_go_in_order():
    slots = Slots(10)
    slots.add(A, 0, priority=0)
    slots.add(A, 1, priority=0)
    slots.add(B, 2, priority=5)

    assert [slots.next(lost=0) for _ in range(4)] == [(B, 2), (A, 0), (A, 1), None]


def test_nothing_starts_without_a_free_slot():
    slots = Slots(1)
    slots.add(A, 0, priority=0)
    slots.take((B, 0, 1))

    assert slots.next(lost=0) is None
    assert slots.free((B, 0, 1))
    assert slots.next(lost=0) == (A, 0)


def test_a_lost_call_takes_a_slot():
    slots = Slots(1)
    slots.add(A, 0, priority=0)

    assert slots.next(lost=1) is None


def test_a_slot_is_freed_once():
    slots = Slots(1)
    slots.take((A, 0, 1))

    assert slots.free((A, 0, 1))
    assert not slots.free((A, 0, 1))


def test_the_slots_of_a_run_are_freed_together():
    slots = Slots(3)
    slots.take((A, 0, 1))
    slots.take((A, 1, 1))
    slots.take((B, 0, 1))

    freed = slots.free_all_of({A})

    assert sorted(freed) == [(A, 0, 1), (A, 1, 1)]
    assert slots.free((B, 0, 1))
