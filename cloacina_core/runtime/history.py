"""A run as the store tells it."""

from cloacina_core.engine.plan import Plan
from cloacina_core.engine.run_state import RunState
from cloacina_core.model.run import RunResult
from cloacina_core.store.reading import RunReader


def read_result(reader: RunReader, run_id: str) -> RunResult:
    """Return a run with its tasks and context, as it stands.

    Args:
        reader: the store.
        run_id: the id of the run, or the unique beginning of one.

    Raises:
        UnknownRunError: there is none.
    """
    stored = reader.load(reader.find(run_id))
    return RunState.restore(Plan(stored.definition), stored).result()
