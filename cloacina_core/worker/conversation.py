"""The engine's side of one attempt in a process: calls, answers, and doubts what it is told."""

import os
import select
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.capture import LogSink
from cloacina_core.engine.secrets import AttemptSecrets
from cloacina_core.engine.spilling import Spill
from cloacina_core.engine.stop import Stop
from cloacina_core.errors import CloacinaError, StoreUnavailableError
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, decode_strict
from cloacina_core.model.child import ChildResult
from cloacina_core.model.spilled import Encoded, Spilled, spilled_in
from cloacina_core.worker.failures import (
    CRASHED,
    PROTOCOL,
    WorkerFailedError,
    WorkerLostError,
    crash,
)
from cloacina_core.worker.frames import FrameError, FrameReader, frame_of
from cloacina_core.worker.messages import call_to_json, child_to_json, outcome_of_json
from cloacina_core.worker.pool.output import OutputReader
from cloacina_core.worker.pool.worker import Lines, Worker
from cloacina_core.worker.questions import SecretQuestions

ANSWERED_SECONDS = 10.0
"""How long a process may go on after it sent its outcome."""
KILLED_SECONDS = 30.0
"""How long it may take until nothing is left of a process that was killed."""
_LOOK_MILLISECONDS = 20.0
"""How often to look after a process whose end nothing tells of."""
_CHUNK = 262_144


class Conversation:
    """One attempt, from the start of its process until nothing of it is left."""

    def __init__(  # noqa: PLR0913 - all that it works with, by name
        self,
        call: TaskCall,
        attempt: str,
        *,
        sink: LogSink,
        most_bytes: int,
        spill: Spill | None,
        child: Callable[[RunId], ChildResult],
        secrets: AttemptSecrets,
        accept: Callable[[tuple[str, ...]], None],
        verify: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Prepare.

        Args:
            call: the attempt.
            attempt: the id that each message carries.
            sink: takes what the process prints and logs.
            most_bytes: how many bytes a message from the process may have.
            spill: where large values go.
            child: reads a run that the task asked for and that has ended.
            secrets: answers for secrets that the task asks for.
            accept: takes what the process is kept from; raises a `CloacinaError` when it won't do.
                No code of the release has run in it then.
            verify: takes what an import came to; raises a `WorkerFailedError` or `CloacinaError`
                when it won't do.
        """
        self._call = call
        self._attempt = attempt
        self._sink = sink
        self._reader = FrameReader(most_bytes)
        self._spill = spill
        self._child = child
        self._secrets = secrets
        self._questions = SecretQuestions(secrets, _told)
        self._accept = accept
        self._verify = verify
        self._imports_itself = False
        self._wake: Callable[[], object] = lambda: None  # nobody waits yet
        self._given: dict[Digest, Spilled] = spilled_in(call.context)
        self._spilled: dict[Digest, Encoded] = {}
        self._children = {one.run_id for wait in call.waits for one in wait.children}
        self._outgoing = bytearray()
        self._failed: WorkerFailedError | CloacinaError | None = None
        self._outcome: Outcome | None = None
        self._until: float | None = None
        """When the process is killed, or counts as one that can't be."""
        self._is_told = False
        self._is_killed = False
        self.enforced: tuple[str, ...] = ()
        """What the process is kept from."""

    def hold(self, worker: Worker, lines: Lines, stop: Stop) -> Outcome:
        """Serve the process of the attempt until nothing of it is left; return how it ended.

        Raises:
            WorkerFailedError: it has no outcome that could be used.
        """
        lines.connection.setblocking(False)
        outputs = [
            OutputReader(lines.output, "stdout", self._sink),
            OutputReader(lines.errors, "stderr", self._sink),
        ]
        self._imports_itself = worker.imports_itself
        self._wake = worker.waker.wake
        stop.listen(worker.waker.wake)
        status: int | None = None
        try:
            status = self._serve(worker, lines.connection, outputs, stop)
        except WorkerLostError as error:
            self._failed = error
        finally:
            stop.forget(worker.waker.wake)
            worker.waker.clear()
        self._receive(lines.connection)
        for output in outputs:
            output.drain()
        return self._ended(status, stop)

    def _serve(
        self, worker: Worker, connection: socket.socket, outputs: list[OutputReader], stop: Stop
    ) -> int:
        """Serve the process until nothing of it is left, and return how it ended."""
        poll = select.poll()
        ended = worker.ended()
        by_descriptor = {output.descriptor: output for output in outputs}
        for descriptor in (worker.waker.fileno(), ended, *by_descriptor):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        is_open = True
        while True:
            if is_open:
                sending = select.POLLOUT if self._outgoing else 0
                poll.register(connection, select.POLLIN | sending)
            for descriptor, event in poll.poll(self._patience(ended)):
                if descriptor == connection.fileno():
                    is_open = not event & ~select.POLLOUT or self._receive(connection)
                    self._send(connection)  # answers among it
                    if not is_open:
                        poll.unregister(connection)
                elif descriptor == worker.waker.fileno():
                    worker.waker.clear()
                    self._obey(stop)
                    self._answer_questions()
                elif descriptor in by_descriptor and not by_descriptor[descriptor].read():
                    poll.unregister(descriptor)
                elif descriptor == ended and (status := worker.status()) is not None:
                    return status
            self._kill_if_due(worker, stop)
            if ended is None and (status := worker.status()) is not None:
                return status

    def _patience(self, ended: int | None) -> float | None:
        """Return how many milliseconds to wait at most for anything to happen."""
        if ended is None:
            return _LOOK_MILLISECONDS
        return None if self._until is None else max(0.0, self._until - time.monotonic()) * 1000

    def _obey(self, stop: Stop) -> None:
        """Tell the task that it is asked to end."""
        if stop.cancelled() and not self._is_told:
            self._is_told = True
            self._outgoing += frame_of({"type": "cancel"})

    def _answer_questions(self) -> None:
        """Answer what the process asked for a while ago."""
        if (answer := self._questions.take()) is not None:
            self._outgoing += frame_of({"type": "answer", **answer})

    def _kill_if_due(self, worker: Worker, stop: Stop) -> None:
        """Kill the process when nobody waits for it, or it did what it must not."""
        is_overdue = self._until is not None and self._until <= time.monotonic()
        if self._is_killed:
            if is_overdue:
                raise WorkerLostError(CRASHED, "its process can't be killed")
        elif self._failed is not None or stop.abandoned() or is_overdue:
            self._is_killed = True
            self._until = time.monotonic() + KILLED_SECONDS
            worker.kill()

    def _confined(self, enforced: tuple[str, ...]) -> None:
        """Let the process go on, now that it is known what it is kept from."""
        self.enforced = enforced
        self._accept(enforced)
        if self._imports_itself:
            self._outgoing += frame_of({"type": "import"})
        else:
            self._send_call()

    def _send_call(self) -> None:
        self._outgoing += frame_of({"type": "call", "call": call_to_json(self._call)})

    def _send(self, connection: socket.socket) -> None:
        """Send what can be sent now."""
        try:
            if self._outgoing:
                del self._outgoing[: connection.send(self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:  # nobody reads any more: that it ended is told elsewhere
            self._outgoing.clear()

    def _receive(self, connection: socket.socket) -> bool:
        """Take what the process sent; False when nothing is to come, or nothing is believed."""
        while self._failed is None:
            try:
                data = connection.recv(_CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            try:
                for message in self._reader.feed(data):
                    self._take(message)
            except FrameError as error:
                self._failed = WorkerFailedError(PROTOCOL, str(error))
            except (WorkerFailedError, CloacinaError) as error:
                self._failed = error
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                self._failed = WorkerFailedError(
                    PROTOCOL, f"it sent a message that isn't one: {error!r:.500}"
                )
            if len(data) < _CHUNK:  # that was all
                return self._failed is None
        return False

    def _take(self, message: dict[str, Any]) -> None:
        """Do what a message says.

        Raises:
            FrameError: it isn't one of this attempt's; also LookupError, TypeError and ValueError.
            WorkerFailedError: the attempt has failed.
        """
        if message["attempt"] != self._attempt:
            raise FrameError(f"it answered for another attempt, {message['attempt']!r:.100}")
        if self._outcome is not None:
            raise FrameError("it sent something behind its outcome")
        match message["type"]:
            case "log":
                for line in message["lines"]:
                    self._sink.line(_text(message["stream"]), _text(line))
            case "confined":
                self._confined(tuple(map(_text, message["enforced"])))
            case "imported":
                self._verify(message["workflows"])
                self._send_call()
            case "secret":
                self._questions.ask(_text(message["name"]), self._wake)
            case "get" | "put" | "child" as what:
                self._outgoing += frame_of({"type": "answer", **self._answer(what, message)})
            case "outcome":
                self._outcome = outcome_of_json(message, self._call, self._spilled.__getitem__)
                self._until = time.monotonic() + ANSWERED_SECONDS
            case other:
                raise FrameError(f"it sent a message of an unknown type, {other!r:.100}")

    def _answer(self, what: str, message: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Return what the process asked for, or why it can't be had."""
        try:
            if what == "get":
                given = self._given[message["digest"]]
                return {"text": given.load(given.digest).decode()}
            if what == "put":
                return {"digest": self._put(_text(message["text"]))}
            if message["run_id"] not in self._children:
                raise FrameError("it asked for a run that isn't its own")
            return {"child": child_to_json(self._child(RunId(message["run_id"])))}
        except CloacinaError as error:
            return _told(error)

    def _put(self, text: str) -> Digest:
        """Store a value, and return its digest."""
        data = text.encode()
        if self._spill is None or len(data) > self._spill.max_spilled_bytes:
            raise FrameError(f"it sent a value of {len(data)} bytes, which is too long")
        decode_strict(text)
        where = f"task {self._call.name} of run {self._call.run_id}"
        self._secrets.refuse_changes({"of a large value": text})
        spilled = self._spill.keep(text, data, where)
        self._spilled[spilled.digest] = spilled
        return spilled.digest

    def _ended(self, status: int | None, stop: Stop) -> Outcome:
        if self._failed is not None:
            raise self._failed
        if self._outcome is not None:
            return self._outcome
        if stop.abandoned() or status is None:
            raise WorkerFailedError(CRASHED, "its process was killed: nobody waits for it any more")
        if self._reader.is_amid and os.WIFEXITED(status):
            raise WorkerFailedError(PROTOCOL, "it sent half a frame")
        raise crash(status)


def _told(error: CloacinaError) -> dict[str, JsonValue]:
    """Return an error as an answer. The other side knows the kinds that it tells apart."""
    may_retry = isinstance(error, StoreUnavailableError)
    code = StoreUnavailableError.code if may_retry else error.code
    return {"error": {"message": error.message, "code": code}}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} isn't a text")
    return value
