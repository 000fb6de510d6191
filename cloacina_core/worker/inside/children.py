"""The children of a supervisor or zygote: forked as the engine asks, killed, reaped, told of."""

import os
import select
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from cloacina_core.worker.channel import Channel
from cloacina_core.worker.frames import FrameError
from cloacina_core.worker.processes import end_strays, fork, kill_group

GRACE_SECONDS = 5.0
"""How long children may take to clear up when the engine is gone."""

Live: TypeAlias = Callable[[Mapping[str, Any], list[int], int], object]
"""What a child does, given the message that asked for it, the file descriptors that came with that,
and one that can be read once the engine is gone."""


class _Child:
    """A child that isn't reaped yet."""

    def __init__(self, name: int, pid: int, report: int) -> None:
        self.name = name
        self.pid = pid
        self.report = report
        self.ended = os.pidfd_open(pid)


class Children:
    """Forks children until the engine is gone, and ends what is left of them.

    The engine asks with `{"type": KIND, "name": NUMBER}` and file descriptors: the child's, and a
    pipe that is told how it ended. `{"type": "end", "name": NUMBER}` kills one.
    """

    def __init__(self, control: Channel, engine: int, kinds: Mapping[str, Live]) -> None:
        """Prepare.

        Args:
            control: what the engine asks through.
            engine: can be read once the engine is gone.
            kinds: what children do, by what the engine calls them.
        """
        self._control = control
        self._engine = engine
        self._kinds = kinds
        self._children: dict[int, _Child] = {}
        """By the descriptor that tells of their end."""
        self._poll = select.poll()

    def serve(self) -> None:
        """Do what the engine asks; return when it is gone and no children are left."""
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._engine, select.POLLIN)
        while self._serve_once():
            pass
        self._end()

    def _serve_once(self) -> bool:
        for descriptor, _ in self._poll.poll():
            if descriptor == self._engine:
                return False
            if descriptor != self._control.fileno():
                self._reap(descriptor)
            elif not self._obey():
                return False
        return True

    def _obey(self) -> bool:
        """Do what is asked next; False when nobody asks any more."""
        try:
            message, descriptors = self._control.receive_with_descriptors()
        except (FrameError, OSError):
            return False
        if message is None:
            return False
        if message["type"] == "end":
            for child in self._children.values():
                if child.name == message["name"]:
                    kill_group(child.pid)
        else:
            *given, report = descriptors
            self._begin(message, given, report)
        return True

    def _begin(self, message: Mapping[str, Any], given: list[int], report: int) -> None:
        def live() -> None:
            os.close(report)
            self._forget()
            self._kinds[message["type"]](message, given, self._engine)

        child = _Child(message["name"], fork(live), report)
        for descriptor in given:
            os.close(descriptor)
        self._children[child.ended] = child
        self._poll.register(child.ended, select.POLLIN)

    def _forget(self) -> None:
        """Let go, in a child, of what is its parent's."""
        self._control.close()
        for sibling in self._children.values():
            os.close(sibling.ended)
            os.close(sibling.report)

    def _reap(self, descriptor: int) -> None:
        """Tell how a child ended, once nothing is left of it."""
        self._poll.unregister(descriptor)
        child = self._children.pop(descriptor)
        _, status = os.waitpid(child.pid, 0)
        end_strays({other.pid for other in self._children.values()})
        with suppress(OSError):  # nobody reads it any more
            os.write(child.report, b"%d" % status)
        os.close(child.report)
        os.close(descriptor)

    def _end(self) -> None:
        """Wait for the children, which see that the engine is gone, and kill what is left then."""
        self._poll.unregister(self._engine)
        self._poll.unregister(self._control)
        self._control.close()
        until = time.monotonic() + GRACE_SECONDS
        while self._children and (left := until - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left * 1000):
                self._reap(descriptor)
        end_strays()
