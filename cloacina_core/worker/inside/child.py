"""The process of one attempt, from its fork to its answer.

In order:

1. It is killed when its keeper ends, and has a session and a process group of its own.
2. Standard input is empty, standard output and error are pipes to the engine.
3. The environment is what the engine allowed, with the attempt's own folder for temporary files.
4. It is confined. No code of the release has run in it before.
5. It takes the call, runs the task, sends the outcome, and exits at once: nothing that the task
   registered to be called at exit is, and no thread that it left is waited for.
"""

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloacina_core.engine.attempt import AttemptRunner
from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.library import MissingCodeError, TaskCode
from cloacina_core.engine.spilling import Spill
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.worker.channel import Channel
from cloacina_core.worker.confinement import Limits, confine
from cloacina_core.worker.frames import MAX_BYTES
from cloacina_core.worker.inside.engine_link import EngineLink
from cloacina_core.worker.inside.importing import Imported, import_all, reseed
from cloacina_core.worker.inside.streams import flush, speak_to
from cloacina_core.worker.messages import call_of_json, outcome_to_json
from cloacina_core.worker.processes import die_with_parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Where the code of workflows is, for a process that imports it by itself."""

    folders: list[str]
    entry_points: Mapping[str, str]


def live_as_attempt(
    message: Mapping[str, Any], descriptors: list[int], code: Imported | Code
) -> None:
    """Run the attempt that a keeper was asked for; doesn't return.

    Args:
        message: what the keeper was sent.
        descriptors: of the socket to the engine, and of the pipes for output and errors.
        code: the workflows, or where they are to be imported from.
    """
    die_with_parent(os.getppid())
    os.setsid()
    connection, output, errors = descriptors
    speak_to(output, errors)
    run_attempt(message, socket.socket(fileno=connection), code)


def run_attempt(
    message: Mapping[str, Any], connection: socket.socket, code: Imported | Code
) -> None:
    """Run an attempt in a process that is its own, and exit."""
    folder = message["folder"]
    os.umask(0o077)
    os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = folder
    reseed()
    enforced = confine(
        Limits(**message["limits"]),
        writable=[folder],
        readable=message["readable"],
        capabilities=_capabilities(message["capabilities"]),
    )
    link = EngineLink(Channel(connection, MAX_BYTES), message["attempt"])
    link.send({"type": "confined", "enforced": enforced})
    imported = _imported(code, message["workflow"], link)
    call = call_of_json(link.next_message()["call"], link.get)
    outcome = _run(call, imported, link, _spill(message, link))
    flush()
    link.send({"type": "outcome", **outcome_to_json(outcome)})
    flush()
    os._exit(0)


def _spill(message: Mapping[str, Any], link: EngineLink) -> Spill | None:
    told = message["spill"]
    return None if told is None else Spill(link, **told)


def _capabilities(told: list[str] | None) -> frozenset[str] | None:
    return None if told is None else frozenset(told)


def _imported(code: Imported | Code, workflow: str, link: EngineLink) -> Imported:
    """Return the workflows; when they are imported only now, what came of it is told."""
    if isinstance(code, Imported):
        return code
    link.next_message()  # the engine accepts what this process is kept from
    imported = import_all(code.folders, {workflow: code.entry_points[workflow]})
    flush()
    link.send({"type": "imported", "workflows": imported.told})
    return imported


def _run(call: TaskCall, imported: Imported, link: EngineLink, spill: Spill | None) -> Outcome:
    def find(call: TaskCall) -> TaskCode:
        workflow = imported.workflows[call.workflow].holding(call.task)
        if workflow is None:
            raise MissingCodeError(f"{call.workflow} has no task {call.task!r} any more")
        return TaskCode(workflow, call.task, str)

    logging.getLogger().addHandler(_handler(link))
    runner = AttemptRunner(find, SystemClock(), spill=spill, child=link.child, secrets=link.secret)
    if runner.wants_loop(call):
        return asyncio.run(_run_on_loop(runner, call, link))
    return runner.run(call, link.stop)


async def _run_on_loop(runner: AttemptRunner, call: TaskCall, link: EngineLink) -> Outcome:
    """Run a coroutine, which is cancelled when the engine says so."""
    future = asyncio.ensure_future(runner.run_async(call, link.stop))
    loop = asyncio.get_running_loop()
    link.stop.listen(lambda: loop.call_soon_threadsafe(future.cancel))

    def look() -> None:
        if link.stop.cancelled():
            loop.remove_reader(link.fileno())

    loop.add_reader(link.fileno(), look)
    return await future


class _Handler(logging.Handler):
    """Sends log records to the engine as they come."""

    def __init__(self, link: EngineLink) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines = self.format(record).splitlines()
            self._link.send({"type": "log", "stream": record.levelname.lower(), "lines": lines})
        except Exception:  # noqa: BLE001 - logging never raises what a wrong call of it causes
            self.handleError(record)


def _handler(link: EngineLink) -> _Handler:
    handler = _Handler(link)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    return handler
