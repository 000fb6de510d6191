"""Bytes that are written where text is: `sys.stdout.buffer`, and what is wrapped around it.

They are read as UTF-8, and what isn't UTF-8 is spelled out. A character may come in pieces.
"""

import codecs
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Said: TypeAlias = str | bytes
"""What is written to a stream or to its buffer."""

_ERRORS = "backslashreplace"


def as_text(said: Said) -> str:
    """Return what was said, all of it."""
    return said if isinstance(said, str) else said.decode("utf-8", _ERRORS)


def cleaned(data: bytes, clean: Callable[[str], str]) -> bytes:
    """Return bytes that were cleaned as text; the others are what they were."""
    text = clean(data.decode("utf-8", "surrogateescape"))
    return text.encode("utf-8", "surrogateescape")


class Pieces:
    """Makes text of what one writer says piece by piece, on any streams."""

    def __init__(self) -> None:
        """Begin."""
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}

    def text(self, stream: str, said: Said) -> str:
        """Return what was said, but half a character at its end."""
        if isinstance(said, str):
            return said
        if stream not in self._decoders:
            self._decoders[stream] = codecs.getincrementaldecoder("utf-8")(_ERRORS)
        return self._decoders[stream].decode(said)

    def rest(self) -> Iterator[tuple[str, str]]:
        """Yield streams, and the halves of characters to which nothing came."""
        for stream, decoder in self._decoders.items():
            yield stream, decoder.decode(b"", final=True)
        self._decoders.clear()


class ByteStream(io.BufferedIOBase):
    """Stands for the buffer of a stream that isn't a file. Nothing is kept back in it."""

    def __init__(self, write: Callable[[bytes], object], stream: io.TextIOBase) -> None:
        """Prepare.

        Args:
            write: takes what is written.
            stream: whose buffer it is.
        """
        self._write = write
        self._stream = stream

    def write(self, data: "ReadableBuffer") -> int:
        """Hand on what is written."""
        given = memoryview(data).tobytes()
        self._write(given)
        return len(given)

    @property
    def raw(self) -> "ByteStream":
        """This: nothing is behind it."""
        return self

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: whoever wraps a stream around it, and forgets it, closes it."""

    def writable(self) -> bool:
        """Return that it is."""
        return True

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self._stream.fileno()
