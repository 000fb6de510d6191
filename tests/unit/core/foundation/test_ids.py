"""Ids sort by the time of their making, whatever the clock does."""

import string
import threading
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.foundation.clock import EPOCH, SystemClock
from cloacina_core.foundation.ids import ID_LENGTH, IdFactory, first_id_of, is_id_prefix


class ScriptedClock:
    """Tells the milliseconds it was given, one after the other."""

    def __init__(self, *milliseconds: int) -> None:
        self._left = list(milliseconds)

    def now(self) -> datetime:
        return EPOCH + timedelta(milliseconds=self._left.pop(0))

    def monotonic(self) -> float:
        return 0.0


def zeros(count: int) -> bytes:
    return bytes(count)


def ones(count: int) -> bytes:
    return b"\xff" * count


@given(st.lists(st.integers(0, 2**41), min_size=2, max_size=30))
def test_ids_strictly_increase_whatever_the_clock_does(milliseconds: Any) -> None:
    factory = IdFactory(ScriptedClock(*milliseconds))

    made = [factory.run_id() for _ in milliseconds]

    assert made == sorted(set(made))


def test_ids_of_one_millisecond_are_one_apart() -> None:
    factory = IdFactory(ScriptedClock(5, 5, 5), zeros)

    made = [factory.run_id() for _ in range(3)]

    assert [text[-2:] for text in made] == ["00", "01", "02"]
    assert len({text[:-2] for text in made}) == 1


def test_ids_increase_when_the_random_bits_are_used_up() -> None:
    factory = IdFactory(ScriptedClock(5, 5, 6, 7), ones)

    made = [factory.run_id() for _ in range(4)]

    assert made == sorted(set(made))


def test_runs_and_engines_share_one_order() -> None:
    factory = IdFactory(ScriptedClock(9, 3), zeros)

    first, second = factory.run_id(), factory.engine_id()

    assert first < second


def test_a_later_millisecond_makes_a_higher_id_whatever_the_random_bits() -> None:
    bits = iter([ones(10), zeros(10)])
    factory = IdFactory(ScriptedClock(1_700_000_000_000, 1_700_000_000_001), lambda _: next(bits))

    assert factory.run_id() < factory.run_id()


def test_threads_never_get_the_same_id() -> None:
    factory = IdFactory(SystemClock())
    made: list[list[str]] = [[] for _ in range(4)]
    start = threading.Barrier(len(made))

    def make(into: list[str]) -> None:
        start.wait()
        into.extend(factory.run_id() for _ in range(500))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({text for into in made for text in into}) == 2000
    assert all(into == sorted(into) for into in made)


def test_an_id_is_26_letters_and_digits_that_no_one_confuses() -> None:
    made = IdFactory(SystemClock()).run_id()

    assert len(made) == ID_LENGTH == 26
    assert set(made) <= set(string.ascii_lowercase + string.digits) - set("ilou")


def test_the_beginning_of_an_id_is_known_as_such() -> None:
    made = IdFactory(SystemClock()).run_id()

    assert is_id_prefix(made)
    assert is_id_prefix(made[:1])
    assert not is_id_prefix("")
    assert not is_id_prefix(made + "0")
    assert not is_id_prefix("last")  # l isn't in the alphabet


def test_no_id_of_a_millisecond_is_below_its_first() -> None:
    moment = EPOCH + timedelta(milliseconds=5)
    before = IdFactory(ScriptedClock(4), ones).run_id()
    first = IdFactory(ScriptedClock(5), zeros).run_id()

    assert before < first_id_of(moment) == first_id_of(moment + timedelta(microseconds=999))
    assert first_id_of(moment) == first
    assert first_id_of(EPOCH - timedelta(days=1)) == "0" * ID_LENGTH
