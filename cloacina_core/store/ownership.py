"""Which engine works on which run: registration, leases, and taking runs from the dead.

A run belongs to the engine in its row. An engine is alive until `stopped_at` is set, which only
happens together with giving up its runs; from then on nothing it writes is accepted.
"""

import contextlib
import os
import socket
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from cloacina_core.errors import (
    IllegalTransitionError,
    RunOwnedElsewhereError,
    UnknownRunError,
)
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.status import RunStatus
from cloacina_core.store import schema
from cloacina_core.store.database import Database

_engines, _runs = schema.engines, schema.runs
_MICROS = 1_000_000
_START_FIELD = 18  # field 22 of proc_pid_stat(5), counted behind the state


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Tells this process from every other, also from a later one of the same number."""

    host: str
    pid: int
    started: str
    """When it began, as the operating system tells it; not changed by setting the clock."""

    @classmethod
    def of_this_process(cls) -> "ProcessIdentity":
        """Return the identity of the process that asks."""
        return cls(_host(), os.getpid(), _process_start(os.getpid()) or "")

    def is_gone(self) -> bool:
        """Whether the process is known to be dead; False when it can't be known from here."""
        return self.host == _host() and _process_start(self.pid) != self.started


def _host() -> str:
    """Return a name for the processes that can be seen from here.

    Containers of one host see different processes, and so does a host after it was started anew.
    """
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(Path("/proc/self/ns/pid").readlink().name)
    return "/".join(parts)


def _process_start(pid: int) -> str | None:
    """Return when a process began, or None when there is none of this number (or a zombie)."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, *fields = stat.rpartition(")")[2].split()  # the name before may hold anything
        return None if state in "ZX" else fields[_START_FIELD]
    import psutil  # noqa: PLC0415 - needed, and installed, only where there is no /proc

    try:
        return repr(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


class Ownership:
    """Registers engines and hands runs between them."""

    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease_micros = int(lease.total_seconds() * _MICROS)

    def register(self, engine: EngineId, version: str) -> None:
        """Make an engine known, with a lease that begins now."""
        me = ProcessIdentity.of_this_process()
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            connection.execute(
                insert(_engines).values(
                    id=engine,
                    host=me.host,
                    pid=me.pid,
                    process_started=me.started,
                    version=version,
                    started_at=now,
                    lease_until=now + self._lease_micros,
                )
            )

    def renew(self, engine: EngineId) -> bool:
        """Begin an engine's lease anew; False when it was declared dead."""
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            result = connection.execute(
                update(_engines)
                .where(_engines.c.id == engine, _engines.c.stopped_at.is_(None))
                .values(lease_until=now + self._lease_micros)
            )
            return result.rowcount == 1

    def stop(self, engine: EngineId) -> None:
        """End an engine in good order; the runs it still has can be claimed at once."""
        with self._database.begin() as connection:
            self._end(connection, engine)

    def claim(self, run_id: RunId, engine: EngineId) -> None:
        """Take a run that nobody alive works on.

        Raises:
            UnknownRunError: there is none with this id.
            IllegalTransitionError: it has ended.
            RunOwnedElsewhereError: a live engine works on it.
        """
        with self._database.begin() as connection:
            query = select(_runs.c.status, _runs.c.engine).where(_runs.c.id == run_id)
            row = connection.execute(query.with_for_update()).one_or_none()
            if row is None:
                raise UnknownRunError(run_id)
            if RunStatus(row.status).is_final:
                raise IllegalTransitionError(f"run {run_id} has ended: it {row.status}")
            if row.engine is not None and not self._bury_if_dead(connection, row.engine):
                raise RunOwnedElsewhereError(run_id, row.engine)
            connection.execute(update(_runs).where(_runs.c.id == run_id).values(engine=engine))

    def claimable(self, engine: EngineId, limit: int = 100) -> list[RunId]:
        """Return unfinished runs that nobody alive works on; engines found dead are buried."""
        with self._database.begin() as connection:
            owners = connection.execute(
                select(_runs.c.engine)
                .where(schema.LIVE, _runs.c.engine.is_not(None), _runs.c.engine != engine)
                .distinct()
            ).scalars()
            for owner in owners.all():
                self._bury_if_dead(connection, owner)
            query = select(_runs.c.id).where(schema.LIVE, _runs.c.engine.is_(None))
            rows = connection.execute(query.order_by(_runs.c.id).limit(limit)).scalars()
            return [RunId(run_id) for run_id in rows]

    def _bury_if_dead(self, connection: Connection, engine: str) -> bool:
        """Declare an engine dead if it is, and free its runs; return whether it is."""
        row = connection.execute(
            select(_engines).where(_engines.c.id == engine).with_for_update()
        ).one_or_none()
        if row is None or row.stopped_at is not None:
            self._end(connection, EngineId(engine))
            return True
        process = ProcessIdentity(row.host, row.pid, row.process_started)
        now = self._database.now_micros(connection)
        if row.lease_until >= now and not process.is_gone():
            return False
        self._end(connection, EngineId(engine), died=True)
        return True

    def _end(self, connection: Connection, engine: EngineId, *, died: bool = False) -> None:
        now = self._database.now_micros(connection)
        connection.execute(
            update(_engines)
            .where(_engines.c.id == engine, _engines.c.stopped_at.is_(None))
            .values(stopped_at=now)
        )
        freed = update(_runs).where(_runs.c.engine == engine, schema.LIVE).values(engine=None)
        if died:
            freed = freed.values(engine_deaths=_runs.c.engine_deaths + 1)
        connection.execute(freed)
