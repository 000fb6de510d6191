"""The line over which engines are told their slots: what it takes, and what ends it."""

import json
import socket
from collections.abc import Iterator

import pytest
from support.runs import PATIENCE

from cloacina_core.runtime.slot_sharing import SlotSharing


class Engine:
    """An engine's end of the line, in the hands of the test."""

    def __init__(self, line: socket.socket) -> None:
        line.settimeout(PATIENCE)
        self._line = line
        self._lines = line.makefile("r")

    def say(self, **facts: object) -> None:
        self._line.sendall(json.dumps(facts).encode() + b"\n")

    def send(self, line: bytes) -> None:
        self._line.sendall(line)

    def told(self) -> int | None:
        """Return the number that it is told next; None when it is told that it is over."""
        try:
            line = self._lines.readline()
        except ConnectionResetError:  # it didn't read all that we sent
            return None
        return json.loads(line)["slots"] if line else None

    def close(self) -> None:
        self._lines.close()
        self._line.close()


@pytest.fixture
def sharing() -> SlotSharing:
    return SlotSharing(4)


@pytest.fixture
def acme(sharing: SlotSharing) -> Iterator[Engine]:
    engine = Engine(sharing.join("acme", None))
    yield engine
    engine.close()


@pytest.fixture
def zenith(sharing: SlotSharing) -> Iterator[Engine]:
    engine = Engine(sharing.join("zenith", None))
    yield engine
    engine.close()


def test_slots_go_to_whoever_wants_them_and_from_there_to_the_next(
    acme: Engine, zenith: Engine
) -> None:
    acme.say(slots=0, held=0, wanted=100)
    all_of_them = acme.told()
    acme.say(slots=4, held=4, wanted=100)
    zenith.say(slots=0, held=0, wanted=1)
    fewer = acme.told()
    acme.say(slots=3, held=3, wanted=100)

    assert (all_of_them, fewer, zenith.told()) == (4, 3, 1)


def test_the_slots_of_an_engine_that_died_go_to_others(
    sharing: SlotSharing, acme: Engine, zenith: Engine
) -> None:
    acme.say(slots=0, held=0, wanted=100)
    acme.told()
    zenith.say(slots=0, held=0, wanted=100)

    sharing.leave("acme")

    assert zenith.told() == 4


def test_a_limit_that_is_changed_holds_at_once(sharing: SlotSharing, acme: Engine) -> None:
    acme.say(slots=0, held=0, wanted=100)
    acme.told()
    acme.say(slots=4, held=4, wanted=100)
    sharing.limit("acme", 2)

    assert acme.told() == 2


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n",
        b'"slots"\n',
        b'{"slots": 0, "held": 0}\n',
        b'{"slots": 0, "held": 0, "wanted": -1}\n',
        b'{"slots": 0, "held": 0, "wanted": true}\n',
        b'{"slots": 0, "held": 0, "wanted": 1.5}\n',
        b'{"slots": 0, "held": 0, "wanted": "1"}\n',
        b'{"slots": 0, "held": 0, "wanted": 1, "tenant": "zenith"}\n',
        b'{"slots": 0, "held": 0, "wanted": ' + b"9" * 5000 + b"}\n",
        b"x" * 5000,
        b"\xff\n",
        b"[" * 190 + b"\n",
    ],
    ids=lambda line: str(line[:40]),
)
def test_an_engine_that_tells_what_cant_be_is_told_to_end(
    acme: Engine, zenith: Engine, line: bytes
) -> None:
    acme.send(line)
    zenith.say(slots=0, held=0, wanted=2)

    assert acme.told() is None
    assert zenith.told() == 2
