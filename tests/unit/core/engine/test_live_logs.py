"""What a task says is told while it runs, once, and nothing of it is lost at its end."""

import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue

import pytest
from support.runs import PATIENCE

from cloacina_core.engine.call import AttemptKey, LogEntry
from cloacina_core.engine.capture import LogSink
from cloacina_core.engine.live_logs import LiveLogs
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import RunId

CLOCK = SystemClock()
KEY: AttemptKey = (RunId("run"), 0, 1)
NEVER = 3600.0


class Listener:
    """Keeps what is told."""

    def __init__(self) -> None:
        self._told: SimpleQueue[tuple[AttemptKey, Sequence[LogEntry]]] = SimpleQueue()

    def tell(self, key: AttemptKey, lines: Sequence[LogEntry]) -> None:
        self._told.put((key, lines))

    def next(self) -> tuple[AttemptKey, list[str]]:
        """Wait for what is told next."""
        key, lines = self._told.get(timeout=PATIENCE)
        return key, texts(lines)

    def rest(self) -> list[str]:
        """Return what was told and not heard yet."""
        found: list[str] = []
        while not self._told.empty():
            found += self.next()[1]
        return found


def texts(lines: Sequence[LogEntry]) -> list[str]:
    return [text for _, _, text in lines]


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def live(listener: Listener) -> Iterator[LiveLogs]:
    live = LiveLogs(CLOCK, patience=0)
    live.tell_to(listener.tell)
    live.start()
    yield live
    live.stop()


def test_lines_are_told_while_the_task_runs_and_not_again(live: LiveLogs, listener: Listener):
    sink = live.sink(KEY)

    sink.line("stdout", "one")
    assert listener.next() == (KEY, ["one"])
    sink.line("stdout", "two")
    assert listener.next() == (KEY, ["two"])
    sink.write("stderr", "th")

    sink.write("stderr", "ree")
    assert texts(sink.close()) == ["three"]


def test_each_attempt_is_told_as_its_own(live: LiveLogs, listener: Listener):
    other: AttemptKey = (RunId("other"), 3, 2)
    sink = live.sink(other)

    sink.line("info", "here")

    assert listener.next() == (other, ["here"])


def test_a_short_attempt_has_told_nothing(listener: Listener):
    live = LiveLogs(CLOCK, patience=NEVER)
    live.tell_to(listener.tell)
    live.start()
    sink = live.sink(KEY)
    sink.line("stdout", "one")

    assert texts(sink.close()) == ["one"]
    live.stop()
    assert listener.rest() == []


def test_lines_keep_to_their_limits_when_they_are_told_early(
    live: LiveLogs, listener: Listener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cloacina_core.engine.capture.MAX_LINES", 2)
    sink = live.sink(KEY)
    sink.line("stdout", "one")
    told = listener.next()[1]

    for text in ("two", "three", "four"):
        sink.line("stdout", text)

    rest = texts(sink.close())
    assert told + listener.rest() + rest == ["one", "two", "... 2 more lines were dropped"]


def test_nothing_is_lost_or_said_twice_however_it_falls(live: LiveLogs, listener: Listener):
    """Lines come while others are told, up to the end of the attempt."""
    for _ in range(20):
        sink = live.sink(KEY)
        said = [f"line {number}" for number in range(500)]
        for text in said:
            sink.line("stdout", text)

        rest = texts(sink.close())

        assert listener.rest() + rest == said


def test_what_is_told_is_handed_on_before_the_attempt_ends():
    """Else its outcome could come first, and the lines would be of an attempt that is over."""
    sink = LogSink(CLOCK, lambda _: None)
    sink.line("stdout", "one")
    order: list[str] = []
    taking, ending = threading.Event(), threading.Event()

    def hand_on(lines: Sequence[LogEntry]) -> None:
        taking.set()
        assert not ending.wait(0.05)
        order.append("told")

    def end() -> None:
        assert taking.wait(PATIENCE)
        assert sink.close() == ()
        order.append("ended")
        ending.set()

    thread = threading.Thread(target=end)
    thread.start()
    sink.take(hand_on)
    thread.join()

    assert order == ["told", "ended"]


def test_after_the_end_nothing_is_announced(listener: Listener):
    announced: list[LogSink] = []
    sink = LogSink(CLOCK, announced.append)
    sink.line("stdout", "one")
    sink.close()

    sink.take(lambda _: pytest.fail("there is nothing"))
    sink.line("stdout", "late")

    assert announced == [sink]


def test_without_an_engine_lines_wait_for_their_outcome():
    live = LiveLogs(CLOCK, patience=0)
    sink = live.sink(KEY)

    sink.line("stdout", "one")

    assert texts(sink.close()) == ["one"]
