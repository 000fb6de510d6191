"""An engine as listings show it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.ids import EngineId


class EngineState(StrEnum):
    """Whether an engine works."""

    ALIVE = "alive"
    STALE = "stale"
    """Its process is gone, or its lease is over; others may take its runs."""
    STOPPED = "stopped"
    """It stopped, or was declared dead: nothing that it writes counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSummary:
    """One incarnation of an engine."""

    engine_id: EngineId
    state: EngineState
    host: str
    pid: int
    version: str
    started_at: datetime
    lease_until: datetime
    stopped_at: datetime | None
    live_runs: int
    """How many unfinished runs it has."""
    slots: int
    """How many tasks it runs at a time, as it told when it renewed its lease last."""
    slots_used: int
    slots_lost: int
    """How many are taken by attempts that were given up and still run."""

    def to_json(self) -> dict[str, object]:
        """Return the engine as a JSON object, as `engines list --json` prints it."""
        return {
            "engine_id": self.engine_id,
            "state": self.state.value,
            "host": self.host,
            "pid": self.pid,
            "version": self.version,
            "started_at": iso(self.started_at),
            "lease_until": iso(self.lease_until),
            "stopped_at": self.stopped_at and iso(self.stopped_at),
            "live_runs": self.live_runs,
            "slots": self.slots,
            "slots_used": self.slots_used,
            "slots_lost": self.slots_lost,
        }
