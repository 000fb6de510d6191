"""What processes say to each other: JSON objects, each behind its length.

A frame is 4 bytes, the length of what follows, highest byte first, and a JSON object in UTF-8. Who
reads doubts who writes: a frame that is too long is refused before anything of it is kept.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

HEADER = struct.Struct(">I")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

MAX_CONTROL_BYTES = 16 * 1024 * 1024
"""What a frame between the engine and a zygote or keeper may have: definitions are among them."""

MAX_BYTES = 2**32 - 1
"""What a frame may have whose sender is trusted."""


class FrameError(Exception):
    """Bytes that are no frame, or a frame that may not be: as one clause for people."""


def frame_of(message: Mapping[str, Any]) -> bytes:
    """Return a message as a frame."""
    body = _ENCODER.encode(message).encode()
    return HEADER.pack(len(body)) + body


def message_of(body: bytes | bytearray) -> dict[str, Any]:
    """Return the message in a frame.

    Raises:
        FrameError: it isn't a JSON object.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"it sent a frame that isn't JSON: {error}") from None
    if not isinstance(message, dict):
        raise FrameError("it sent a frame that isn't a JSON object")
    return message


def checked_length(header: bytes | bytearray, most: int) -> int:
    """Return how long a frame is.

    Raises:
        FrameError: longer than `most` bytes.
    """
    (length,) = HEADER.unpack_from(header)
    if length > most:
        raise FrameError(f"it sent a frame of {length} bytes; the limit is {most}")
    return int(length)


class FrameReader:
    """Puts frames together from bytes as they come."""

    def __init__(self, most: int) -> None:
        """Begin.

        Args:
            most: how many bytes a frame may have.
        """
        self._most = most
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the messages that these bytes complete.

        Raises:
            FrameError: what comes can't be a frame. Nothing can be read behind it.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            end = HEADER.size + checked_length(self._buffer, self._most)
            if len(self._buffer) < end:
                return
            body = self._buffer[HEADER.size : end]
            del self._buffer[:end]
            yield message_of(body)

    @property
    def is_amid(self) -> bool:
        """Whether a frame has begun and hasn't ended."""
        return bool(self._buffer)
