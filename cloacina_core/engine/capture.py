"""What a task prints and logs, kept with its attempt.

Standard output and error are replaced by streams that know, by a context variable, whether the
writer is a task. Threads that a task starts are known as its own: see `strays`.

When a capture stops, its streams stay while values of secrets are known: what a task has left
behind, a thread or a function that is called at exit, may still tell them.
"""

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TextIO

from cloacina_core.engine.call import LogEntry
from cloacina_core.engine.said_bytes import ByteStream, Pieces, Said, as_text, cleaned
from cloacina_core.engine.strays import KnownSecrets, StartOfThread, Stray, ThreadStarts
from cloacina_core.foundation.clock import Clock, to_micros
from cloacina_core.foundation.names import plain_text

MAX_LINES = 10_000
"""More lines of one attempt are dropped: a loop that prints must not fill the store."""

MAX_LINE_LENGTH = 8_000

MAX_TOTAL_LENGTH = 4_000_000
"""So are lines behind this many characters."""

_sink: ContextVar["LogSink | Stray | None"] = ContextVar("cloacina_log_sink", default=None)


class Guard(Protocol):
    """Takes out of lines what must not be told."""

    longest: int
    """How many characters may have to be seen together to know."""

    def text(self, text: str) -> str:
        """Return a text without it."""
        ...

    def cut(self, text: str, limit: int) -> str:
        """Return a text that is cut to a length, and to less where it would end amid it."""
        ...

    def entries(self, entries: Sequence[LogEntry], *, is_end: bool) -> list[LogEntry]:
        """Return lines without it, as far as it is known what is in them.

        Args:
            entries: in order.
            is_end: whether nothing is to come behind them.
        """
        ...


class LogSink:
    """Collects the lines of one attempt, from any of its threads.

    They name modules as their authors know them, whoever wrote the line: a logger, a warning, a
    traceback, or `print`.
    """

    def __init__(
        self,
        clock: Clock,
        on_line: Callable[["LogSink"], object] | None = None,
        known: KnownSecrets | None = None,
    ) -> None:
        """Prepare.

        Args:
            clock: tells the time.
            on_line: called with the sink at its first line, and at the first one behind each
                `take`; the caller is the writer, so it must return at once.
            known: what attempts of its runtime were given; None: it has no others.
        """
        self.known = KnownSecrets() if known is None else known
        """What threads that serve several attempts may not tell."""
        self._clock = clock
        self._on_line = on_line
        self._is_watched = on_line is not None
        """Whether the next line is to be announced."""
        self._writing = threading.RLock()  # whoever writes may be interrupted by a destructor's
        self._is_closed = False
        self._taking = threading.Lock()
        self._taken = 0
        """How many lines were taken before the end."""
        self._lines: list[LogEntry] = []
        self._pieces = Pieces()
        self._partial: dict[str, str] = {}
        self._length = 0
        self._dropped = 0
        self._last_record: logging.LogRecord | None = None
        self._guard: Guard | None = None
        self._screens: dict[str, Callable[[str], object]] = {}
        self._shown_lines = 0
        self._shown_partial: dict[str, int] = {}
        """How much of the first line behind those that were shown was shown, too."""

    def guard(self, guard: Guard) -> None:
        """Let lines that aren't handed on yet go through a guard, in place of the one before.

        It holds back what it isn't sure of; the end waits for nothing.
        """
        with self._taking:
            if self._guard is None:  # till now, whatever came was shown at once
                self._shown_lines = len(self._lines)
                self._shown_partial = {stream: len(text) for stream, text in self._partial.items()}
            self._guard = guard

    @property
    def guarded(self) -> Guard | None:
        """What lines go through; None: they are told as they are."""
        return self._guard

    def show(self, stream: str, write: Callable[[str], object]) -> None:
        """Have lines of a stream written elsewhere, too, once they went through the guard."""
        self._screens[stream] = write

    def write(self, stream: str, said: Said) -> None:
        """Take text or bytes as they come; a line is kept when it is complete."""
        with self._writing:
            text = self._pieces.text(stream, said)
            *lines, rest = (self._partial.get(stream, "") + text).split("\n")
            for line in lines:
                self.line(stream, line)
            self._partial[stream] = self._cut(rest)

    def line(self, stream: str, text: str) -> bool:
        """Take one line; False once the attempt has ended: then nobody keeps it."""
        with self._writing:
            if self._is_closed:
                return False
            if self.is_full:
                self.drop(1)
                return True
            line = storable(plain_text(text)) if self._guard is None else self._cut(text)
            self._length += len(line)
            self._lines.append((to_micros(self._clock.now()), storable(stream), line))
            if self._is_watched and self._on_line is not None:
                self._is_watched = False
                self._on_line(self)
            return True

    def take(self, hand_on: Callable[[Sequence[LogEntry]], object]) -> None:
        """Hand on the lines that weren't yet, from any thread; the end waits until that is done."""
        with self._taking:
            self._is_watched = True  # before it is looked what there is: no line is missed
            if lines := self._ready(is_end=False):
                self._taken += len(lines)
                hand_on(lines)

    def _ready(self, *, is_end: bool) -> list[LogEntry]:
        """Return the lines that can be told now."""
        lines = self._lines[self._taken :]
        if self._guard is None or not lines:
            return lines
        clean = self._guard.entries(lines, is_end=is_end)
        for number, (_, stream, text) in enumerate(clean, start=self._taken):
            if number >= self._shown_lines and stream in self._screens:
                self._screens[stream](f"{text[self._shown_partial.pop(stream, 0) :]}\n")
        return [(at, stream, storable(plain_text(text))) for at, stream, text in clean]

    def _cut(self, text: str) -> str:
        """Return as much of a line as its end is told by."""
        if self._guard is None:
            return text[: MAX_LINE_LENGTH + 1]
        return self._guard.cut(text, MAX_LINE_LENGTH + 1 + self._guard.longest)

    @property
    def is_full(self) -> bool:
        """Whether more lines are dropped."""
        return len(self._lines) >= MAX_LINES or self._length >= MAX_TOTAL_LENGTH

    def drop(self, lines: int) -> None:
        """Count lines that aren't kept."""
        self._dropped += lines

    def is_new(self, record: logging.LogRecord) -> bool:
        """Whether a log record comes for the first time: each open runtime has a handler."""
        is_new = record is not self._last_record
        self._last_record = record
        return is_new

    def close(self) -> tuple[LogEntry, ...]:
        """Return all lines that weren't taken, the last incomplete ones included."""
        with self._writing:
            self._is_watched, self._on_line = False, None
            for stream, rest in self._pieces.rest():
                self.write(stream, rest)
            for stream, rest in self._partial.items():
                if rest:
                    self.line(stream, rest)
            self._partial.clear()
            if self._dropped and not self._is_closed:
                note = f"... {self._dropped} more lines were dropped"
                self._lines.append((to_micros(self._clock.now()), "cloacina", note))
            self._is_closed = True
        with self._taking:
            lines = tuple(self._ready(is_end=True))
            self._taken = 0
            self._lines = []  # a thread that lives on may keep this sink
            return lines


def storable(text: str, limit: int = MAX_LINE_LENGTH) -> str:
    """Return text without what a database refuses (NUL, lone surrogates), cut to a length."""
    if len(text) > limit:
        text = text[:limit] + "... (cut)"
    if "\x00" in text or not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return text


@contextmanager
def capturing(sink: LogSink) -> Iterator[LogSink]:
    """Collect what is printed and logged in this block, by this thread or coroutine."""
    token = _sink.set(sink)
    try:
        yield sink
    finally:
        _sink.reset(token)


class _TaskStream(io.TextIOBase):
    """Stands for stdout or stderr: tasks write to their sink, everyone else to the original."""

    def __init__(self, name: str, original: TextIO, known: KnownSecrets, *, pass_on: bool) -> None:
        self._name = name
        self._pass_on = pass_on
        self.known = known
        self.original = original
        self.buffer = ByteStream(self._write_bytes, self)
        self.retired = False
        """Whether its capture has stopped."""

    def write(self, text: str) -> int:
        if not self._speak(text):
            self.original.write(self.known.text(text))  # of other runtimes, each knows others
        return len(text)

    def _write_bytes(self, data: bytes) -> None:
        if self._speak(data):
            return
        below = getattr(self.original, "buffer", None)
        if below is None:
            self.original.write(self.known.text(as_text(data)))
        else:
            below.write(cleaned(data, self.known.text) if self.known else data)

    def _speak(self, said: Said) -> bool:
        """Keep what a task says; False: it is nobody's."""
        speaker = _sink.get()
        if speaker is None:
            return False
        if isinstance(speaker, Stray):
            speaker.write(self._name, said, self._pass, aloud=self._pass_on)
            return True
        speaker.write(self._name, said)
        if self._pass_on:
            if speaker.guarded is not None:
                speaker.show(self._name, self._pass)
            else:
                self._pass(said)
        return True

    def _pass(self, said: Said) -> None:
        """Write where it would have gone without any runtime."""
        beyond = self._outermost()
        if isinstance(said, bytes) and hasattr(beyond, "buffer"):
            beyond.buffer.write(said)
        else:
            beyond.write(as_text(said))

    def _outermost(self) -> TextIO:
        """Return what is behind the streams of all runtimes that are open."""
        stream = self.original
        while isinstance(stream, _TaskStream):
            stream = stream.original
        return stream

    def flush(self) -> None:
        self.original.flush()

    def close(self) -> None:
        """Do nothing: the original isn't ours to close."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return _sink.get() is None and self.original.isatty()

    def fileno(self) -> int:
        return self.original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.original.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.original.errors


class _TaskHandler(logging.Handler):
    """Puts the log records of tasks into their sinks."""

    def __init__(self, known: KnownSecrets) -> None:
        super().__init__()
        self._known = known

    def emit(self, record: logging.LogRecord) -> None:
        speaker = _sink.get()
        try:
            if not isinstance(speaker, LogSink) and self._known:
                self._clean(record, self._known.text)
            if speaker is None or not speaker.is_new(record):
                return
            sink = speaker.sink if isinstance(speaker, Stray) else speaker
            if sink.guarded is not None:
                self._clean(record, sink.guarded.text)
            for line in self.format(record).splitlines():
                sink.line(record.levelname.lower(), line)
        except Exception:  # noqa: BLE001 - logging never raises what a wrong call of it causes
            self.handleError(record)

    def _clean(self, record: logging.LogRecord, clean: Callable[[str], str]) -> None:
        """Leave of a record what may be told, also to the handlers behind this one."""
        record.msg, record.args = clean(record.getMessage()), None
        if record.exc_info and (told := self.formatter):
            record.exc_text = told.formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = clean(record.exc_text)
        if record.stack_info:
            record.stack_info = clean(record.stack_info)


class Capture:
    """Captures output of tasks in this process, from `start` to `stop`."""

    def __init__(self, *, pass_on: bool, known: KnownSecrets | None = None) -> None:
        """Prepare.

        Args:
            pass_on: whether what tasks print also goes where it would have gone.
            known: what attempts of its runtime are given; None: nothing.
        """
        self._pass_on = pass_on
        self._known = KnownSecrets() if known is None else known
        self._handler = _TaskHandler(self._known)
        self._handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._streams: tuple[_TaskStream, _TaskStream] | None = None
        self._starts: ThreadStarts | None = None

    def start(self) -> None:
        """Begin to capture."""
        self._streams = (self._stream("stdout", sys.stdout), self._stream("stderr", sys.stderr))
        sys.stdout, sys.stderr = self._streams
        logging.getLogger().handlers.insert(0, self._handler)  # it may have to change records
        self._starts = ThreadStarts(threading.Thread.start, _sink)
        threading.Thread.start = self._starts  # type: ignore[method-assign, assignment]

    def _stream(self, name: str, original: TextIO) -> _TaskStream:
        """Return what stands for a stream, in place of what an earlier capture has left there."""
        while isinstance(original, _TaskStream) and original.retired:
            self._known.add(original.known)
            original = original.original
        return _TaskStream(name, original, self._known, pass_on=self._pass_on)

    def stop(self) -> None:
        """Put the original streams back, once nobody else's stand before ours, and none is to stay.

        One that stays is taken over by the next capture.
        """
        if self._streams is None or self._starts is None:
            return
        for stream in self._streams:
            stream.retired = True
        sys.stdout, sys.stderr = _in_use(sys.stdout), _in_use(sys.stderr)
        logging.getLogger().removeHandler(self._handler)
        self._starts.retired = True
        threading.Thread.start = _starting(threading.Thread.start)  # type: ignore[method-assign, assignment]
        self._streams = self._starts = None


def _in_use(stream: TextIO) -> TextIO:
    while isinstance(stream, _TaskStream) and stream.retired and not stream.known:
        stream = stream.original
    return stream


def _starting(start: StartOfThread) -> StartOfThread:
    while isinstance(start, ThreadStarts) and start.retired:
        start = start.original
    return start
