"""Slots: what may start, in which order, and how many at a time."""

from cloacina_core.engine.slots import Slots
from cloacina_core.foundation.ids import RunId

A, B = RunId("a"), RunId("b")
API = ("crm-api",)


def started(slots: Slots) -> tuple[RunId, int] | None:
    queued = slots.next(lost=0)
    return queued and (queued.run_id, queued.task)


def test_a_higher_priority_goes_first_and_equals_go_in_order():
    slots = Slots(10)
    slots.add(A, 0, priority=0)
    slots.add(A, 1, priority=0)
    slots.add(B, 2, priority=5)

    assert [started(slots) for _ in range(4)] == [(B, 2), (A, 0), (A, 1), None]


def test_nothing_starts_without_a_free_slot():
    slots = Slots(1)
    slots.add(A, 0, priority=0)
    slots.take((B, 0, 1))

    assert slots.next(lost=0) is None
    assert slots.free((B, 0, 1))
    assert started(slots) == (A, 0)


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


def test_tasks_without_room_stand_aside_and_let_others_pass():
    slots = Slots(10)
    slots.add(A, 0, priority=5, limits=API)
    slots.add(A, 1, priority=1)
    slots.add(A, 2, priority=0, limits=API)
    refused = slots.next(lost=0)
    assert refused is not None
    slots.put_aside([refused])
    slots.add(B, 3, priority=9, limits=API)

    assert started(slots) == (A, 1)
    assert started(slots) is None
    assert slots.waiting == 0


def test_what_stood_aside_comes_in_its_old_order_once_there_may_be_room():
    slots = Slots(10)
    for task in range(3):
        slots.add(A, task, priority=0, limits=API)
    asked = [queued for _ in range(2) if (queued := slots.next(lost=0)) is not None]
    slots.put_aside(asked)
    slots.add(B, 3, priority=9, limits=API)
    slots.add(B, 4, priority=0)

    slots.reopen()

    assert slots.waiting == 5
    order = [started(slots) for _ in range(6)]
    assert order == [(B, 3), (A, 0), (A, 1), (A, 2), (B, 4), None]
