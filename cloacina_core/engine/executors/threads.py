"""Runs calls in threads of this process, and coroutines on one event loop."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

from cloacina_core.engine.call import AttemptKey, Outcome, TaskCall
from cloacina_core.engine.executors.interface import Report, Runner
from cloacina_core.engine.stop import Stop
from cloacina_core.model.run import Failure
from cloacina_core.model.status import AttemptOutcome


class _Running:
    """A call that runs, and whether it was asked to end, or given up."""

    __slots__ = ("call", "future", "stop")

    def __init__(self, call: TaskCall) -> None:
        self.call = call
        self.stop = Stop()
        self.future: asyncio.Task[Outcome] | None = None


class ThreadExecutor:
    """Runs each call in a thread of its own pool.

    The threads are daemons: one that hangs must not keep the process from ending.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._report: Report | None = None
        self._calls: SimpleQueue[_Running | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._running: dict[AttemptKey, _Running] = {}
        self._idle = 0
        self._lost = 0
        self._stopped = False
        self._loop = _LoopThread()

    def start(self, report: Report) -> None:
        """Begin to accept calls."""
        self._report = report

    def submit(self, call: TaskCall) -> None:
        """Run a call, and report its outcome when it ended."""
        running = _Running(call)
        with self._lock:
            self._running[call.key] = running
            needs_thread = self._idle == 0
            if not needs_thread:
                self._idle -= 1
        if needs_thread and not self._start_thread(running):
            return
        self._calls.put(running)

    def _start_thread(self, running: _Running) -> bool:
        """Start one more thread; without it, the call has failed."""
        thread = threading.Thread(target=self._work, name="cloacina-task", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the process has as many as it may have
            self._end(running, _not_run(running, f"no thread for the attempt: {error}"))
            return False
        return True

    def cancel(self, key: AttemptKey) -> None:
        """Ask a call to end."""
        with self._lock:
            running = self._running.get(key)
            if running is None:
                return
            running.stop.cancel()
            future = running.future
        if future is not None:
            self._loop.call(future.cancel)

    def abandon(self, key: AttemptKey) -> None:
        """Give up a call."""
        with self._lock:
            running = self._running.pop(key, None)
            if running is None:
                return
            self._lost += 1
            running.stop.abandon()
            future = running.future
        if future is not None:
            self._loop.call(future.cancel)

    @property
    def lost(self) -> int:
        """How many slots are taken by calls that were given up but still run."""
        return self._lost

    def stop(self) -> None:
        """Let go of the threads as they become idle."""
        with self._lock:
            self._stopped = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._calls.put(None)
        self._loop.stop()

    def _work(self) -> None:
        while (running := self._calls.get()) is not None:
            if self._runner.wants_loop(running.call):
                self._start_coroutine(running)
                is_wanted = self._become_idle()
            else:
                outcome = self._runner.run(running.call, running.stop)
                # Idle before the report, which may bring this thread's next call.
                is_wanted = self._become_idle()
                self._end(running, outcome)
            if not is_wanted:
                return

    def _become_idle(self) -> bool:
        """Offer this thread for the next call; False when the executor has stopped."""
        with self._lock:
            if not self._stopped:
                self._idle += 1
            return not self._stopped

    def _end(self, running: _Running, outcome: Outcome) -> None:
        with self._lock:
            if running.stop.abandoned():
                self._lost -= 1
            else:
                del self._running[running.call.key]
        if self._report is not None:
            self._report(outcome)

    def _start_coroutine(self, running: _Running) -> None:
        def begin() -> None:
            running.future = asyncio.ensure_future(
                self._runner.run_async(running.call, running.stop)
            )
            running.future.add_done_callback(end)
            if running.stop.cancelled():  # when there was no future to cancel
                running.future.cancel()

        def end(done: asyncio.Task[Outcome]) -> None:
            if done.cancelled():  # before its first step
                self._end(running, _not_run(running, "given up before it began"))
            else:
                self._end(running, done.result())

        self._loop.call(begin)


def _not_run(running: _Running, reason: str) -> Outcome:
    return Outcome(
        key=running.call.key,
        outcome=AttemptOutcome.FAILED,
        failure=Failure(type="not-run", message=reason),
        may_retry=True,
    )


class _LoopThread:
    """An event loop in a thread, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, soon; never, once it was stopped."""
        with self._lock:
            if self._stopped:
                return
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=_run_until_stopped,
                    args=(self._loop,),
                    name="cloacina-asyncio",
                    daemon=True,
                ).start()
            self._loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """Cancel the coroutines that still run, and end the loop; doesn't wait for that."""
        with self._lock:
            if self._loop is not None and not self._stopped:
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._stopped = True


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.run_until_complete(_cancel_others())
    loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
