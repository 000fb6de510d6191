"""A file of JSON objects, one a line, that many threads and processes may append to."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "CLOACINA_EVENTLOG"
DEFAULT_NAME = "cloacina-events.jsonl"


@dataclass(frozen=True, slots=True)
class EventLog:
    """The file at a path; it is made when the first line is written."""

    path: Path

    @classmethod
    def of(cls, environment: Mapping[str, str], working_folder: Path) -> "EventLog":
        """Return the log that an environment names, or the default one in a folder."""
        named = environment.get(VARIABLE)
        return cls(Path(named) if named else working_folder / DEFAULT_NAME)

    def append(self, entry: Mapping[str, object]) -> None:
        """Write one object.

        Raises:
            OSError: the file can't be written.
        """
        line = f"{json.dumps(entry, ensure_ascii=False)}\n".encode()
        # In append mode and with one call, so that the lines of other writers stay whole.
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line)
        finally:
            os.close(file)
