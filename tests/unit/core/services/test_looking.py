"""Services look when they are woken and when something is due, and otherwise sleep."""

import queue
import threading
from collections.abc import Iterator

import pytest
from support.runs import PATIENCE

from cloacina_core.services.looking import LookingService, Pauses

HOUR = 3600.0


class Lookout(LookingService):
    """Tells each look, and says of each when the next one is due."""

    def __init__(self, *due: float) -> None:
        super().__init__("lookout", "look", Pauses(shortest=0, longest=HOUR, after_failure=HOUR))
        self.looks: queue.Queue[int] = queue.Queue()
        self._due = iter(due)

    def look(self) -> float:
        self.looks.put(1)
        return next(self._due, HOUR)


@pytest.fixture
def lookout() -> Iterator[Lookout]:
    lookout = Lookout(-1.0, 0.0)
    lookout.start()
    yield lookout
    lookout.stop()


def test_it_looks_again_when_something_is_due_and_when_it_is_woken(lookout: Lookout) -> None:
    for _ in range(3):  # the first look, and two that were due
        lookout.looks.get(timeout=PATIENCE)

    lookout.wake()

    lookout.looks.get(timeout=PATIENCE)


def test_a_pause_within_a_look_ends_when_it_is_to_stop() -> None:
    begun, stopped = threading.Event(), threading.Event()

    class Slow(Lookout):
        def look(self) -> float:
            begun.set()
            if self.pause(HOUR):
                stopped.set()
            return HOUR

    service = Slow()
    service.start()
    assert begun.wait(PATIENCE)

    service.stop()

    assert stopped.is_set()
    assert service.is_stopping
