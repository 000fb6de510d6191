"""What the runs that tasks ask for are in a test: workflows, or what the test says of them."""

from collections.abc import Mapping
from typing import TypeAlias

from cloacina_core.engine.acceptance import RunRequest, Wanted
from cloacina_core.engine.library import WorkflowLibrary
from cloacina_core.errors import InputError
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, decode
from cloacina_core.model.child import Child
from cloacina_core.model.context import Context
from cloacina_core.model.run import RunSummary
from cloacina_core.model.task import Task
from cloacina_core.model.workflow import Workflow

ChildRun: TypeAlias = Workflow | Mapping[str, JsonValue] | BaseException
"""A workflow to run, the context that a run leaves, or what it fails with."""


class ChildRuns:
    """Finds what a test gave for each reference."""

    def __init__(self, runs: Mapping[str, ChildRun], library: WorkflowLibrary) -> None:
        """Take what a test gives.

        Args:
            runs: by the text that tasks ask with, or by the name of the workflow that they give.
            library: where engines look for the code.
        """
        self._workflows = {
            reference: run if isinstance(run, Workflow) else _stub(f"stub_{number}", run)
            for number, (reference, run) in enumerate(runs.items())
        }
        for workflow in self._workflows.values():
            library.register(workflow)

    def request(self, parent: RunSummary, child: Child, _run_id: RunId) -> RunRequest:
        """Return what is run for a task.

        Raises:
            InputError: the test doesn't say.
            ParamsError: the params don't fit.
        """
        workflow = self._workflows.get(child.reference)
        if workflow is None:
            raise InputError(
                f"a task asks for a run of {child.reference!r}; the test doesn't say what that is",
                hint=f"give it: children={{{child.reference!r}: workflow_or_context_or_error}}",
            )
        return RunRequest.checked(
            Wanted(workflow.definition(), child.reference),
            None if child.params is None else decode(child.params),
            None if child.context is None else decode(child.context),
            priority=parent.priority,
        )


def _stub(name: str, outcome: Mapping[str, JsonValue] | BaseException) -> Workflow:
    """Return a workflow that ends at once, as it is told."""

    def end(_context: Context) -> Mapping[str, JsonValue]:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return Workflow(name, tasks=[Task(end, name="end")])
