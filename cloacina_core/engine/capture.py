"""What a task prints and logs, kept with its attempt.

Standard output and error are replaced by streams that know, by a context variable, whether the
writer is a task. Threads that a task starts by itself are not known as its own.
"""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from cloacina_core.engine.call import LogEntry
from cloacina_core.foundation.clock import Clock, to_micros

MAX_LINES = 10_000
"""More lines of one attempt are dropped: a loop that prints must not fill the store."""

MAX_LINE_LENGTH = 8_000

_sink: ContextVar["LogSink | None"] = ContextVar("cloacina_log_sink", default=None)


class LogSink:
    """Collects the lines of one attempt. Used by its thread alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[LogEntry] = []
        self._partial: dict[str, str] = {}
        self._dropped = 0

    def write(self, stream: str, text: str) -> None:
        """Take text as it comes; a line is kept when it is complete."""
        *lines, rest = (self._partial.get(stream, "") + text).split("\n")
        for line in lines:
            self.line(stream, line)
        self._partial[stream] = rest[:MAX_LINE_LENGTH]

    def line(self, stream: str, text: str) -> None:
        """Take one line."""
        if len(self._lines) >= MAX_LINES:
            self._dropped += 1
            return
        self._lines.append((to_micros(self._clock.now()), stream, storable(text)))

    def close(self) -> tuple[LogEntry, ...]:
        """Return all lines, the last incomplete ones included."""
        for stream, rest in self._partial.items():
            if rest:
                self.line(stream, rest)
        self._partial.clear()
        if self._dropped:
            note = f"... {self._dropped} more lines were dropped"
            self._lines.append((to_micros(self._clock.now()), "cloacina", note))
        return tuple(self._lines)


def storable(text: str, limit: int = MAX_LINE_LENGTH) -> str:
    """Return text without what a database refuses (NUL, lone surrogates), cut to a length."""
    if len(text) > limit:
        text = text[:limit] + "... (cut)"
    if "\x00" in text or not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return text


@contextmanager
def capturing(clock: Clock) -> Iterator[LogSink]:
    """Collect what is printed and logged in this block, by this thread or coroutine."""
    sink = LogSink(clock)
    token = _sink.set(sink)
    try:
        yield sink
    finally:
        _sink.reset(token)


class _TaskStream(io.TextIOBase):
    """Stands for stdout or stderr: tasks write to their sink, everyone else to the original."""

    def __init__(self, name: str, original: TextIO, *, pass_on: bool) -> None:
        self._name = name
        self._original = original
        self._pass_on = pass_on

    def write(self, text: str) -> int:
        sink = _sink.get()
        if sink is not None:
            sink.write(self._name, text)
            if not self._pass_on:
                return len(text)
        return self._original.write(text)

    def flush(self) -> None:
        self._original.flush()

    def isatty(self) -> bool:
        return _sink.get() is None and self._original.isatty()

    def fileno(self) -> int:
        return self._original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._original.encoding

    @property
    def original(self) -> TextIO:
        return self._original


class _TaskHandler(logging.Handler):
    """Puts the log records of tasks into their sinks."""

    def emit(self, record: logging.LogRecord) -> None:
        sink = _sink.get()
        if sink is not None:
            for line in self.format(record).splitlines():
                sink.line(record.levelname.lower(), line)


class Capture:
    """Captures output of tasks in this process, from `start` to `stop`."""

    def __init__(self, *, pass_on: bool) -> None:
        """Prepare.

        Args:
            pass_on: whether what tasks print also goes where it would have gone.
        """
        self._pass_on = pass_on
        self._handler = _TaskHandler()
        self._handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._streams: tuple[_TaskStream, _TaskStream] | None = None

    def start(self) -> None:
        """Begin to capture."""
        self._streams = (
            _TaskStream("stdout", sys.stdout, pass_on=self._pass_on),
            _TaskStream("stderr", sys.stderr, pass_on=self._pass_on),
        )
        sys.stdout, sys.stderr = self._streams
        logging.getLogger().addHandler(self._handler)

    def stop(self) -> None:
        """Put the original streams back, unless someone else replaced ours meanwhile."""
        if self._streams is None:
            return
        out, err = self._streams
        if sys.stdout is out:
            sys.stdout = out.original
        if sys.stderr is err:
            sys.stderr = err.original
        logging.getLogger().removeHandler(self._handler)
        self._streams = None
