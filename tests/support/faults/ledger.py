"""The ledger: what engines, tasks and submitters did, each line written before they go on.

It is a file that outlives them all. A line is one write: no kill can tear it.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ledger:
    """A file that many processes append lines to."""

    path: Path

    def write(self, *words: object) -> None:
        """Append a line."""
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, (" ".join(map(str, words)) + "\n").encode())
        os.close(file)

    def lines(self, kind: str) -> list[list[str]]:
        """Return the words of all lines of a kind, behind the kind."""
        return list(self._lines(kind))

    def _lines(self, kind: str) -> Iterator[list[str]]:
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            first, *words = line.split()
            if first == kind:
                yield words

    def wanted(self) -> set[str]:
        """Return the keys that somebody tried to submit a run with."""
        return {key for (key,) in self._lines("wanted")}

    def accepted(self) -> dict[str, str]:
        """Return the run that each key was acknowledged with."""
        return {words[0]: words[1] for words in self._lines("accepted")}

    def begun(self) -> Counter[tuple[str, str, int]]:
        """Return how often the function of each attempt was called."""
        return Counter((run, task, int(attempt)) for run, task, attempt in self._lines("begin"))

    def engines_of(self, pid: int) -> set[str]:
        """Return the engines that a process was."""
        return {engine for engine, of_pid in self._lines("engine") if int(of_pid) == pid}
