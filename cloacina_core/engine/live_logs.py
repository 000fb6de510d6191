"""Tells what attempts print and log while they run: when a line is a moment old, not at the end."""

import threading
from collections import deque
from functools import partial

from cloacina_core.engine.call import AttemptKey, LogEntry, Tell
from cloacina_core.engine.capture import LogSink
from cloacina_core.engine.strays import KnownSecrets
from cloacina_core.foundation.clock import Clock

PATIENCE_SECONDS = 0.5
"""How old a line becomes before it is told. An attempt that ends before has told nothing."""


class LiveLogs:
    """Makes the sinks of attempts, and tells what is in them. One for all attempts of a process.

    A sink says when a line comes, once, and then not before that was taken: attempts that say
    nothing cost nothing, and short ones a note in a list.
    """

    def __init__(
        self,
        clock: Clock,
        patience: float = PATIENCE_SECONDS,
        known: KnownSecrets | None = None,
    ) -> None:
        """Prepare.

        Args:
            clock: of the sinks.
            patience: how many seconds old a line becomes before it is told.
            known: comes to know what the attempts are given; None: nobody does.
        """
        self.known = KnownSecrets() if known is None else known
        """What the attempts were given."""
        self._clock = clock
        self._patience = patience
        self._tell: Tell | None = None
        self._spoke: deque[tuple[AttemptKey, LogSink]] = deque()
        self._is_to_look = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cloacina-live-logs", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell nothing more; what is left comes with the outcomes."""
        self._stopping.set()
        self._is_to_look.set()
        self._thread.join()

    def tell_to(self, tell: Tell) -> None:
        """Tell all that follows to an engine; each incarnation takes the place of the last."""
        self._tell = tell

    def sink(self, key: AttemptKey) -> LogSink:
        """Return a sink for an attempt that begins."""
        return LogSink(self._clock, partial(self._notice, key), self.known)

    def _notice(self, key: AttemptKey, sink: LogSink) -> None:
        self._spoke.append((key, sink))
        if not self._is_to_look.is_set():
            self._is_to_look.set()

    def _run(self) -> None:
        while self._is_to_look.wait() and not self._stopping.wait(self._patience):
            self._is_to_look.clear()
            for _ in range(len(self._spoke)):
                key, sink = self._spoke.popleft()
                sink.take(partial(self._hand_on, key))

    def _hand_on(self, key: AttemptKey, lines: "list[LogEntry]") -> None:
        if self._tell is not None:
            self._tell(key, lines)
