"""One task of a live run, or one instance of a mapped task."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from cloacina_core.model.run import AttemptResult
from cloacina_core.model.spilled import Encoded
from cloacina_core.model.status import TaskStatus
from cloacina_core.model.stored import StoredTask
from cloacina_core.model.wait import Wait


class TaskState:
    """Where it stands, and what is known of it."""

    __slots__ = (
        "attempts",
        "called_at",
        "changes",
        "endings",
        "ran",
        "reason",
        "sleeps",
        "status",
        "stored",
        "unseen",
        "waits",
        "wake_at",
    )

    def __init__(self) -> None:
        self.status = TaskStatus.WAITING
        self.attempts: list[AttemptResult] = []
        self.reason: str | None = None
        self.wake_at: datetime | None = None
        self.changes: Mapping[str, Encoded | None] | None = None
        """What it changed in the context, once it succeeded."""
        self.endings: dict[TaskStatus, int] = {}
        """How many of the tasks before it ended how."""
        self.unseen: frozenset[int] = frozenset()
        """Tasks before it that hadn't ended when it began, or was decided."""
        self.waits: tuple[Wait, ...] = ()
        """What its open attempt waited for, and waits for: the last one may be open."""
        self.called_at: datetime | None = None
        """When its function was called, while it runs."""
        self.ran = timedelta(0)
        """How long the calls before that took, in the open attempt."""
        self.sleeps = 0
        """How often it was put to sleep here: tells its timer from earlier ones."""
        self.stored: tuple[TaskStatus, int] | None = None
        """The status and the number of attempts in the store's row; None when there is no row."""

    @property
    def has_open_attempt(self) -> bool:
        """Whether its last attempt hasn't ended: it runs, or waits."""
        return bool(self.attempts) and self.attempts[-1].finished_at is None

    @property
    def failed_attempts(self) -> int:
        """How many attempts ended by their own fault: the death of an engine doesn't count."""
        return sum(
            1
            for attempt in self.attempts
            if attempt.outcome is not None and attempt.outcome.value in ("failed", "timed_out")
        )

    def restore(self, row: StoredTask, changes: Mapping[str, Encoded | None] | None) -> None:
        """Make it what the store says it is."""
        self.status = row.status
        self.attempts = list(row.attempts)
        self.reason = row.reason
        self.wake_at = row.wake_at
        self.waits = row.waits
        self.ran = row.ran
        self.changes = changes
        self.stored = (row.status, len(row.attempts))
