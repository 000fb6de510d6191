"""What a release would mean for what starts workflows on a channel. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cloacina_core.errors import InputError, Problem
from cloacina_core.model.declared import Declared, Rule
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.following import Following
from cloacina_core.model.polling.enabled import EnabledTrigger
from cloacina_core.model.release import Reference
from cloacina_core.model.starts import EnabledStarts
from cloacina_registry.manifest import Manifest


def starts_problems(enabled: EnabledStarts, manifest: Manifest) -> Iterator[Problem]:
    """Yield what couldn't start a release's workflows, or would be paused by it.

    Args:
        enabled: what is enabled on the channel that the release would be on.
        manifest: of the release.
    """
    starts = manifest.starts
    for schedule in enabled.schedules:
        followed = _Followed("schedule", schedule.following, starts.schedules)
        yield from _told(
            followed.noun, schedule.name, _problem(schedule.schedule, followed, manifest)
        )
    for one in enabled.subscriptions:
        followed = _Followed("subscription", one.following, starts.subscriptions)
        yield from _told(followed.noun, one.name, _problem(one.subscription, followed, manifest))
    for trigger in enabled.triggers:
        yield from _told("trigger", trigger.name, _trigger_problem(trigger.trigger, manifest))


@dataclass(frozen=True, slots=True)
class _Followed:
    """What a rule follows, and what there is for it in the release."""

    noun: str
    following: Following | None
    declared: Sequence[Declared[Any]]
    """All of its kind."""


def _told(noun: str, name: str, problem: str | None) -> Iterator[Problem]:
    if problem is not None:
        yield Problem(noun, problem, f"{noun} {name}")


def _problem(rule: Rule, followed: _Followed, manifest: Manifest) -> str | None:
    if followed.following is None:
        found = _workflow(rule, manifest)
        return found if isinstance(found, str) else _refusal(rule, found)
    return _following_problem(rule.name, followed, followed.following, manifest)


def _workflow(rule: Rule, manifest: Manifest) -> WorkflowDefinition | str:
    """Return the workflow of a release that a rule would start, or why there is none."""
    wanted = Reference.parse(rule.reference).workflow
    if wanted is None and len(manifest.workflows) == 1:
        return manifest.workflows[0].definition
    if wanted is None:
        return "names no workflow, and this release has several"
    if wanted not in manifest.by_name:
        return f"starts {wanted!r}, which this release doesn't have"
    return manifest.by_name[wanted].definition


def _refusal(rule: Rule, definition: WorkflowDefinition) -> str | None:
    try:
        rule.require_taken_by(definition)
    except InputError as error:
        told = "; ".join(str(problem) for problem in error.problems) or error.message
        return f"has params that this release doesn't take: {told}"
    return None


def _following_problem(
    name: str, followed: _Followed, following: Following, manifest: Manifest
) -> str | None:
    declared = {one.name: one for one in followed.declared}.get(following.name)
    if declared is None:
        return f"would be paused: this release declares no {followed.noun} {following.name!r}"
    try:
        rule: Rule = following.applied(name, declared)
    except InputError as error:
        return f"would be paused: what was changed of it doesn't go with this: {error.message}"
    refused = _refusal(rule, manifest.by_name[declared.workflow].definition)
    return None if refused is None else f"would be paused: it {refused}"


def _trigger_problem(trigger: EnabledTrigger, manifest: Manifest) -> str | None:
    """Return why polls of a trigger would fail."""
    declared = {one.name: one for one in manifest.triggers}.get(trigger.definition.name)
    if declared is None:
        message = f"this release declares no trigger {trigger.definition.name!r}"
        return f"couldn't be polled: {message}"
    workflow = Reference.parse(trigger.reference).workflow
    if declared.workflow != workflow:
        return f"couldn't be polled: this release has it start {declared.workflow!r}"
    return None
