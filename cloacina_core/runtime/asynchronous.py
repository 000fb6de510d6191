"""A thin adapter for asyncio: the same runtime, awaited."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cloacina_core.errors import ResultTimeoutError
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.access import Principal
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.event import RunEvent
from cloacina_core.model.explanation import Explanation
from cloacina_core.model.limit import LimitUse
from cloacina_core.model.run import LogLine, RunResult, RunSummary
from cloacina_core.model.status import RunStatus
from cloacina_core.runtime.asynchronous_events import AsyncSentEvents, AsyncSubscriptions
from cloacina_core.runtime.asynchronous_schedules import AsyncSchedules
from cloacina_core.runtime.asynchronous_secrets import AsyncSecrets
from cloacina_core.runtime.asynchronous_triggers import AsyncTriggers
from cloacina_core.runtime.handle import RunHandle
from cloacina_core.runtime.runtime import Runtime
from cloacina_core.runtime.wanted import What
from cloacina_core.store.reading import RunFilter


class AsyncRunHandle:
    """A run, by its id."""

    def __init__(self, handle: RunHandle) -> None:
        self._handle = handle

    @property
    def id(self) -> RunId:
        """The id of the run."""
        return self._handle.id

    async def status(self) -> RunStatus:
        """Return where the run stands."""
        return await asyncio.to_thread(self._handle.status)

    async def cancel(self, *, reason: str | None = None) -> None:
        """Ask for the end of the run, see `Runtime.cancel`."""
        await asyncio.to_thread(self._handle.cancel, reason=reason)

    async def pause(self, *, reason: str | None = None) -> None:
        """Start nothing new, see `Runtime.pause`."""
        await asyncio.to_thread(self._handle.pause, reason=reason)

    async def signal(self, name: str, payload: JsonValue = None) -> None:
        """Send the run a signal, see `Runtime.signal`."""
        await asyncio.to_thread(self._handle.signal, name, payload)

    async def result(self, timeout: float | None = None) -> RunResult:  # noqa: ASYNC109 - as `RunHandle.result`
        """Wait until the run has ended, and return it; other coroutines go on meanwhile.

        Raises:
            ResultTimeoutError: it hasn't ended after `timeout` seconds; it goes on.
        """
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        if self._handle.on_end(wake):
            try:
                await asyncio.wait_for(ended.wait(), timeout)
            except TimeoutError:
                raise ResultTimeoutError(self.id, timeout or 0) from None
        return await asyncio.to_thread(self._handle.result, timeout)


class AsyncRuntime:
    """Wraps a `Runtime`; use it as an async context manager."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.schedules = AsyncSchedules(runtime.schedules)
        """What is to be started when."""
        self.secrets = AsyncSecrets(runtime.secrets)
        """What tasks ask for by name."""
        self.sent_events = AsyncSentEvents(runtime.sent_events)
        """What happened elsewhere."""
        self.subscriptions = AsyncSubscriptions(runtime.subscriptions)
        """What is to be started for that."""
        self.triggers = AsyncTriggers(runtime.triggers)
        """What is polled, to see what is to be started."""

    @classmethod
    async def open(
        cls, url: str | None = None, home: str | Path | None = None, **options: Any
    ) -> "AsyncRuntime":
        """Open a runtime; arguments are those of `Runtime.open`."""
        return cls(await asyncio.to_thread(Runtime.open, url, home, **options))

    @property
    def runtime(self) -> Runtime:
        """The runtime that does the work."""
        return self._runtime

    def acting_as(self, who: Principal | str) -> "AsyncRuntime":
        """Return this runtime as somebody sees it, see `Runtime.acting_as`."""
        return AsyncRuntime(self._runtime.acting_as(who))

    async def submit(
        self, what: What, params: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncRunHandle:
        """Accept a run; arguments are those of `Runtime.submit`."""
        handle = await asyncio.to_thread(self._runtime.submit, what, params, **options)
        return AsyncRunHandle(handle)

    async def submit_many(
        self, what: What, params: Iterable[Mapping[str, Any] | None], **options: Any
    ) -> Sequence[AsyncRunHandle]:
        """Accept several runs; arguments are those of `Runtime.submit_many`."""
        handles = await asyncio.to_thread(self._runtime.submit_many, what, params, **options)
        return [AsyncRunHandle(handle) for handle in handles]

    async def run(
        self,
        what: What,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as `Runtime.run`
        **options: Any,
    ) -> RunResult:
        """Submit a run and wait for its end; arguments are those of `Runtime.run`."""
        return await (await self.submit(what, params, **options)).result(timeout)

    async def attach(self, run_id: str) -> AsyncRunHandle:
        """Return a handle on a run, see `Runtime.attach`."""
        return AsyncRunHandle(await asyncio.to_thread(self._runtime.attach, run_id))

    async def resume(self, run_id: str) -> AsyncRunHandle:
        """Go on with a run, see `Runtime.resume`."""
        return AsyncRunHandle(await asyncio.to_thread(self._runtime.resume, run_id))

    async def unpause(self, run_id: str, *, reason: str | None = None) -> None:
        """Let a paused run go on anywhere, see `Runtime.unpause`."""
        await asyncio.to_thread(self._runtime.unpause, run_id, reason=reason)

    async def cancel(self, run_id: str, *, reason: str | None = None) -> None:
        """Ask for the end of a run, see `Runtime.cancel`."""
        await asyncio.to_thread(self._runtime.cancel, run_id, reason=reason)

    async def pause(self, run_id: str, *, reason: str | None = None) -> None:
        """Start nothing new of a run, see `Runtime.pause`."""
        await asyncio.to_thread(self._runtime.pause, run_id, reason=reason)

    async def signal(self, run_id: str, name: str, payload: JsonValue = None) -> None:
        """Send a signal to a run, see `Runtime.signal`."""
        await asyncio.to_thread(self._runtime.signal, run_id, name, payload)

    async def retry(self, run_id: str, **options: Any) -> AsyncRunHandle:
        """Go on with a run that failed; arguments are those of `Runtime.retry`."""
        return AsyncRunHandle(await asyncio.to_thread(self._runtime.retry, run_id, **options))

    async def rerun(self, run_id: str, **options: Any) -> AsyncRunHandle:
        """Start a run again as it was; arguments are those of `Runtime.rerun`."""
        return AsyncRunHandle(await asyncio.to_thread(self._runtime.rerun, run_id, **options))

    async def fork(self, run_id: str, task: str, **options: Any) -> AsyncRunHandle:
        """Start a run again from a task on; arguments are those of `Runtime.fork`."""
        return AsyncRunHandle(await asyncio.to_thread(self._runtime.fork, run_id, task, **options))

    async def get(self, run_id: str) -> RunResult:
        """Return a run as it stands, see `Runtime.get`."""
        return await asyncio.to_thread(self._runtime.get, run_id)

    async def list(self, wanted: RunFilter | None = None, **options: Any) -> Sequence[RunSummary]:
        """Return runs, newest first; arguments are those of `Runtime.list`."""
        return await asyncio.to_thread(self._runtime.list, wanted, **options)

    async def events(self, run_id: str, **options: Any) -> Sequence[RunEvent]:
        """Return the history of a run; arguments are those of `Runtime.events`."""
        return await asyncio.to_thread(self._runtime.events, run_id, **options)

    async def logs(self, run_id: str, *, task: str | None = None) -> Sequence[LogLine]:
        """Return what the tasks of a run printed and logged, see `Runtime.logs`."""
        return await asyncio.to_thread(self._runtime.logs, run_id, task=task)

    async def follow_logs(self, run_id: str, *, task: str | None = None) -> AsyncIterator[LogLine]:
        """Yield what the tasks of a run say until it has ended, see `Runtime.follow_logs`."""
        lines = await asyncio.to_thread(self._runtime.follow_logs, run_id, task=task)
        try:
            while (line := await asyncio.to_thread(next, lines, None)) is not None:
                yield line
        finally:
            await asyncio.to_thread(lines.close)

    async def explain(self, run_id: str) -> Explanation:
        """Return why a run isn't further, see `Runtime.explain`."""
        return await asyncio.to_thread(self._runtime.explain, run_id)

    async def set_limit(self, name: str, size: int | None = None, **options: Any) -> None:
        """Limit the tasks that name it; arguments are those of `Runtime.set_limit`."""
        await asyncio.to_thread(self._runtime.set_limit, name, size, **options)

    async def remove_limit(self, name: str) -> None:
        """Let all tasks through that name a limit, see `Runtime.remove_limit`."""
        await asyncio.to_thread(self._runtime.remove_limit, name)

    async def limits(self) -> Sequence[LimitUse]:
        """Return the limits that are set, see `Runtime.limits`."""
        return await asyncio.to_thread(self._runtime.limits)

    async def definition(self, reference: str, source: str | None = None) -> WorkflowDefinition:
        """Return what a reference means now, see `Runtime.definition`."""
        return await asyncio.to_thread(self._runtime.definition, reference, source)

    async def definition_of(self, run_id: str) -> WorkflowDefinition:
        """Return what a run began with, see `Runtime.definition_of`."""
        return await asyncio.to_thread(self._runtime.definition_of, run_id)

    async def is_idle(self) -> bool:
        """Whether there is nothing to do, see `Runtime.is_idle`."""
        return await asyncio.to_thread(self._runtime.is_idle)

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - as `Runtime.drain`
        """Start nothing more and wait for what runs, see `Runtime.drain`."""
        return await asyncio.to_thread(self._runtime.drain, timeout)

    async def close(self) -> None:
        """Give live runs back and stop."""
        await asyncio.to_thread(self._runtime.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        await self.close()
