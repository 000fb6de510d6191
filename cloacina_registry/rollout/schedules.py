"""What a release would mean for the schedules on a channel. Pure."""

from collections.abc import Iterator, Sequence

from cloacina_core.errors import InputError, Problem
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.params import accept_params
from cloacina_core.model.release import Reference
from cloacina_core.model.schedule.following import Following
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_registry.manifest import Manifest


def schedule_problems(states: Sequence[ScheduleState], manifest: Manifest) -> Iterator[Problem]:
    """Yield which schedules couldn't start a release's workflows, or would be paused by it.

    Args:
        states: the schedules on the channel that the release would be on.
        manifest: of the release.
    """
    for state in states:
        problem = _problem(state, manifest)
        if problem is not None:
            yield Problem("schedule", problem, f"schedule {state.schedule.name}")


def _problem(state: ScheduleState, manifest: Manifest) -> str | None:
    if state.following is None:
        found = _workflow(state.schedule, manifest)
        return found if isinstance(found, str) else _refusal(state.schedule, found)
    return _following_problem(state.schedule.name, state.following, manifest)


def _workflow(schedule: Schedule, manifest: Manifest) -> WorkflowDefinition | str:
    """Return the workflow of a release that a schedule would start, or why there is none."""
    wanted = Reference.parse(schedule.reference).workflow
    if wanted is None and len(manifest.workflows) == 1:
        return manifest.workflows[0].definition
    if wanted is None:
        return "names no workflow, and this release has several"
    if wanted not in manifest.by_name:
        return f"starts {wanted!r}, which this release doesn't have"
    return manifest.by_name[wanted].definition


def _refusal(schedule: Schedule, definition: WorkflowDefinition) -> str | None:
    try:
        accept_params(definition, schedule.params)
    except InputError as error:
        told = "; ".join(str(problem) for problem in error.problems) or error.message
        return f"has params that this release doesn't take: {told}"
    return None


def _following_problem(name: str, following: Following, manifest: Manifest) -> str | None:
    declared = {one.name: one for one in manifest.schedules}.get(following.schedule)
    if declared is None:
        return f"would be paused: this release declares no schedule {following.schedule!r}"
    try:
        schedule = following.applied(name, declared)
    except InputError as error:
        return f"would be paused: what was changed of it doesn't go with this: {error.message}"
    refused = _refusal(schedule, manifest.by_name[declared.workflow].definition)
    return None if refused is None else f"would be paused: it {refused}"
