"""How an engine and the process that serves many tenants agree on the engine's slots.

They speak JSON, a line at a time, over the socket that is the engine's standard input. The engine
tells what it needs and the number it goes by; it is told another number, and then nothing before it
has said that it goes by that. So neither of them ever waits for the other to read.

Lines are read as a stranger's: an engine runs code of its tenant.
"""

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

from cloacina_core.errors import InputError
from cloacina_core.model.slot_ledger import Demand, SlotLedger
from cloacina_core.services.looking import LookingService, Pauses

_log = logging.getLogger(__name__)

_LONGEST_LINE = 200
"""Bytes."""

_PAUSES = Pauses(shortest=0.02, longest=3600.0, after_failure=0.02)
"""Between the lines that an engine writes: many changes are told as one, and none isn't told."""


class SlotSharing:
    """Shares slots out among engines. Safe to use from any thread."""

    def __init__(self, slots: int) -> None:
        """Begin with no engine.

        Args:
            slots: how many there are for all.
        """
        self._ledger = SlotLedger(slots)
        self._turn = threading.Lock()
        self._lines: dict[str, socket.socket] = {}

    def join(self, name: str, most: int | None) -> socket.socket:
        """Have an engine take part; return what is to be its standard input.

        Args:
            name: of the engine.
            most: how many slots it may have; None: all.
        """
        ours, theirs = socket.socketpair()
        with self._turn:
            self._lines[name] = ours
            self._ledger.join(name, most)
        thread = threading.Thread(target=self._listen, args=(name, ours), daemon=True)
        thread.name = f"cloacina-slots-{name}"
        thread.start()
        return theirs

    def limit(self, name: str, most: int | None) -> None:
        """Say how many slots an engine may have from now on, if it takes part."""
        with self._turn:
            self._ledger.limit(name, most)
            self._tell()

    def leave(self, name: str) -> None:
        """Give the slots of an engine that is gone to others."""
        with self._turn:
            self._ledger.leave(name)
            line = self._lines.pop(name, None)
            self._tell()
        if line is not None:
            _hang_up(line)

    def _listen(self, name: str, line: socket.socket) -> None:
        """Take what an engine tells, until it ends or tells what can't be."""
        with line:
            try:
                for demand in map(_demand, _read(line)):
                    with self._turn:
                        if self._lines.get(name) is not line:
                            return
                        self._ledger.hear(name, demand)
                        self._tell()
            except ValueError as error:
                _log.warning("the engine of %s is to end: it tells what can't be: %s", name, error)
            _hang_up(line)

    def _tell(self) -> None:
        """Tell engines their new numbers."""
        for name, slots in self._ledger.news().items():
            try:
                self._lines[name].sendall(_line({"slots": slots}))
            except OSError:  # it has ended, and will be taken out when that is seen
                _log.debug("the engine of %s can't be told its slots", name)


class SharedSlots:
    """An engine's end: tells what it needs, and is told how many slots it has."""

    def __init__(self, most: int, on_end: Callable[[], object]) -> None:
        """Take the standard input over: no task gets to it.

        Args:
            most: how many slots there are for all.
            on_end: called once nobody is there any more to tell it anything.

        Raises:
            InputError: the standard input is no socket.
        """
        try:
            self._line = socket.socket(fileno=os.dup(0))
        except OSError as error:
            raise InputError(
                "the standard input is no socket that tells the slots",
                hint="this is for engines that are started by: cloacina engine run --tenants",
            ) from error
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._most = most
        self._on_end = on_end
        self._resize: Callable[[int], object] = lambda _slots: None
        self._slots = 0
        self._demand = Demand(0, 0, 0)
        self._telling = _Telling(self._tell)

    def start(self, resize: Callable[[int], object]) -> None:
        """Begin to listen.

        Args:
            resize: has the engine go by a number of slots; may be called again with the same one.
        """
        self._resize = resize
        self._telling.start()
        threading.Thread(target=self._listen, name="cloacina-slots", daemon=True).start()

    def close(self) -> None:
        """Tell nothing any more."""
        self._telling.stop()
        _hang_up(self._line)

    def need(self, demand: Demand) -> None:
        """Tell soon what is needed, if that is something else than before. Returns at once."""
        wanted = min(demand.wanted, self._most)
        # Whether fewer are held than there are makes no difference to anybody.
        demand = replace(demand, wanted=wanted, held=max(demand.held, demand.slots))
        if demand != self._demand:
            self._demand = demand
            self._telling.wake()

    def _tell(self) -> None:
        demand = self._demand
        if demand.slots != self._slots:  # another incarnation of the engine hasn't heard it
            self._resize(self._slots)
        try:
            self._line.sendall(_line(asdict(demand)))
        except OSError:
            _log.debug("nobody is there to be told what slots are needed for")

    def _listen(self) -> None:
        with self._line:
            self._hear()
        self._on_end()

    def _hear(self) -> None:
        try:
            for line in _read(self._line):
                self._slots = _whole(json.loads(line)["slots"])
                self._resize(self._slots)
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("what is told of slots can't be understood: %s", error)


class _Telling(LookingService):
    """Tells, whenever it is woken."""

    def __init__(self, tell: Callable[[], object]) -> None:
        super().__init__("slots-told", "tell what slots are needed for", _PAUSES)
        self._tell = tell

    def look(self) -> float:
        self._tell()
        return _PAUSES.longest


def _read(line: socket.socket) -> Iterator[bytes]:
    """Yield what comes, a line at a time, until the other end is gone.

    Raises:
        ValueError: a line is too long.
    """
    rest = b""
    while True:
        try:
            received = line.recv(4096)
        except OSError:
            return
        if not received:
            return
        *whole, rest = (rest + received).split(b"\n")
        if any(len(one) > _LONGEST_LINE for one in (*whole, rest)):
            raise ValueError("a line is too long")
        yield from whole


def _line(facts: dict[str, int]) -> bytes:
    return json.dumps(facts).encode() + b"\n"


def _demand(line: bytes) -> Demand:
    """Return what an engine tells.

    Raises:
        ValueError: it can't be.
    """
    found = json.loads(line)
    if not isinstance(found, dict) or found.keys() != {"slots", "held", "wanted"}:
        raise ValueError("it isn't what slots are needed for")
    return Demand(**{name: _whole(value) for name, value in found.items()})


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a number of slots is whole, and 0 at least")
    return value


def _hang_up(line: socket.socket) -> None:
    """Have both ends see that it is over."""
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is over already
