"""Identifiers: made by us, opaque to everyone, sorted by the time of making."""

import os
from base64 import b32hexencode
from collections.abc import Callable
from datetime import datetime
from typing import NewType

from cloacina_core.foundation.clock import Clock, to_micros

RunId = NewType("RunId", str)
EngineId = NewType("EngineId", str)

ID_LENGTH = 26
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u
_RANDOM_BITS = 80
_FROM_BASE32HEX = bytes.maketrans(b"0123456789ABCDEFGHIJKLMNOPQRSTUV", _ALPHABET.encode())
_PADDED_BYTES, _PADDING = 20, 6  # 32 letters, of which an id takes the last 26


class IdFactory:
    """Makes ULID-shaped ids: 48 bits of milliseconds, then 80 bits that are random or one higher.

    Ids of one factory strictly increase, so runs list in the order of their submission.
    """

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes] = os.urandom) -> None:
        import threading  # noqa: PLC0415 - authors' code needs only the types of this module

        self._clock = clock
        self._entropy = entropy
        self._last = 0
        self._lock = threading.Lock()

    def _new(self) -> str:
        milliseconds = to_micros(self._clock.now()) // 1000
        with self._lock:
            if milliseconds > self._last >> _RANDOM_BITS:
                entropy = int.from_bytes(self._entropy(_RANDOM_BITS // 8), "big")
                fresh = (milliseconds << _RANDOM_BITS) | entropy
            else:  # same millisecond, or a clock that went back
                fresh = self._last + 1
            self._last = fresh
        return _encode(fresh)

    def run_id(self) -> RunId:
        """Return a new id for a run."""
        return RunId(self._new())

    def engine_id(self) -> EngineId:
        """Return a new id for one incarnation of an engine; a restarted engine is another one."""
        return EngineId(self._new())

    def command_id(self) -> str:
        """Return a new id for something that is asked of a run."""
        return self._new()

    def deed_id(self) -> str:
        """Return a new id for something that the audit tells of."""
        return self._new()


def first_id_of(moment: datetime) -> str:
    """Return the lowest id that can be made at a moment: ids tell their millisecond."""
    return _encode(max(0, to_micros(moment) // 1000) << _RANDOM_BITS)


def _encode(number: int) -> str:
    letters = b32hexencode(number.to_bytes(_PADDED_BYTES, "big"))
    return letters[_PADDING:].translate(_FROM_BASE32HEX).decode()


def is_id_prefix(text: str) -> bool:
    """Whether `text` can be the beginning of an id."""
    return 0 < len(text) <= ID_LENGTH and all(letter in _ALPHABET for letter in text)
