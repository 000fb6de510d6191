"""What a mapped task became: its instances, whose turn it is, and what they leave together.

Each step costs the same however many instances there are. The items stay where they are, in the
list that the task saw when it was expanded: an instance is a number, and a row once it began.
"""

from collections.abc import Mapping, Sequence

from cloacina_core.engine.task_state import TaskState
from cloacina_core.foundation.json_value import decode, encode
from cloacina_core.model.mapping import MAX_INSTANCES, Mapped
from cloacina_core.model.spilled import Encoded, joined, text_of
from cloacina_core.model.status import TaskStatus

QUEUE_LENGTH = 16
"""How many instances of one map stand in the engine's queue at a time. More would only make the
tasks of other runs wait behind them: one that begins makes room for the next."""

MAX_GATHERED = 2_000_000
"""How many elements the lists that a mapped task leaves may have together."""


class ExpansionError(Exception):
    """A mapped task can't become instances, or what they wrote can't become lists."""


def items_in(values: Mapping[str, Encoded], mapped: Mapped) -> list[str]:
    """Return the encoded elements of the list that a task is mapped over.

    Raises:
        ExpansionError: there is none, or it is too long.
        LostValueError: it was spilled, and is lost.
    """
    if mapped.key not in values:
        raise ExpansionError(f"there is no key {mapped.key!r} to map over")
    items = decode(text_of(values[mapped.key]))
    if not isinstance(items, list):
        kind = "null" if items is None else type(items).__name__
        raise ExpansionError(f"key {mapped.key!r} to map over is {kind}, not a list")
    if len(items) > MAX_INSTANCES:
        raise ExpansionError(
            f"key {mapped.key!r} to map over has {len(items)} elements; {MAX_INSTANCES} are allowed"
        )
    return [encode(item) for item in items]


class Expansion:
    """The instances of one mapped task of a run."""

    __slots__ = (
        "_failed",
        "_is_stopping",
        "_live",
        "_next",
        "_queue",
        "first",
        "instances",
        "items",
        "mapped",
        "task",
        "values",
    )

    def __init__(self, mapped: Mapped, task: int, *, first: int, size: int) -> None:
        self.mapped = mapped
        self.task = task
        """The number of the mapped task."""
        self.first = first
        """The number of the first instance."""
        self.instances = [TaskState() for _ in range(size)]
        self.items: Sequence[str] = ()
        """The encoded items; empty until they are needed."""
        self.values: Mapping[str, Encoded] = {}
        """What each instance sees: what the mapped task saw, but for the list."""
        self._next = 0
        self._live = 0
        """How many instances were called up and haven't ended."""
        self._queue: set[int] = set()
        """The numbers of those of these that haven't begun."""
        self._failed = 0
        self._is_stopping = False

    def hold(self, values: Mapping[str, Encoded], items: Sequence[str]) -> None:
        """Keep at hand what instances are called with.

        Args:
            values: the encoded values that the mapped task saw.
            items: the encoded items.
        """
        self.items = items
        self.values = {key: value for key, value in values.items() if key != self.mapped.key}

    def call_up(self) -> list[int]:
        """Make the next instances ready, as far as there is room for them; return their numbers."""
        called = []
        while self._has_room() and self._next < len(self.instances):
            instance = self.instances[self._next]
            if instance.status is TaskStatus.WAITING:
                instance.status = TaskStatus.READY
                self._live += 1
                called.append(self.first + self._next)
                self._queue.add(called[-1])
            self._next += 1
        return called

    def _has_room(self) -> bool:
        limit = self.mapped.max_parallel
        return (
            not self._is_stopping
            and len(self._queue) < QUEUE_LENGTH
            and (limit is None or self._live < limit)
        )

    def began(self, number: int) -> None:
        """Make room in the queue: an instance isn't in it any more."""
        self._queue.discard(number)

    def ended(self, status: TaskStatus) -> None:
        """Make room for another instance: one ended.

        If it was one failure too many, those in the queue go no further.
        """
        self._live -= 1
        if status is TaskStatus.FAILED:
            self._failed += 1
            self._stop_if_enough_failed()

    def _stop_if_enough_failed(self) -> None:
        may_fail = len(self.instances)
        if self.mapped.failures != "continue":
            may_fail = self.mapped.tolerated
        if self._failed > may_fail:
            self.stop()

    def stop(self) -> None:
        """Let no further instance begin; those in the queue wait for ever."""
        self._is_stopping = True
        for number in self._queue:
            self.instances[number - self.first].status = TaskStatus.WAITING
        self._live -= len(self._queue)
        self._queue.clear()

    @property
    def is_over(self) -> bool:
        """Whether no instance is under way, and none will be."""
        is_exhausted = self._is_stopping or self._next == len(self.instances)
        return self._live == 0 and is_exhausted

    def close(self) -> tuple[TaskStatus, str | None]:
        """Return how the mapped task ends, and why."""
        self.cancel_rest()
        reason = f"{self._failed} of {len(self.instances)} instances failed"
        if self._failed > self.mapped.tolerated:
            return TaskStatus.FAILED, reason
        return TaskStatus.SUCCEEDED, reason if self._failed else None

    def cancel_rest(self) -> None:
        """Cancel the instances that still wait.

        Nothing is written of that: it follows from the end of their mapped task.
        """
        self.items, self.values = (), {}
        for instance in self.instances:
            if instance.status is TaskStatus.WAITING:
                instance.status = TaskStatus.CANCELLED
                instance.reason = "it didn't begin"

    def gathered(self) -> dict[str, Encoded]:
        """Return what the instances wrote, as lists by key: null where one didn't write it.

        The values are taken from the instances, which have no more use for them.

        Raises:
            ExpansionError: there are too many keys.
        """
        changes = [instance.changes or {} for instance in self.instances]
        keys = {key: None for change in changes for key, one in change.items() if one is not None}
        if len(keys) * len(changes) > MAX_GATHERED:
            raise ExpansionError(
                f"the instances wrote {len(keys)} different keys, and each would be a list of "
                f"{len(changes)}; write the same few keys in every instance"
            )
        for instance in self.instances:
            instance.changes = None
        return {
            key: joined([change.get(key) or "null" for change in changes], are_lists=False)
            for key in keys
        }

    def blamed(self) -> list[int]:
        """Return the numbers of the instances that made the mapped task fail, in order."""
        if self._failed <= self.mapped.tolerated:
            return []
        return [
            self.first + index
            for index, instance in enumerate(self.instances)
            if instance.status is TaskStatus.FAILED
        ]

    def recount(self) -> None:
        """Count anew how the instances stand, once they are what the store says they are."""
        self._live = sum(
            one.status is not TaskStatus.WAITING and not one.status.is_final
            for one in self.instances
        )
        self._failed = sum(one.status is TaskStatus.FAILED for one in self.instances)
        self._stop_if_enough_failed()
