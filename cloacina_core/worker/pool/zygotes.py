"""Zygotes, as the engine knows them."""

import os
import select
import time
from collections.abc import Mapping
from typing import Any

from cloacina_core.engine.call import LogEntry
from cloacina_core.engine.capture import LogSink
from cloacina_core.foundation.clock import Clock
from cloacina_core.model.isolation import WorkerEnvironment
from cloacina_core.worker.failures import (
    IMPORT_FAILED,
    PROTOCOL,
    WorkerFailedError,
    how_it_ended,
)
from cloacina_core.worker.frames import MAX_CONTROL_BYTES, FrameError, FrameReader
from cloacina_core.worker.pool.family import Family, Member
from cloacina_core.worker.pool.output import OutputReader
from cloacina_core.worker.pool.worker import KeptWorker

_CHUNK = 65_536


class Zygote:
    """Processes for the attempts of one environment, whose code was imported once."""

    def __init__(
        self,
        environment: WorkerEnvironment,
        family: Family,
        member: Member | None,
        told: Mapping[str, Any],
        logs: tuple[LogEntry, ...],
    ) -> None:
        """Take over what a start came to.

        Args:
            environment: whose code it is.
            family: forks the keepers: the zygote, or the supervisor when there is none.
            member: the process; None when importing the code left threads, which no fork survives.
            told: what came of each import.
            logs: what the imports printed.
        """
        self.told = told
        self._environment = environment
        self._family = family
        self._member = member
        self._logs = logs
        self._idle: list[tuple[KeptWorker, float]] = []
        self._lent: set[KeptWorker] = set()

    @property
    def is_alive(self) -> bool:
        """Whether it can still be forked."""
        return self._member is None or not self._member.has_ended()

    @property
    def is_idle(self) -> bool:
        """Whether no attempt runs in it."""
        return not self._lent

    def take(self) -> KeptWorker:
        """Return a worker for one attempt.

        Raises:
            WorkerFailedError: there is none to be had.
        """
        while self._idle:
            worker, _ = self._idle.pop()
            if worker.is_alive:
                break
            worker.close()
        else:
            worker = self._new()
        self._lent.add(worker)
        return worker

    def give_back(self, worker: KeptWorker, *, is_usable: bool) -> None:
        """Take a worker back when its attempt has ended."""
        self._lent.discard(worker)
        if is_usable:
            self._idle.append((worker, time.monotonic()))
        else:
            worker.kill_keeper()
            worker.close()

    def take_logs(self) -> tuple[LogEntry, ...]:
        """Return what the imports printed, once."""
        logs, self._logs = self._logs, ()
        return logs

    def end_idle(self, seconds: float) -> None:
        """Let workers end that had nothing to do for so long."""
        before = time.monotonic() - seconds
        for worker, since in self._idle:
            if since <= before:
                worker.close()
        self._idle = [(worker, since) for worker, since in self._idle if since > before]

    def close(self) -> None:
        """End all of its processes."""
        self.end_idle(0)
        for worker in self._lent:
            worker.kill_keeper()
        if self._member is not None:
            self._member.kill()
            self._family.close()
            self._member.close()

    def _new(self) -> KeptWorker:
        if self._member is not None:
            return KeptWorker(self._family.fork({"type": "keeper"}), imports_itself=False)
        member = self._family.fork({"type": "keeper", **code_of(self._environment)})
        return KeptWorker(member, imports_itself=True)


def code_of(environment: WorkerEnvironment) -> dict[str, Any]:
    """Return where the code of an environment is, for a message."""
    return {
        "folders": [str(folder) for folder in environment.folders],
        "entry_points": dict(environment.entry_points),
    }


def start_zygote(
    environment: WorkerEnvironment,
    supervisor: Family,
    *,
    clock: Clock,
    temporary: str,
    seconds: float,
) -> Zygote:
    """Have a zygote import the code of an environment, and return it when it has.

    Args:
        environment: the environment.
        supervisor: forks the zygote.
        clock: tells when lines were printed.
        temporary: the folder that it has for temporary files.
        seconds: how long the import may take.

    Raises:
        WorkerFailedError: the process can't be started, or didn't survive the import.
    """
    read, write = os.pipe()
    sink = LogSink(clock)
    output = OutputReader(read, "stdout", sink)
    try:
        member = supervisor.fork(
            {"type": "zygote", "temporary": temporary, **code_of(environment)}, [write]
        )
    except WorkerFailedError:
        output.close()
        raise
    finally:
        os.close(write)
    try:
        ready = _Start(member, output, time.monotonic() + seconds).wait()
    except WorkerFailedError as error:
        member.kill()
        member.close()
        error.logs = sink.close()
        raise
    finally:
        output.close()
    if ready.get("threads") == 1:
        family = Family(member.control)
        return Zygote(environment, family, member, ready["workflows"], sink.close())
    member.close()
    return Zygote(environment, supervisor, None, ready["workflows"], sink.close())


class _Start:
    """The wait for an import."""

    def __init__(self, member: Member, output: OutputReader, until: float) -> None:
        self._member = member
        self._output = output
        self._until = until
        self._reader = FrameReader(MAX_CONTROL_BYTES)

    def wait(self) -> Mapping[str, Any]:
        """Return what the zygote tells when it is ready.

        Raises:
            WorkerFailedError: it ended, or it takes too long.
        """
        try:
            return self._wait()
        finally:
            self._output.drain()

    def _wait(self) -> Mapping[str, Any]:
        poll = select.poll()
        for descriptor in (self._member.control, self._member.report, self._output.descriptor):
            poll.register(descriptor, select.POLLIN)
        while (left := self._until - time.monotonic()) > 0:
            ready = dict(poll.poll(left * 1000))
            if self._output.descriptor in ready and not self._output.read():
                poll.unregister(self._output.descriptor)
            if self._member.control.fileno() in ready:
                if (message := self._message()) is not None:
                    return message
            elif self._member.report in ready:
                raise self._ended()
        raise WorkerFailedError(IMPORT_FAILED, "importing its code took too long")

    def _message(self) -> Mapping[str, Any] | None:
        """Return the message, once it has come as a whole."""
        data = self._member.control.recv(_CHUNK)
        if not data:
            raise self._ended()
        try:
            message = next(iter(self._reader.feed(data)), None)
        except FrameError as error:
            raise WorkerFailedError(PROTOCOL, f"while its code was imported: {error}") from None
        if message is not None and not isinstance(message.get("workflows"), dict):
            raise WorkerFailedError(PROTOCOL, "while its code was imported: it sent something else")
        return message

    def _ended(self) -> WorkerFailedError:
        status = self._member.status()
        how = "was lost" if status is None else how_it_ended(status)
        return WorkerFailedError(IMPORT_FAILED, f"its code was being imported: its process {how}")
