"""Obeys what is asked of live runs: to end or pause, take a signal or event, note a late result."""

import json
from collections.abc import Callable
from datetime import timedelta

from cloacina_core.engine import planner
from cloacina_core.engine.journal import Journal
from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.timers import Timer, TimerKind, Timers
from cloacina_core.model.command import Command, CommandKind
from cloacina_core.model.event import EventType
from cloacina_core.model.status import RunStatus, TaskStatus


class Control:
    """What an engine does when it is asked. Used by its thread alone.

    A command is obeyed in the transaction that marks it as handled. A cancel is marked when the run
    has ended: should this engine die before, the next one finds it, and ends the run.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        timers: Timers,
        grace: timedelta,
        decide: Callable[[RunState, list[planner.Decision]], None],
        ask_to_end: Callable[[RunState, int], None],
        give_up: Callable[[RunState, int], bool],
        sleep: Callable[[RunState, int], None],
        ask_children: Callable[[RunState, CommandKind, str], None],
    ) -> None:
        """Prepare.

        Args:
            journal: writes down what is done.
            timers: of the engine.
            grace: how long a cancelled task may take to end by itself.
            decide: writes decisions down and acts on them.
            ask_to_end: tells a task that runs to end.
            give_up: gives up the attempt of a task; False when it doesn't run.
            sleep: sets the timer of a task that sleeps.
            ask_children: asks something of the runs that a run waits for.
        """
        self._journal = journal
        self._timers = timers
        self._grace = grace
        self._decide = decide
        self._ask_to_end = ask_to_end
        self._give_up = give_up
        self._sleep = sleep
        self._ask_children = ask_children

    def obey(self, run: RunState, command: Command) -> None:
        """Do what is asked. What makes no sense any more is done with."""
        if command.kind is CommandKind.CANCEL:
            if run.cancel is None:
                self._cancel(run, command)
            return
        self._journal.handled(command)
        if command.kind is CommandKind.LATE:
            self._journal.late_result(
                run, **json.loads(str(command.payload)), reason=command.reason
            )
        elif command.kind is CommandKind.SIGNAL:
            self._journal.event(
                run, EventType.SIGNAL_RECEIVED, reason=f"signal {command.name!r} {command}"
            )
            self._decide(run, planner.signalled(run, command))
        elif command.kind is CommandKind.EVENT:
            self._decide(run, planner.event_came(run, command))
        elif run.cancel is not None:
            return
        elif command.kind is CommandKind.PAUSE and run.status is RunStatus.RUNNING:
            self._journal.changed(run, RunStatus.PAUSED, EventType.PAUSED, str(command))
            self._ask_children(run, CommandKind.PAUSE, f"paused {command}")
            self._decide(run, [])
        elif command.kind is CommandKind.RESUME and run.status is RunStatus.PAUSED:
            self._resume(run, command)

    def _cancel(self, run: RunState, command: Command) -> None:
        self._journal.event(run, EventType.CANCEL_REQUESTED, reason=str(command))
        self._ask_children(run, CommandKind.CANCEL, f"cancelled {command}")
        for number in run.at_work():
            self._ask_to_end(run, number)
        self._decide(run, planner.cancel(run, command))
        if not run.status.is_final:
            self._timers.add(self._grace, Timer(TimerKind.CANCEL_GRACE, run.run_id, run.life))

    def end_grace(self, run: RunState) -> None:
        """Give up what a cancelled run still waits for."""
        reason = f"cancelled {run.cancel}; given up, it hadn't ended after {self._grace}"
        for number in run.at_work():
            if self._give_up(run, number):
                self._decide(run, planner.attempt_given_up(run, number, reason))

    def _resume(self, run: RunState, command: Command) -> None:
        self._journal.changed(run, RunStatus.RUNNING, EventType.RESUMED, str(command))
        self._ask_children(run, CommandKind.RESUME, f"resumed {command}")
        for number, task in enumerate(run.tasks):
            if task.status is TaskStatus.SLEEPING:
                self._sleep(run, number)
        self._decide(run, planner.resume(run))
