"""What other processes do to a log in tests. They are spawned, so they import this by name."""

from typing import TYPE_CHECKING

from support.audit import append, log_store

from cloacina_registry.audit.log import AuditLog

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

PATIENCE = 60.0


def append_at_the_signal(
    url: str, count: int, start: "Barrier", answers: "Queue[list[int]]"
) -> None:
    """Append entries when all others are ready, each in a transaction, and answer their indexes."""
    with log_store(url) as database:
        start.wait(timeout=PATIENCE)
        indexes = []
        for number in range(count):
            with database.begin() as connection:
                indexes.append(append(AuditLog(connection), number).index)
        answers.put(indexes)
