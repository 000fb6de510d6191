"""A latch lets everybody go on, once it is set."""

import threading

from cloacina_core.foundation.latch import Latch

PATIENCE = 30.0


def test_who_comes_before_it_is_set_waits() -> None:
    latch = Latch()

    assert not latch.wait(0)
    assert not latch.wait(-1)
    assert not latch.is_set


def test_who_comes_after_it_was_set_does_not_wait() -> None:
    latch = Latch()
    latch.set()

    assert latch.is_set
    assert latch.wait()
    assert latch.wait(0)


def test_it_may_be_set_again() -> None:
    latch = Latch()
    latch.set()
    latch.set()

    assert latch.wait(0)


def test_all_who_wait_go_on() -> None:
    latch, results = Latch(), list[bool]()
    threads = [
        threading.Thread(target=lambda: results.append(latch.wait(PATIENCE))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()

    latch.set()

    for thread in threads:
        thread.join(PATIENCE)
    assert results == [True] * 5
