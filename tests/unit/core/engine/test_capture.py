"""What tasks print and log is kept with their attempts, and nobody else's is."""

import asyncio
import contextvars
import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cloacina_core.engine import capture
from cloacina_core.engine.capture import Capture, LogSink, capturing, storable
from cloacina_core.engine.redaction import Redactor
from cloacina_core.testing import FrozenClock

CLOCK = FrozenClock()


def say(text: str, *, aloud: bool = False) -> None:
    """Print, as a task does."""
    print(text, file=sys.stderr if aloud else None)


@contextmanager
def terminal() -> Iterator[io.StringIO]:
    """Let this stand for the terminal.

    Not a fixture: pytest puts its own streams back between the phases of a test.
    """
    screen = io.StringIO()
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = screen
    try:
        yield screen
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def captured(*, pass_on: bool = True) -> Iterator[io.StringIO]:
    """Capture, and yield what reaches the terminal all the same."""
    with terminal() as screen:
        capture = Capture(pass_on=pass_on)
        capture.start()
        try:
            yield screen
        finally:
            capture.stop()


def said(sink: LogSink) -> list[tuple[str, str]]:
    return [(stream, text) for _, stream, text in sink.close()]


def test_what_is_printed_is_kept_and_passed_on():
    with captured() as screen, capturing(LogSink(CLOCK)) as sink:
        say("hello")
        say("trouble", aloud=True)

    assert said(sink) == [("stdout", "hello"), ("stderr", "trouble")]
    assert screen.getvalue() == "hello\ntrouble\n"


def test_nothing_is_passed_on_when_that_is_not_wanted():
    with captured(pass_on=False) as screen:
        with capturing(LogSink(CLOCK)) as sink:
            say("hello")
        say("not a task")

    assert said(sink) == [("stdout", "hello")]
    assert screen.getvalue() == "not a task\n"


def test_what_others_print_is_not_kept():
    with captured(), capturing(LogSink(CLOCK)) as sink:
        stranger = threading.Thread(target=contextvars.Context().run, args=(say, "not I"))
        stranger.start()
        stranger.join()

    assert said(sink) == []


def test_log_records_are_kept_by_their_level():
    with captured(), capturing(LogSink(CLOCK)) as sink:
        logging.getLogger("acme").warning("low on %s\nvery low", "ink")

    assert said(sink) == [("warning", "acme: low on ink"), ("warning", "very low")]


def test_a_wrong_call_of_logging_does_not_fail_the_task(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would raise
    with captured() as screen, capturing(LogSink(CLOCK)):
        logging.getLogger("acme").warning("%d", "no number")

    assert "--- Logging error ---" in screen.getvalue()


def test_coroutines_of_one_thread_are_told_apart():
    async def task(name: str) -> list[tuple[str, str]]:
        with capturing(LogSink(CLOCK)) as sink:
            for _ in range(3):
                say(name)
                await asyncio.sleep(0)
            return said(sink)

    async def both() -> list[list[tuple[str, str]]]:
        return await asyncio.gather(task("a"), task("b"))

    with captured():
        first, second = asyncio.run(both())

    assert first == [("stdout", "a")] * 3
    assert second == [("stdout", "b")] * 3


class TestTwoRuntimes:
    """Several runtimes of one process may be open, and close in any order."""

    @staticmethod
    def two() -> tuple[Capture, Capture]:
        both = Capture(pass_on=True), Capture(pass_on=True)
        for one in both:
            one.start()
        return both

    def test_a_line_is_kept_once_and_passed_on_once(self):
        with terminal() as screen:
            both = self.two()
            with capturing(LogSink(CLOCK)) as sink:
                say("hello")
                logging.getLogger("acme").warning("careful")
            for one in both:
                one.stop()

        assert said(sink) == [("stdout", "hello"), ("warning", "acme: careful")]
        assert screen.getvalue() == "hello\n"

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_the_original_streams_come_back(self, order: tuple[int, int]):
        with terminal() as screen:
            both = self.two()

            for index in order:
                both[index].stop()

            assert sys.stdout is screen
            assert sys.stderr is screen

    def test_the_one_that_is_left_still_captures(self):
        with terminal():
            first, second = self.two()
            first.stop()
            with capturing(LogSink(CLOCK)) as sink:
                say("hello")
            second.stop()

        assert said(sink) == [("stdout", "hello")]


def test_a_stream_that_somebody_else_put_there_stays():
    theirs = io.StringIO()
    with terminal():
        capture = Capture(pass_on=True)
        capture.start()
        sys.stdout = theirs

        capture.stop()

        assert sys.stdout is theirs


def test_stopping_twice_or_before_the_start_is_nothing():
    with terminal() as screen:
        capture = Capture(pass_on=True)
        capture.stop()
        capture.start()
        capture.stop()
        capture.stop()

        assert sys.stdout is screen


class TestStream:
    """The streams stand for the originals also where one doesn't print."""

    @staticmethod
    @contextmanager
    def over(stream: io.TextIOBase) -> Iterator[None]:
        before, sys.stdout = sys.stdout, stream  # type: ignore[assignment]
        capture = Capture(pass_on=True)
        capture.start()
        try:
            yield
        finally:
            capture.stop()
            sys.stdout = before

    def test_it_is_written_like_the_original(self):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", errors="replace")
        with self.over(stream):
            assert sys.stdout.writable()
            assert sys.stdout.encoding == "latin-1"
            assert sys.stdout.errors == "replace"
            assert not sys.stdout.isatty()

    def test_bytes_go_to_the_original(self):
        raw = io.BytesIO()
        with self.over(io.TextIOWrapper(raw, encoding="utf-8")):
            sys.stdout.buffer.write(b"bytes")
            sys.stdout.flush()

            assert raw.getvalue() == b"bytes"

    def test_closing_it_closes_nothing(self):
        stream = io.StringIO()
        with self.over(stream):
            sys.stdout.close()
            say("still here")

        assert stream.getvalue() == "still here\n"


class TestLimits:
    def test_lines_are_kept_when_they_are_complete(self):
        sink = LogSink(CLOCK)
        sink.write("stdout", "one\ntw")
        sink.write("stderr", "aside")
        sink.write("stdout", "o")

        assert said(sink) == [("stdout", "one"), ("stdout", "two"), ("stderr", "aside")]

    def test_lines_beyond_the_limit_are_counted(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(capture, "MAX_LINES", 3)
        sink = LogSink(CLOCK)
        for number in range(10):
            sink.write("stdout", f"{number}\n")

        assert said(sink)[2:] == [
            ("stdout", "2"),
            ("cloacina", "... 7 more lines were dropped"),
        ]

    def test_text_beyond_the_limit_is_dropped(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(capture, "MAX_TOTAL_LENGTH", 100)
        sink = LogSink(CLOCK)
        for _ in range(10):
            sink.write("stdout", "x" * 60 + "\n")

        assert said(sink)[2:] == [("cloacina", "... 8 more lines were dropped")]

    def test_a_line_without_end_takes_no_memory(self):
        sink = LogSink(CLOCK)
        for _ in range(1000):
            sink.write("stdout", "x" * 1000)

        ((stream, text),) = said(sink)
        assert stream == "stdout"
        assert len(text) < capture.MAX_LINE_LENGTH + 20
        assert text.endswith("... (cut)")

    @pytest.mark.parametrize(
        ("text", "stored"),
        [
            ("plain", "plain"),
            ("ünï", "ünï"),
            ("a\x00b", "a\\x00b"),
            ("\ud800", "\\ud800"),
            ("🙂\x00\udfff", "🙂\\x00\\udfff"),
        ],
    )
    def test_every_text_can_be_stored(self, text: str, stored: str):
        assert storable(text) == stored

    def test_every_stream_name_can_be_stored(self):
        sink = LogSink(CLOCK)
        sink.line("\ud800", "x")

        assert said(sink) == [("\\ud800", "x")]


def test_lines_name_modules_as_their_authors_do():
    name = "_cloacina.acme_etl_1_0_5f2c9a71b3d4.acme_etl.flows"
    logger = logging.Logger(name)  # noqa: LOG001 - that of `getLogger` stays for ever
    logger.parent = logging.getLogger()
    with captured(), capturing(LogSink(CLOCK)) as sink:
        sys.stdout.write(f"<class '{name}.Row'>\n")
        logger.warning("late")
        error = type("RowError", (Exception,), {"__module__": name})("bad row")
        logger.error("failed", exc_info=error)

    lines = said(sink)
    assert lines[:3] == [
        ("stdout", "<class 'acme_etl.flows.Row'>"),
        ("warning", "acme_etl.flows: late"),
        ("error", "acme_etl.flows: failed"),
    ]
    assert lines[-1] == ("error", "acme_etl.flows.RowError: bad row")


VALUE = "correct horse battery staple"


def test_what_an_attempt_with_secrets_prints_is_passed_on_without_them():
    with captured() as screen, capturing(LogSink(CLOCK)) as sink:
        say("before")
        sys.stdout.write("the password is ")
        sink.guard(Redactor({"crm": VALUE}))
        say(VALUE)
        say(f"aloud {VALUE}", aloud=True)
        said(sink)

    assert screen.getvalue() == ("before\nthe password is [secret crm]\naloud [secret crm]\n")


def test_other_handlers_are_told_what_is_left_of_a_record():
    heard = io.StringIO()
    other = logging.StreamHandler(heard)
    logging.getLogger().addHandler(other)
    try:
        with captured(), capturing(LogSink(CLOCK)) as sink:
            sink.guard(Redactor({"crm": VALUE}))
            error = ValueError(VALUE)
            logging.getLogger("talk").error("with %s", VALUE, exc_info=error, stack_info=True)
            lines = said(sink)
    finally:
        logging.getLogger().removeHandler(other)

    assert heard.getvalue().startswith("with [secret crm]\n")
    assert "ValueError: [secret crm]" in heard.getvalue()
    assert VALUE not in heard.getvalue()
    assert ("error", "talk: with [secret crm]") in lines
