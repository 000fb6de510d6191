"""Results that came when their engine had lost the run: told in its history, and used for nothing.

The lease was lost while an attempt ran. Another engine may have the run by now, or it has ended.
"""

from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import NamedTuple

from cloacina_core.engine.call import AttemptKey, Outcome
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.status import AttemptOutcome


class LateResult(NamedTuple):
    """What an attempt came to when nobody waited for it any more."""

    run_id: RunId
    task: str
    attempt: int
    outcome: AttemptOutcome


class LateResults:
    """What the incarnations of one engine share: which attempts run, and what came too late."""

    def __init__(self) -> None:
        self._names: dict[AttemptKey, str] = {}
        self._results: SimpleQueue[LateResult] = SimpleQueue()

    def begun(self, key: AttemptKey, task: str) -> None:
        """Note the name of a task of which an attempt is handed to the executor."""
        self._names[key] = task

    def ended(self, key: AttemptKey) -> str | None:
        """Return the name, once; None for what nobody noted, as the call of a callback."""
        return self._names.pop(key, None)

    def add(self, outcome: Outcome, task: str | None) -> None:
        """Keep a result until it can be told."""
        if task is not None:
            run_id, _, attempt = outcome.key
            self._results.put(LateResult(run_id, task, attempt, outcome.outcome))

    def take(self) -> Iterable[LateResult]:
        """Yield what is to be told, each once."""
        while not self._results.empty():
            try:
                yield self._results.get_nowait()
            except Empty:
                return
