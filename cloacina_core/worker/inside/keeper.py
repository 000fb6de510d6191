"""A process that serves one attempt at a time: it forks it, watches it, and clears up behind it.

It is a subreaper: whatever the attempt started, in whatever session, becomes its child in the end,
and is killed before the attempt counts as ended.
"""

import os
import select
import socket
from collections.abc import Mapping
from typing import Any

from cloacina_core.worker.channel import Channel
from cloacina_core.worker.frames import MAX_CONTROL_BYTES, FrameError
from cloacina_core.worker.inside.child import Code, live_as_attempt
from cloacina_core.worker.inside.importing import Imported
from cloacina_core.worker.processes import (
    become_subreaper,
    die_with_parent,
    end_strays,
    fork,
    kill_group,
    remove_folder,
)


def live_alone(message: Mapping[str, Any], descriptors: list[int], engine: int) -> None:
    """Keep attempts that import their code by themselves: importing it leaves threads behind.

    Args:
        message: the folders and the entry points.
        descriptors: of the socket to the engine.
        engine: can be read once the engine is gone.
    """
    os.setsid()
    code = Code(folders=message["folders"], entry_points=message["entry_points"])
    Keeper(descriptors[0], engine, code).keep()


class Keeper:
    """Serves attempts, one after the other, until the engine is gone."""

    def __init__(self, control: int, engine: int, code: "Imported | Code") -> None:
        """Begin.

        Args:
            control: the descriptor of the socket to the engine.
            engine: can be read once the engine is gone.
            code: the workflows, or where they are to be imported from.
        """
        die_with_parent(os.getppid())
        become_subreaper()
        self._control = Channel(socket.socket(fileno=control), MAX_CONTROL_BYTES)
        self._engine = engine
        self._code = code

    def keep(self) -> None:
        """Serve until the engine is gone, or wants no more attempts."""
        while True:
            _wait_for(self._control.fileno(), self._engine)
            message, descriptors = self._receive()
            if message is None:
                return
            if message["type"] == "attempt":  # else the end is asked of one that ended meanwhile
                self._serve(message, descriptors)

    def _receive(self) -> tuple[dict[str, Any] | None, list[int]]:
        """Return what the engine asks; None when it is gone."""
        if select.select([self._engine], [], [], 0)[0]:
            return None, []
        try:
            return self._control.receive_with_descriptors()
        except (FrameError, OSError):
            return None, []

    def _serve(self, message: Mapping[str, Any], descriptors: list[int]) -> None:
        def live() -> None:
            self._control.close()
            os.close(self._engine)
            live_as_attempt(message, descriptors, self._code)

        pid = fork(live)
        for descriptor in descriptors:
            os.close(descriptor)
        is_wanted = self._watch(pid, message["attempt"])
        kill_group(pid)
        _, status = os.waitpid(pid, 0)
        strays = end_strays()
        remove_folder(message["folder"])
        if is_wanted:
            self._control.send(
                {"type": "ended", "attempt": message["attempt"], "status": status, "strays": strays}
            )

    def _watch(self, pid: int, attempt: str) -> bool:
        """Return when an attempt has ended, or is to; False when nobody wants to know any more."""
        ended = os.pidfd_open(pid)
        try:
            while True:
                ready = _wait_for(ended, self._control.fileno(), self._engine)
                if ended in ready:
                    return True
                message, _ = self._receive()
                if message is None:
                    return False
                if message["type"] == "kill" and message["attempt"] == attempt:
                    return True
        finally:
            os.close(ended)


def _wait_for(*descriptors: int) -> list[int]:
    """Wait until some of these can be read, and return which."""
    ready, _, _ = select.select(descriptors, [], [])
    return ready
