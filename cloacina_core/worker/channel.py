"""One end of a connection between two processes, for those who may wait."""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from cloacina_core.worker.frames import HEADER, FrameError, checked_length, frame_of, message_of

_MOST_DESCRIPTORS = 4


class Channel:
    """Sends and receives messages, and file descriptors with them."""

    def __init__(self, connection: socket.socket, most: int) -> None:
        """Take a connected stream socket over.

        Args:
            connection: the socket; blocking.
            most: how many bytes a frame that is received may have.
        """
        self._socket = connection
        self._most = most

    def fileno(self) -> int:
        """Return the descriptor, for `select`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message, and file descriptors that the other process gets its own copies of.

        Raises:
            OSError: nobody is there any more.
        """
        frame = frame_of(message)
        if descriptors:
            sent = socket.send_fds(self._socket, [frame], list(descriptors))
            frame = frame[sent:]
        self._socket.sendall(frame)

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None when the other end was closed.

        Raises:
            FrameError: it isn't one.
            OSError: the connection is broken.
        """
        message, _ = self.receive_with_descriptors()
        return message

    def receive_with_descriptors(self) -> tuple[dict[str, Any] | None, list[int]]:
        """Return the next message, and the file descriptors that came with it; see `receive`."""
        header, descriptors, _, _ = socket.recv_fds(self._socket, HEADER.size, _MOST_DESCRIPTORS)
        if not header:
            return None, []
        try:
            header += self._exactly(HEADER.size - len(header))
            return message_of(self._exactly(checked_length(header, self._most))), descriptors
        except (FrameError, OSError):
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(min(size - len(parts), 1 << 20))
            if not part:
                raise FrameError("it sent half a frame")
            parts += part
        return bytes(parts)
