"""Which engine works on which run: registration, leases, and taking runs from the dead.

A run belongs to the engine in its row. An engine is alive until `stopped_at` is set, which only
happens together with giving up its runs; from then on nothing it writes is accepted.

The lease has a row of its own: to renew it must not wait for a write of the same engine, which
keeps the engine's row until it is committed.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from cloacina_core.errors import (
    IllegalTransitionError,
    RunOwnedElsewhereError,
    StoreUnavailableError,
    TenantSuspendedError,
    UnknownRunError,
)
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.command import CommandKind
from cloacina_core.model.engine import EngineState, EngineSummary
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.store import schema
from cloacina_core.store.admission import give_back_all
from cloacina_core.store.database import Database
from cloacina_core.store.tenancy import is_on_hold
from cloacina_core.store.turns import Turns
from cloacina_core.store.watching import announce

KEPT = timedelta(days=7)
"""How long an engine that ended is remembered."""

_engines, _leases, _runs, _tasks = schema.engines, schema.leases, schema.runs, schema.tasks
_attempts, _commands = schema.attempts, schema.commands
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
WAITING = (schema.LIVE, _runs.c.engine.is_(None), _IS_TO_GO_ON)
"""What is true of runs that any engine may take."""

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
        if self.host != _host():
            return False
        try:
            return _process_start(self.pid) != self.started
        except PermissionError:
            return False


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
    """Return when a process began, or None when there is none of this number (or a zombie).

    Raises:
        PermissionError: it is another user's, and hidden: see `hidepid` in proc(5).
    """
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            _refuse_hidden(pid)
            return None
        state, *fields = stat.rpartition(")")[2].split()  # the name before may hold anything
        return None if state in "ZX" else fields[_START_FIELD]
    import psutil  # noqa: PLC0415 - needed, and installed, only where there is no /proc

    try:
        return repr(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied as error:
        raise PermissionError(str(error)) from error


def _refuse_hidden(pid: int) -> None:
    """Raise PermissionError when there is a process that isn't shown."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return
    raise PermissionError(f"process {pid} isn't shown in /proc")


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is."""

    slots: int = 0
    """How many tasks it runs at a time."""
    used: int = 0
    """How many it runs now."""
    lost: int = 0
    """How many slots are taken by attempts that were given up and still run."""


class Ownership:
    """Registers engines and hands runs between them."""

    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease_micros = int(lease.total_seconds() * _MICROS)

    def register(self, engine: EngineId, version: str) -> None:
        """Make an engine known, with a lease that begins now; forget those that ended long ago."""
        me = ProcessIdentity.of_this_process()
        with self._database.begin(is_urgent=True) as connection:
            now = self._database.now_micros(connection)
            connection.execute(
                insert(_engines).values(
                    id=engine,
                    host=me.host,
                    pid=me.pid,
                    process_started=me.started,
                    version=version,
                    started_at=now,
                )
            )
            connection.execute(
                insert(_leases).values(engine=engine, until=now + self._lease_micros)
            )
            _forget_ended(connection, before=now - int(KEPT.total_seconds() * _MICROS))

    def renew(self, engine: EngineId, load: Load | None = None) -> bool:
        """Begin an engine's lease anew, and tell its load; False when it was declared dead."""
        load = load or Load()
        with self._database.begin(is_urgent=True) as connection:
            now = self._database.now_micros(connection)
            is_alive = exists().where(_engines.c.id == engine, _engines.c.stopped_at.is_(None))
            result = connection.execute(
                update(_leases)
                .where(_leases.c.engine == engine, is_alive)
                .values(
                    until=now + self._lease_micros,
                    slots=load.slots,
                    slots_used=load.used,
                    slots_lost=load.lost,
                )
            )
            return result.rowcount == 1

    def stop(self, engine: EngineId) -> None:
        """End an engine in good order; the runs it still has can be claimed at once."""
        with self._database.begin() as connection:
            _lock(connection, engine)
            self._end(connection, engine)

    def dead(self, engine: EngineId) -> list[EngineId]:
        """Return engines that are dead and weren't declared so, as an engine sees it."""
        with self._database.read() as connection:
            rows = connection.execute(_WITH_LEASE.where(_engines.c.stopped_at.is_(None))).all()
            now = self._database.now_micros(connection)
            return [
                EngineId(row.id) for row in rows if row.id != engine and not _is_alive(row, now)
            ]

    def engines(self, *, with_stopped: bool = False, limit: int = 1000) -> list[EngineSummary]:
        """Return engines, newest first; those that stopped only when they are asked for."""
        query = _WITH_LEASE.order_by(_engines.c.id.desc()).limit(limit)
        if not with_stopped:
            query = query.where(_engines.c.stopped_at.is_(None))
        count = select(_runs.c.engine, func.count()).where(schema.LIVE, _runs.c.engine.is_not(None))
        with self._database.read() as connection:
            now = self._database.now_micros(connection)
            counted = connection.execute(count.group_by(_runs.c.engine)).all()
            runs: dict[str, int] = {row[0]: row[1] for row in counted}
            rows = connection.execute(query).all()
            return [_summary(row, now, runs.get(row.id, 0)) for row in rows]

    def bury(self, engine: EngineId) -> bool:
        """Declare an engine dead and free its runs, unless it lives after all."""
        with self._database.begin() as connection:
            return self._bury_if_dead(connection, engine)

    def claim(self, run_id: RunId, engine: EngineId) -> None:
        """Take a run that nobody alive works on.

        Raises:
            UnknownRunError: there is none with this id.
            IllegalTransitionError: it has ended, or is paused and wasn't asked to go on or to end,
                or it isn't its turn: only so many runs like it may be live.
            RunOwnedElsewhereError: a live engine works on it.
            StoreUnavailableError: the engine that asks was declared dead.
            TenantSuspendedError: nothing new of the tenant may start.
        """
        with self._database.read() as connection:
            owner = _owner(connection, run_id)
            if is_on_hold(self._database, connection):
                raise TenantSuspendedError
        if owner is not None and not self.bury(EngineId(owner)):
            raise RunOwnedElsewhereError(run_id, owner)
        with self._database.begin() as connection:
            # Engines are locked before their runs, here as in every transaction that writes: two
            # that take them in different orders would wait for each other.
            if not hold(connection, engine):
                raise StoreUnavailableError(f"engine {engine} lost its lease", hint="try again")
            if not self._is_its_turn(connection, run_id):
                raise IllegalTransitionError(
                    f"run {run_id} waits: only so many runs like it may be live at a time",
                    hint=f"see for which with: cloacina runs explain {run_id}",
                )
            if (faster := _owner(connection, run_id, lock=True)) is not None:
                raise RunOwnedElsewhereError(run_id, faster)
            connection.execute(update(_runs).where(_runs.c.id == run_id).values(engine=engine))

    def _is_its_turn(self, connection: Connection, run_id: RunId) -> bool:
        is_limited = or_(_runs.c.limited_as.is_not(None), _runs.c.concurrency_key.is_not(None))
        limited = select(_runs.c.id).where(_runs.c.id == run_id, is_limited)
        if connection.execute(limited).first() is None:
            return True
        return bool(Turns(self._database, connection).take([run_id]))

    def owned(self, engine: EngineId) -> set[RunId]:
        """Return the unfinished runs that are an engine's."""
        query = select(_runs.c.id).where(schema.LIVE, _runs.c.engine == engine)
        with self._database.read() as connection:
            return {RunId(run_id) for run_id in connection.execute(query).scalars()}

    def claim_all(self, runs: Collection[RunId], engine: EngineId) -> list[RunId]:
        """Take those of some runs that nobody works on."""
        with self._database.begin() as connection:
            if not hold(connection, engine):
                return []
            query = select(_runs.c.id).where(*WAITING, _runs.c.id.in_(runs))
            free = connection.execute(query.order_by(_runs.c.id).with_for_update(skip_locked=True))
            taken = [RunId(run_id) for run_id in free.scalars()]
            taken = [run_id for run_id in taken if self._is_its_turn(connection, run_id)]
            connection.execute(update(_runs).where(_runs.c.id.in_(taken)).values(engine=engine))
            return taken

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
            query = select(_runs.c.id).where(*WAITING)
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
            announce(connection)

    def _bury_if_dead(self, connection: Connection, engine: str) -> bool:
        """Declare an engine dead if it is, and free its runs; return whether it is."""
        if self._is_alive(connection, engine):  # no lock is needed to see that
            return False
        _lock(connection, engine)
        if self._is_alive(connection, engine):
            return False
        self._end(connection, EngineId(engine), died=True)
        return True

    def _is_alive(self, connection: Connection, engine: str) -> bool:
        row = connection.execute(_WITH_LEASE.where(_engines.c.id == engine)).one_or_none()
        return row is not None and _is_alive(row, self._database.now_micros(connection))

    def _end(self, connection: Connection, engine: EngineId, *, died: bool = False) -> None:
        now = self._database.now_micros(connection)
        ended = connection.execute(
            update(_engines)
            .where(_engines.c.id == engine, _engines.c.stopped_at.is_(None))
            .values(stopped_at=now)
        )
        owned = (_runs.c.engine == engine, schema.LIVE)
        if died and ended.rowcount:
            self._count_death(connection, engine, owned)
        freed = connection.execute(update(_runs).where(*owned).values(engine=None))
        if self._database.is_tenant:
            give_back_all(connection, engine)
        if freed.rowcount:
            announce(connection)

    def _count_death(
        self, connection: Connection, engine: EngineId, owned: tuple[Any, ...]
    ) -> None:
        """Count an engine's death at the runs that may have been its cause.

        They are those of which it had begun an attempt. Had it begun none, it died of taking runs
        up whose former engine is gone, too.
        """
        at_work = exists().where(
            _tasks.c.run_id == _runs.c.id,
            _tasks.c.status == _RUNNING,
            _tasks.c.instances.is_(None),  # a mapped task runs while all its instances sleep
        )
        begun_here = at_work.where(
            _attempts.c.run_id == _tasks.c.run_id,
            _attempts.c.task == _tasks.c.name,
            _attempts.c.number == _tasks.c.attempts,
            _attempts.c.engine == engine,
        )
        count = update(_runs).values(engine_deaths=_runs.c.engine_deaths + 1)
        if not connection.execute(count.where(*owned, begun_here)).rowcount:
            connection.execute(count.where(*owned, at_work))


_WITH_LEASE = select(
    _engines, _leases.c.until, _leases.c.slots, _leases.c.slots_used, _leases.c.slots_lost
).join(_leases, _leases.c.engine == _engines.c.id)


def _is_alive(row: Row[Any], now: int) -> bool:
    """Whether an engine works, by its row, and by its process where that can be seen."""
    if row.stopped_at is not None or row.until < now:
        return False
    return not ProcessIdentity(row.host, row.pid, row.process_started).is_gone()


def _summary(row: Row[Any], now: int, live_runs: int) -> EngineSummary:
    state = EngineState.ALIVE if _is_alive(row, now) else EngineState.STALE
    is_stopped = row.stopped_at is not None
    return EngineSummary(
        engine_id=EngineId(row.id),
        state=EngineState.STOPPED if is_stopped else state,
        host=row.host,
        pid=row.pid,
        version=row.version,
        started_at=from_micros(row.started_at),
        lease_until=from_micros(row.until),
        stopped_at=from_micros(row.stopped_at) if is_stopped else None,
        live_runs=live_runs,
        slots=row.slots,
        slots_used=row.slots_used,
        slots_lost=row.slots_lost,
    )


def _lock(connection: Connection, engine: str) -> None:
    """Wait for all transactions that `hold` an engine: it may be taking runs in them."""
    connection.execute(select(_engines.c.id).where(_engines.c.id == engine).with_for_update())


def hold(connection: Connection, engine: EngineId) -> bool:
    """Keep others from declaring an engine dead in this transaction; False when it is by now."""
    query = select(_engines.c.id).where(_engines.c.id == engine, _engines.c.stopped_at.is_(None))
    # A weak lock: the engine's own writes, which change the row, needn't wait for it.
    found = connection.execute(query.with_for_update(read=True, key_share=True))
    return found.first() is not None


def _forget_ended(connection: Connection, before: int) -> None:
    """Delete engines that ended so long ago, and have no unfinished run."""
    has_runs = exists().where(schema.LIVE, _runs.c.engine == _engines.c.id)
    old = select(_engines.c.id).where(_engines.c.stopped_at < before, ~has_runs)
    forgotten = connection.execute(old).scalars().all()
    if forgotten:
        connection.execute(delete(_leases).where(_leases.c.engine.in_(forgotten)))
        connection.execute(delete(_engines).where(_engines.c.id.in_(forgotten)))


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
