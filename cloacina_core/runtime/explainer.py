"""Explains runs from what the store says, in any process."""

from datetime import timedelta

from cloacina_core.engine.explaining import explain
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.run_state import RunState
from cloacina_core.model.explanation import Explanation
from cloacina_core.store.database import Database
from cloacina_core.store.ownership import Ownership
from cloacina_core.store.permits import Permits
from cloacina_core.store.reading import RunReader
from cloacina_core.store.surroundings import SurroundingsReader


class Explainer:
    """Reads runs and explains them; needs no engine."""

    def __init__(self, database: Database) -> None:
        self._reader = RunReader(database)
        ownership = Ownership(database, timedelta(0))  # registers nobody
        self._surroundings = SurroundingsReader(database, ownership, Permits(database))

    def explain(self, run_id: str) -> Explanation:
        """Return why a run isn't further.

        Args:
            run_id: the id of the run, or the unique beginning of one.

        Raises:
            UnknownRunError: there is none.
        """
        stored = self._reader.load(self._reader.find(run_id))
        run = RunState.restore(Plan(stored.definition), stored)
        return explain(run, stored, self._surroundings.read(stored))
