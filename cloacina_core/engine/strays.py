"""What is said beside attempts: by threads that tasks start, and by nobody that is known.

1.  A thread that is started in an attempt speaks for that attempt: its lines are kept there, also
    those of a logger, and what an exception ends it with. Threads that it starts do so, too.
2.  Once the attempt has ended, its lines are kept nowhere. They are written where they would have
    gone without an engine.
3.  Threads serve several attempts, and live on. So what they say, and what is said by whom nobody
    knows, has the values of all secrets taken out that tasks of this runtime were given lately.
4.  The engine's own threads speak for nobody.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeAlias

from cloacina_core.engine.said_bytes import Pieces, Said

if TYPE_CHECKING:
    import logging

    from cloacina_core.engine.capture import LogSink
    from cloacina_core.engine.redaction import FormsOfValue, Redactor

MAX_VALUES = 256
"""So many values are known beside those of attempts that run; those not given for longest go."""

_LONGEST_PARTIAL = 100_000
"""In characters: a line without end is taken for one from here on."""

_MOST_REDACTORS = 64
"""So many sets of values are kept ready to be looked for."""

_OWN_THREADS = "cloacina-"

_Pair: TypeAlias = tuple[str, str]

StartOfThread: TypeAlias = Callable[[threading.Thread], None]


class KnownSecrets:
    """The values that tasks of one runtime were given. Used by any thread."""

    def __init__(self) -> None:
        """Know none."""
        self._values: dict[_Pair, FormsOfValue] = {}
        self._given: dict[_Pair, int] = {}
        """When each was given last, counted in calls."""
        self._calls = itertools.count()
        self._redactors: dict[tuple[_Pair, ...], Redactor] = {}
        self._changing = threading.Lock()

    def __bool__(self) -> bool:
        """Return whether any is known."""
        return bool(self._values)

    def __iter__(self) -> Iterator[_Pair]:
        """Yield what stands in place of each, and the value."""
        return iter(tuple(self._values))

    def add(self, pairs: Iterable[_Pair]) -> None:
        """Know some more, or again: what stands in place of each, and the value."""
        from cloacina_core.engine.redaction import FormsOfValue  # noqa: PLC0415 - few need it

        values = self._values
        given = {pair: values.get(pair) or FormsOfValue.of(*pair) for pair in pairs}
        with self._changing:
            self._given |= dict.fromkeys(given, next(self._calls))
            if not given.keys() <= self._values.keys():
                self._values = self._values | given
                if len(self._values) > MAX_VALUES:
                    self._forget()

    def _forget(self) -> None:
        """Forget the values that nobody was given for longest."""
        latest = sorted(self._values, key=self._given.__getitem__)[-MAX_VALUES:]
        self._given = {pair: self._given[pair] for pair in latest}
        self._values = {pair: forms for pair, forms in self._values.items() if pair in self._given}
        self._redactors.clear()

    def text(self, text: str) -> str:
        """Return a text without them."""
        return self.redactor(self._values).text(text) if self._values else text

    def redactor(self, pairs: Iterable[_Pair]) -> "Redactor":
        """Return what takes some of them out: attempts that are given the same have the same one.

        Args:
            pairs: what stands in place of each, and the value. They were added before.
        """
        from cloacina_core.engine.redaction import FormsOfValue, Redactor  # noqa: PLC0415 - as above

        wanted = tuple(pairs)
        with self._changing:
            if (made := self._redactors.get(wanted)) is not None:
                return made
            known = self._values
        made = Redactor([known.get(pair) or FormsOfValue.of(*pair) for pair in wanted])
        with self._changing:
            if len(self._redactors) >= _MOST_REDACTORS:
                self._redactors.clear()
            self._redactors[wanted] = made
        return made


class Stray:
    """A thread that was started in an attempt."""

    def __init__(self, sink: "LogSink") -> None:
        """Let it speak for the attempt of a sink."""
        self.sink = sink
        self._pieces = Pieces()
        self._partial: dict[str, str] = {}
        self._last_record: logging.LogRecord | None = None

    def write(
        self, stream: str, said: Said, beyond: Callable[[str], object], *, aloud: bool
    ) -> None:
        """Take text or bytes as they come; a line is kept when it is complete.

        Args:
            stream: `stdout` or `stderr`.
            said: what is written.
            beyond: writes where it would have gone.
            aloud: whether it goes there, too, while the attempt runs.
        """
        text = self._pieces.text(stream, said)
        *lines, rest = (self._partial.get(stream, "") + text).split("\n")
        if len(rest) > _LONGEST_PARTIAL:
            lines, rest = [*lines, rest], ""
        self._partial[stream] = rest
        for line in lines:
            self._line(stream, line, beyond, aloud=aloud)

    def _line(
        self, stream: str, line: str, beyond: Callable[[str], object], *, aloud: bool
    ) -> None:
        clean = self.clean(line)
        shown_later = aloud and self.sink.guarded is not None
        if shown_later:
            self.sink.show(stream, beyond)
        is_kept = self.sink.line(stream, clean)
        if not is_kept or (aloud and not shown_later):
            beyond(f"{clean}\n")

    def clean(self, text: str) -> str:
        """Return a text without what any attempt was given."""
        return self.sink.known.text(text)

    def is_new(self, record: "logging.LogRecord") -> bool:
        """Whether a log record comes for the first time: each open runtime has a handler."""
        is_new = record is not self._last_record
        self._last_record = record
        return is_new

    def end(self) -> None:
        """Keep the last lines, which are incomplete."""
        for stream, half in self._pieces.rest():
            self._partial[stream] = self._partial.get(stream, "") + half
        for stream, rest in self._partial.items():
            if rest:
                self.sink.line(stream, self.clean(rest))
        self._partial.clear()


class ThreadStarts:
    """Stands for `threading.Thread.start`. Threads inherit no context before Python 3.14."""

    def __init__(
        self, original: StartOfThread, speaker: "ContextVar[LogSink | Stray | None]"
    ) -> None:
        """Prepare.

        Args:
            original: what starts a thread.
            speaker: for whom a thread or coroutine speaks.
        """
        self.original = original
        self.retired = False
        """Whether its capture has stopped."""
        self._speaker = speaker

    def __get__(self, thread: threading.Thread | None, owner: type) -> Any:
        """Return the method of a thread."""
        return self if thread is None else MethodType(self, thread)

    def __call__(self, thread: threading.Thread) -> None:
        """Start a thread, and let it speak for the attempt that it is started in."""
        speaker = self._speaker.get()
        is_ours = thread.name.startswith(_OWN_THREADS)
        if speaker is None or is_ours or isinstance(thread.__dict__.get("run"), _Run):
            self.original(thread)
            return
        sink = speaker.sink if isinstance(speaker, Stray) else speaker
        thread.run = _Run(thread, Stray(sink), self._speaker)  # type: ignore[method-assign]
        try:
            self.original(thread)
        except BaseException:
            thread.__dict__.pop("run", None)
            raise


class _Run:
    """Stands for the `run` of a thread. What comes behind it, as its exception, is the thread's."""

    def __init__(
        self,
        thread: threading.Thread,
        stray: Stray,
        speaker: "ContextVar[LogSink | Stray | None]",
    ) -> None:
        self._thread = thread
        self._run = thread.run
        self._stray = stray
        self._speaker = speaker

    def __call__(self) -> None:
        self._speaker.set(self._stray)
        vars(self._thread).pop("run", None)  # else the two would keep each other, and their code
        try:
            self._run()
        finally:
            self._stray.end()
