"""What tasks print and log is kept with their attempts, and nobody else's is."""

import asyncio
import codecs
import contextvars
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloacina_core.engine import capture
from cloacina_core.engine.capture import Capture, LogSink, capturing, storable
from cloacina_core.engine.redaction import Redactor
from cloacina_core.engine.strays import KnownSecrets
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


VALUE = "correct hörse battery staple"


@contextmanager
def captured_bytes(*, known: KnownSecrets | None = None) -> Iterator[io.BytesIO]:
    """Capture on a terminal that takes bytes, and yield what reaches it all the same."""
    below = io.BytesIO()
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = io.TextIOWrapper(below, encoding="utf-8", write_through=True)
    here = Capture(pass_on=True, known=known)
    here.start()
    try:
        yield below
    finally:
        here.stop()
        sys.stdout, sys.stderr = before


def write_bytes(data: bytes) -> None:
    assert sys.stdout.buffer.write(data) == len(data)


def write_raw(data: bytes) -> None:
    raw: Any = sys.stdout.buffer
    raw.raw.write(memoryview(data))


def write_lines(data: bytes) -> None:
    sys.stdout.buffer.writelines([data[:5], bytearray(data[5:])])


def write_byte_by_byte(data: bytes) -> None:
    for byte in data:
        sys.stdout.buffer.write(bytes([byte]))


def write_wrapped(data: bytes) -> None:
    wrapped = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    wrapped.write(data.decode())
    del wrapped  # which closes what it wraps
    sys.stdout.flush()


def write_with_a_codec(data: bytes) -> None:
    codecs.getwriter("utf-8")(sys.stdout.buffer).write(data.decode())


class TestBytes:
    """What is written to the buffer of a stream goes the same way as text."""

    WAYS = (
        write_bytes,
        write_raw,
        write_lines,
        write_byte_by_byte,
        write_wrapped,
        write_with_a_codec,
    )

    @pytest.mark.parametrize("write", WAYS)
    def test_they_are_kept_as_lines_and_passed_on_as_they_are(self, write: Callable[..., object]):
        with captured_bytes() as below, capturing(LogSink(CLOCK)) as sink:
            write(f"{VALUE}\nand more".encode())
            say("!")

        assert said(sink) == [("stdout", VALUE), ("stdout", "and more!")]
        assert below.getvalue() == f"{VALUE}\nand more!\n".encode()

    @pytest.mark.parametrize("write", WAYS)
    def test_no_secret_goes_past_in_them(self, write: Callable[..., object]):
        with captured_bytes() as below, capturing(LogSink(CLOCK)) as sink:
            sink.guard(Redactor({"crm": VALUE}))
            write(f"it is {VALUE}\n".encode())
            lines = said(sink)

        assert lines == [("stdout", "it is [secret crm]")]
        assert below.getvalue() == b"it is [secret crm]\n"

    def test_nor_in_text_and_bytes_in_turns(self):
        with captured_bytes() as below, capturing(LogSink(CLOCK)) as sink:
            sink.guard(Redactor({"crm": VALUE}))
            sys.stdout.write(VALUE[:10])
            write_bytes(VALUE[10:].encode())
            lines = said(sink)

        assert lines == [("stdout", "[secret crm]")]
        assert below.getvalue() == b"[secret crm]\n"

    def test_what_isnt_utf8_is_spelled_out_and_passed_on_as_it_is(self):
        with captured_bytes() as below, capturing(LogSink(CLOCK)) as sink:
            write_bytes(b"\xff\x00 and half a character: \xc3")
            lines = said(sink)

        assert lines == [("stdout", "\\xff\\x00 and half a character: \\xc3")]
        assert below.getvalue() == b"\xff\x00 and half a character: \xc3"

    def test_they_are_passed_on_as_text_where_nothing_takes_bytes(self):
        with captured() as screen, capturing(LogSink(CLOCK)) as sink:
            write_bytes("ümlaut\n".encode())

        assert said(sink) == [("stdout", "ümlaut")]
        assert screen.getvalue() == "ümlaut\n"

    @pytest.mark.parametrize("write", WAYS)
    def test_of_what_is_nobodys_known_secrets_are_taken_out(self, write: Callable[..., object]):
        known = KnownSecrets()
        with captured_bytes(known=known) as below:
            write(b"before\n")
            known.add([("crm", VALUE)])
            write_bytes(f"{VALUE}\n".encode() + b"\xff\n")

        assert below.getvalue() == b"before\n[secret crm]\n\xff\n"

    def test_what_is_nobodys_is_text_where_nothing_takes_bytes(self):
        known = KnownSecrets()
        known.add([("crm", VALUE)])
        with terminal() as screen:
            here = Capture(pass_on=True, known=known)
            here.start()
            write_bytes(f"it is {VALUE}\n".encode())
            here.stop()
            sys.stdout = screen

        assert screen.getvalue() == "it is [secret crm]\n"

    @pytest.mark.parametrize("wrong", ["text", 5, None])
    def test_what_isnt_bytes_is_refused(self, wrong: object):
        with captured_bytes(), capturing(LogSink(CLOCK)), pytest.raises(TypeError):
            sys.stdout.buffer.write(wrong)  # type: ignore[arg-type]

    def test_closing_the_buffer_closes_nothing(self):
        with captured_bytes() as below, capturing(LogSink(CLOCK)) as sink:
            sys.stdout.buffer.close()
            write_bytes(b"still here\n")
            assert sys.stdout.buffer.writable()
            assert not sys.stdout.buffer.isatty()

        assert said(sink) == [("stdout", "still here")]
        assert below.getvalue() == b"still here\n"


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
