"""What worker processes print, read as it comes."""

import os

from cloacina_core.engine.capture import LogSink

_CHUNK = 65_536


class OutputReader:
    """Reads one stream of a process into a log. What the log doesn't keep is read all the same."""

    def __init__(self, descriptor: int, stream: str, sink: LogSink) -> None:
        """Take over the reading end of a pipe.

        Args:
            descriptor: of the pipe.
            stream: `stdout` or `stderr`.
            sink: takes the lines.
        """
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._stream = stream
        self._sink = sink

    def read(self) -> bool:
        """Take what is there now; False when nothing will come any more, or nothing is there."""
        try:
            data = os.read(self.descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if self._sink.is_full:
            self._sink.drop(data.count(b"\n"))
        elif data:
            self._sink.write(self._stream, data)
        return bool(data)

    def drain(self) -> None:
        """Take all that is there, once nobody writes any more."""
        while self.read():
            pass

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.descriptor)
