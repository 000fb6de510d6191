"""How attempts come to the processes that they run in."""

from collections.abc import Mapping
from typing import Any, Protocol

from cloacina_core.engine.call import LogEntry
from cloacina_core.engine.stop import Stop
from cloacina_core.model.isolation import WorkerEnvironment
from cloacina_core.worker.pool.worker import Worker


class Loan(Protocol):
    """A worker for one attempt, and what is known of its environment."""

    worker: Worker
    told: Mapping[str, Any] | None
    """What came of each import; None when each attempt imports by itself, and tells then."""
    logs: tuple[LogEntry, ...]
    """What the imports printed, if nobody was told before."""

    def end(self, *, is_usable: bool) -> None:
        """Give the worker back.

        Args:
            is_usable: whether nothing of the attempt is left in it.
        """
        ...


class Pool(Protocol):
    """Lends workers. Used by any thread."""

    folder: str
    """For temporary files; each attempt makes one of its own in it."""

    def lend(self, environment: WorkerEnvironment, stop: Stop) -> Loan:
        """Return a worker for one attempt; waits for the import of its code.

        Raises:
            WorkerFailedError: there is none to be had, or it was asked to stop before.
        """
        ...

    def close(self) -> None:
        """End all processes, those of attempts that still run included."""
        ...
