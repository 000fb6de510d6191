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

from sqlalchemy import Connection, exists, insert, or_, select, update

from cloacina_core.errors import (
    IllegalTransitionError,
    RunOwnedElsewhereError,
    UnknownRunError,
)
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.command import CommandKind
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.store import schema
from cloacina_core.store.database import Database

_engines, _runs, _tasks = schema.engines, schema.runs, schema.tasks
_commands = schema.commands
_RUNNING = TaskStatus.RUNNING.value
_MICROS = 1_000_000
# A paused run rests until it is asked to go on or to end.
_IS_TO_GO_ON = or_(
    _runs.c.status != RunStatus.PAUSED.value,
    exists().where(
        _commands.c.run_id == _runs.c.id,
        _commands.c.handled_at.is_(None),
        _commands.c.kind.in_([CommandKind.CANCEL.value, CommandKind.RESUME.value]),
    ),
)
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
            IllegalTransitionError: it has ended, or is paused and wasn't asked to go on or to end.
            RunOwnedElsewhereError: a live engine works on it.
        """
        with self._database.begin() as connection:
            owner = _owner(connection, run_id)
            if owner is not None and not self._bury_if_dead(connection, owner):
                raise RunOwnedElsewhereError(run_id, owner)
            # Engines are locked before their runs, here as in every transaction that writes: two
            # that take them in different orders would wait for each other.
            if (faster := _owner(connection, run_id, lock=True)) is not None:
                raise RunOwnedElsewhereError(run_id, faster)
            connection.execute(update(_runs).where(_runs.c.id == run_id).values(engine=engine))

    def claimable(
        self, engine: EngineId, *, after: RunId | None = None, limit: int = 100
    ) -> list[RunId]:
        """Return unfinished runs that nobody alive works on; engines found dead are buried.

        Args:
            engine: who asks.
            after: give only younger runs than this one: the last of the page before.
            limit: how many at most, the oldest first.
        """
        with self._database.begin() as connection:
            owners = connection.execute(
                select(_runs.c.engine)
                .where(schema.LIVE, _runs.c.engine.is_not(None), _runs.c.engine != engine)
                .distinct()
            ).scalars()
            for owner in sorted(owners):
                self._bury_if_dead(connection, owner)
            query = select(_runs.c.id).where(schema.LIVE, _runs.c.engine.is_(None), _IS_TO_GO_ON)
            if after is not None:
                query = query.where(_runs.c.id > after)
            rows = connection.execute(query.order_by(_runs.c.id).limit(limit)).scalars()
            return [RunId(run_id) for run_id in rows]

    def give_up(self, run_id: RunId, engine: EngineId) -> None:
        """Free a run that its engine, alive, can't go on with; counts as the engine's death."""
        with self._database.begin() as connection:
            of_run = (_runs.c.id == run_id, _runs.c.engine == engine, schema.LIVE)
            deaths = _runs.c.engine_deaths + 1
            connection.execute(
                update(_runs).where(*of_run).values(engine=None, engine_deaths=deaths)
            )

    def _bury_if_dead(self, connection: Connection, engine: str) -> bool:
        """Declare an engine dead if it is, and free its runs; return whether it is."""
        if self._is_alive(connection, engine):  # no lock is needed to see that
            return False
        connection.execute(select(_engines.c.id).where(_engines.c.id == engine).with_for_update())
        if self._is_alive(connection, engine):
            return False
        self._end(connection, EngineId(engine), died=True)
        return True

    def _is_alive(self, connection: Connection, engine: str) -> bool:
        row = connection.execute(select(_engines).where(_engines.c.id == engine)).one_or_none()
        if row is None or row.stopped_at is not None:
            return False
        process = ProcessIdentity(row.host, row.pid, row.process_started)
        in_lease = row.lease_until >= self._database.now_micros(connection)
        return in_lease and not process.is_gone()

    def _end(self, connection: Connection, engine: EngineId, *, died: bool = False) -> None:
        now = self._database.now_micros(connection)
        ended = connection.execute(
            update(_engines)
            .where(_engines.c.id == engine, _engines.c.stopped_at.is_(None))
            .values(stopped_at=now)
        )
        owned = (_runs.c.engine == engine, schema.LIVE)
        if died and ended.rowcount:
            at_work = exists().where(
                _tasks.c.run_id == _runs.c.id,
                _tasks.c.status == _RUNNING,
                _tasks.c.instances.is_(None),  # a mapped task runs while all its instances sleep
            )
            deaths = _runs.c.engine_deaths + 1
            connection.execute(update(_runs).where(*owned, at_work).values(engine_deaths=deaths))
        connection.execute(update(_runs).where(*owned).values(engine=None))


def _owner(connection: Connection, run_id: RunId, *, lock: bool = False) -> str | None:
    """Return the engine that has a run, if one has it.

    Raises:
        UnknownRunError: there is no such run.
        IllegalTransitionError: it has ended.
    """
    columns = (_runs.c.status, _runs.c.engine, _IS_TO_GO_ON.label("is_to_go_on"))
    query = select(*columns).where(_runs.c.id == run_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UnknownRunError(run_id)
    if RunStatus(row.status).is_final:
        raise IllegalTransitionError(f"run {run_id} has ended: it {row.status}")
    if row.status == RunStatus.PAUSED and not row.is_to_go_on:
        raise IllegalTransitionError(
            f"run {run_id} is paused", hint=f"let it go on with: cloacina runs resume {run_id}"
        )
    engine: str | None = row.engine
    return engine
