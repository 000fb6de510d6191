"""Writes a line."""

import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cloacina_notify.sending import Message


@dataclass(frozen=True, slots=True)
class LogSender:
    """Appends each notification to a file, or writes it to standard error."""

    file: Path | None

    def send(self, message: Message, now: datetime) -> None:  # noqa: ARG002 - a line needs no time
        """Write a line.

        Raises:
            OSError: it can't be written.
        """
        line = f"{message.body}\n"
        if self.file is None:
            sys.stderr.write(line)
            sys.stderr.flush()
            return
        # In append mode and with one call, so that the lines of other writers stay whole.
        file = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
