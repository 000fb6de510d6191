"""Processes that another process forks for the engine, as the engine knows them."""

import itertools
import os
import select
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from cloacina_core.worker.failures import NOT_STARTED, WorkerFailedError
from cloacina_core.worker.frames import frame_of


class Family:
    """Has a supervisor or zygote fork and kill processes. Used by any thread."""

    def __init__(self, control: socket.socket) -> None:
        """Take the connection to the process over."""
        self._control = control
        self._lock = threading.Lock()
        self._names = itertools.count(1)

    def fork(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> "Member":
        """Have a process forked, and return it; it may not have begun yet.

        Args:
            message: what it is to be.
            descriptors: what it is handed beside its connection to the engine; they stay open here.

        Raises:
            WorkerFailedError: nobody forks any more.
        """
        name = next(self._names)
        ours, theirs = socket.socketpair()
        report, told = os.pipe()
        try:
            with self._lock:
                socket.send_fds(
                    self._control,
                    [frame_of({"name": name, **message})],
                    [theirs.fileno(), *descriptors, told],
                )
        except OSError as error:
            ours.close()
            os.close(report)
            raise WorkerFailedError(NOT_STARTED, f"no process for the attempt: {error}") from error
        finally:
            theirs.close()
            os.close(told)
        return Member(self, name, ours, report)

    def end(self, name: int) -> None:
        """Have a process killed, with its group."""
        with suppress(OSError), self._lock:
            self._control.sendall(frame_of({"type": "end", "name": name}))

    def close(self) -> None:
        """Have all of them end, and the process that forks them."""
        close_connection(self._control)


class Member:
    """A process that was forked for the engine."""

    def __init__(self, family: Family, name: int, control: socket.socket, report: int) -> None:
        self._family = family
        self._name = name
        self.control = control
        """The connection to it."""
        self.report = report
        """Can be read once nothing of it is left."""

    def has_ended(self) -> bool:
        """Whether it is gone; asked when it has nothing to say."""
        return bool(select.select([self.control.fileno(), self.report], [], [], 0)[0])

    def status(self) -> int | None:
        """Wait until nothing of it is left, and return how it ended; None when nobody knows."""
        told = os.read(self.report, 32)
        return int(told) if told else None

    def kill(self) -> None:
        """Have it killed."""
        self._family.end(self._name)

    def close(self) -> None:
        """Have it end by itself."""
        close_connection(self.control)
        os.close(self.report)


def close_connection(connection: socket.socket) -> None:
    """Close a connection, also where a copy of its descriptor was inherited by a process."""
    with suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
