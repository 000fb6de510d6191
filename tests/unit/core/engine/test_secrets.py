"""What an attempt with secrets says is held back until it is known that none of them is in it."""

import pytest

from cloacina_core.engine.call import LogEntry
from cloacina_core.engine.capture import MAX_LINE_LENGTH, LogSink
from cloacina_core.engine.redaction import Redactor
from cloacina_core.testing import FrozenClock

VALUE = "correct horse battery staple"
GUARD = Redactor({"crm": VALUE})


@pytest.fixture
def sink() -> LogSink:
    return LogSink(FrozenClock())


def taken(sink: LogSink) -> list[str]:
    lines: list[LogEntry] = []
    sink.take(lines.extend)
    return [line for _, _, line in lines]


def left(sink: LogSink) -> list[str]:
    return [line for _, _, line in sink.close()]


def test_a_line_that_may_become_a_value_is_not_told_yet(sink: LogSink):
    sink.guard(GUARD)
    sink.write("stdout", f"harmless\n{VALUE[:9]}\n")

    assert taken(sink) == ["harmless"]
    assert taken(sink) == []
    sink.write("stdout", f"{VALUE[9:]}\nbehind\n")
    assert taken(sink) == ["[secret crm]", "[secret crm]", "behind"]
    assert left(sink) == []


def test_lines_that_were_told_before_are_not_told_again(sink: LogSink):
    sink.write("stdout", "before\n")
    assert taken(sink) == ["before"]

    sink.guard(GUARD)
    sink.write("stdout", f"{VALUE}\n")

    assert left(sink) == ["[secret crm]"]


def test_what_was_held_back_is_told_at_the_end(sink: LogSink):
    sink.guard(GUARD)
    sink.write("stdout", f"{VALUE[:9]}\n")
    assert taken(sink) == []

    assert left(sink) == [VALUE[:9]]


@pytest.mark.parametrize("before", range(MAX_LINE_LENGTH - 30, MAX_LINE_LENGTH + 5, 7))
def test_a_long_line_is_not_cut_amid_a_value(sink: LogSink, before: int):
    sink.guard(GUARD)

    sink.write("stdout", "x" * before + VALUE + " " + VALUE)
    sink.write("stdout", "y" * 100 + "\n")

    (line,) = left(sink)
    assert VALUE[:4] not in line
    assert line.endswith("(cut)")


def test_a_line_of_many_values_leaves_none_at_its_end(sink: LogSink):
    sink.guard(GUARD)

    sink.write("stdout", f"{VALUE}, " * 2_000 + "\n")

    (line,) = left(sink)
    assert VALUE[:4] not in line
