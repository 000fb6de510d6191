"""Runs each attempt where its release is placed: here, or in a process of its own."""

from collections.abc import Callable

from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.executors.interface import Runner
from cloacina_core.engine.stop import Stop
from cloacina_core.errors import CloacinaError
from cloacina_core.model.isolation import Isolation
from cloacina_core.worker.failures import refused


class PlacedRunner:
    """Hands each attempt to the runner that its placement asks for."""

    def __init__(
        self, isolation: Callable[[TaskCall], Isolation], *, here: Runner, workers: Runner
    ) -> None:
        """Prepare.

        Args:
            isolation: what a call is to be isolated by; it may raise a `CloacinaError`.
            here: runs attempts in this process.
            workers: runs them in processes of their own.
        """
        self._isolation = isolation
        self._here = here
        self._workers = workers

    def run(self, call: TaskCall, stop: Stop) -> Outcome:
        """Run an attempt to its end."""
        try:
            runner = self._runner(call)
        except CloacinaError as error:  # in doubt, its code isn't run anywhere
            return refused(call, error)
        return runner.run(call, stop)

    async def run_async(self, call: TaskCall, stop: Stop) -> Outcome:
        """Run an attempt on the running event loop."""
        return await self._here.run_async(call, stop)

    def wants_loop(self, call: TaskCall) -> bool:
        """Whether the attempt may share an event loop with others.

        One that may ask for secrets has a thread: whoever keeps them may be slow to answer, and the
        others aren't to wait for that.
        """
        if call.secrets:
            return False
        try:
            return self._runner(call).wants_loop(call)
        except CloacinaError:
            return False

    def _runner(self, call: TaskCall) -> Runner:
        is_apart = self._isolation(call) is Isolation.WORKER
        return self._workers if is_apart else self._here
