"""A ready task that waits for its turn."""

from typing import NamedTuple, TypeAlias

from cloacina_core.foundation.ids import RunId

Limits: TypeAlias = tuple[str, ...]
"""The names of the limits that a task counts for; none for almost every task."""


class Queued(NamedTuple):
    """A ready task in the queue, compared by its place there."""

    rank: int
    order: int
    run_id: RunId
    task: int
    limits: Limits
