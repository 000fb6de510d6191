"""How attempts are run: in threads of this process, or in workers, as their releases are placed."""

from collections.abc import Callable, Mapping

from cloacina_core.engine.attempt import AttemptRunner, Wrap
from cloacina_core.engine.call import TaskCall
from cloacina_core.engine.capture import LogSink
from cloacina_core.engine.library import WorkflowLibrary
from cloacina_core.engine.live_logs import LiveLogs
from cloacina_core.engine.secrets import ReadSecret
from cloacina_core.engine.spilling import Spill
from cloacina_core.errors import ConfinementError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.environ import scrubbed
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.child import ChildResult
from cloacina_core.model.context import no_child
from cloacina_core.model.isolation import WorkerEnvironment
from cloacina_core.settings import Settings
from cloacina_core.worker.confinement import Limits, missing
from cloacina_core.worker.placing import PlacedRunner
from cloacina_core.worker.pool import pools
from cloacina_core.worker.pool.lending import Pool
from cloacina_core.worker.runner import WorkerRunner


def make_pool(settings: Settings, clock: Clock, environ: Mapping[str, str]) -> Pool:
    """Return what lends the processes of workers; none is started before it is needed."""
    kept = scrubbed(environ, settings.worker_environment)
    return pools.make_pool(clock, kept, pools.default_start_method())


def make_runner(  # noqa: PLR0913 - all that they work with, by name
    settings: Settings,
    *,
    library: WorkflowLibrary,
    pool: Pool,
    clock: Clock,
    wrap: Wrap,
    secrets: ReadSecret,
    spill: Spill | None = None,
    child: Callable[[RunId], ChildResult] = no_child,
    live: LiveLogs | None = None,
) -> PlacedRunner:
    """Return what runs each attempt where its release is placed.

    Args:
        settings: in force.
        library: knows the code, and where it is to run.
        pool: lends processes.
        clock: tells the time.
        wrap: stands around each attempt.
        spill: where large values go; None leaves them in the outcomes.
        child: reads a run that a task asked for.
        secrets: returns the values of secrets.
        live: takes lines while attempts run; None leaves them in the outcomes.
    """
    limits = Limits.of(settings)

    def accept(enforced: tuple[str, ...], environment: WorkerEnvironment) -> None:
        lacking = missing(enforced, limits, environment.capabilities)
        if settings.require_confinement and lacking:
            raise ConfinementError(lacking)

    def sink(call: TaskCall) -> LogSink:
        # Of an attempt that is over, no more lines are taken while it runs: it doesn't.
        if live is None or call.timed_out is not None:
            return LogSink(clock)
        return live.sink(call.key)

    return PlacedRunner(
        library.isolation,
        here=AttemptRunner(
            library.find, clock, wrap, spill=spill, child=child, live=live, secrets=secrets
        ),
        workers=WorkerRunner(
            library.environment,
            pool,
            clock,
            wrap,
            spill=spill,
            child=child,
            limits=limits,
            accept=accept,
            sink=sink,
            secrets=secrets,
        ),
    )
