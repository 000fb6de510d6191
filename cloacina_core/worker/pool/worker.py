"""A process that serves attempts, as the engine knows it; and the connections to one attempt."""

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from cloacina_core.worker.failures import CRASHED, WorkerLostError
from cloacina_core.worker.frames import MAX_CONTROL_BYTES, FrameError, FrameReader, frame_of
from cloacina_core.worker.pool.family import Member
from cloacina_core.worker.pool.waker import Waker


@dataclass(frozen=True, slots=True)
class Lines:
    """One side's ends of the connections between the engine and the process of an attempt."""

    connection: socket.socket
    output: int
    errors: int

    def close(self) -> None:
        """Close them."""
        self.connection.close()
        os.close(self.output)
        os.close(self.errors)


def open_lines() -> tuple[Lines, Lines]:
    """Return the engine's ends of new connections, and those of the process.

    Raises:
        OSError: this process has no descriptors left.
    """
    with ExitStack() as opened:
        ours, theirs = socket.socketpair()
        opened.callback(ours.close)
        opened.callback(theirs.close)
        pipes = []
        for _ in range(2):
            pipe = os.pipe()
            pipes.append(pipe)
            for end in pipe:
                opened.callback(os.close, end)
        (output, their_output), (errors, their_errors) = pipes
        opened.pop_all()
    return Lines(ours, output, errors), Lines(theirs, their_output, their_errors)


class Worker(Protocol):
    """Serves one attempt at a time. Used by the thread that serves the attempt."""

    waker: Waker
    """Wakes that thread."""
    imports_itself: bool
    """Whether each attempt imports its code, and says so before it takes the call."""

    def begin(self, message: Mapping[str, Any]) -> Lines:
        """Start the process of an attempt.

        Raises:
            WorkerLostError: it can't be started.
        """
        ...

    def kill(self) -> None:
        """Kill the process, and all that it started."""
        ...

    def ended(self) -> int | None:
        """Return the descriptor that can be read when the attempt may have ended; None: ask."""
        ...

    def status(self) -> int | None:
        """Return how the process ended, once nothing of it is left; None before that.

        Raises:
            WorkerLostError: the worker was lost with it.
        """
        ...

    def close(self) -> None:
        """Let the worker end."""
        ...


class KeptWorker:
    """A keeper."""

    def __init__(self, member: Member, *, imports_itself: bool) -> None:
        """Take a keeper over that was forked for the engine."""
        self.waker = Waker()
        self.imports_itself = imports_itself
        self._member = member
        self._member.control.setblocking(False)
        self._reader = FrameReader(MAX_CONTROL_BYTES)
        self._attempt = ""

    def begin(self, message: Mapping[str, Any]) -> Lines:
        """Start the process of an attempt."""
        self._attempt = message["attempt"]
        ours, theirs = open_lines()
        try:
            frame = frame_of({"type": "attempt", **message})
            handed = [theirs.connection.fileno(), theirs.output, theirs.errors]
            socket.send_fds(self._member.control, [frame], handed)
        except OSError as error:
            ours.close()
            raise WorkerLostError(CRASHED, f"its keeper is gone: {error}") from error
        finally:
            theirs.close()
        return ours

    def kill(self) -> None:
        """Have the process killed, and all that it started."""
        with suppress(OSError):
            self._member.control.send(frame_of({"type": "kill", "attempt": self._attempt}))

    def ended(self) -> int:
        """Return the descriptor of the connection to the keeper."""
        return self._member.control.fileno()

    def status(self) -> int | None:
        """Return how the process ended, once its keeper says so."""
        try:
            data = self._member.control.recv(65_536)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        try:
            if data:
                for message in self._reader.feed(data):
                    if message["attempt"] == self._attempt:
                        return int(message["status"])
                return None
        except (FrameError, LookupError, TypeError, ValueError):
            self._member.kill()
        raise WorkerLostError(CRASHED, "its process was lost together with its keeper")

    @property
    def is_alive(self) -> bool:
        """Whether the keeper is there."""
        return not self._member.has_ended()

    def kill_keeper(self) -> None:
        """Have the keeper killed, and everything below it; from any thread."""
        self._member.kill()

    def close(self) -> None:
        """Let the keeper end."""
        self._member.close()
        self.waker.close()
