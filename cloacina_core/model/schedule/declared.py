"""Schedules as packages declare them: all but the name in the store, and what it follows."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.params import accept_params
from cloacina_core.model.release import Reference
from cloacina_core.model.schedule.schedule import Schedule

_KIND = "schedule"
_ANY_PACKAGE = "package"
_READABLE = 80


@dataclass(frozen=True, slots=True)
class DeclaredSchedule:
    """A schedule of a package, by its own name. It is no schedule of a store yet.

    Its rule is that of `Schedule.to_json`, without name and reference: data that are the same
    wherever they are read.
    """

    name: str
    workflow: str
    """Of the same package."""
    rule: Mapping[str, JsonValue]

    @classmethod
    def checked(cls, name: str, workflow: str, **options: Any) -> "DeclaredSchedule":
        """Return a declaration whose every part can be used.

        Args:
            name: unique in the package.
            workflow: the name of one of its workflows.
            **options: the fields of `Schedule.checked`, `cron` among them.

        Raises:
            InputError: a part can't be used.
        """
        if wrong := name_problem(workflow, "workflow"):
            raise InputError(wrong)
        schedule = Schedule.checked(name, f"{_ANY_PACKAGE}/{workflow}", **options)
        return cls(name, workflow, _rule_of(schedule))

    def stored_as(self, name: str, followed: Reference) -> Schedule:
        """Return the schedule that a store keeps for it.

        Args:
            name: unique in the store.
            followed: the package, with the channel or the versions that it follows.
        """
        reference = Reference(followed.package, self.workflow, followed.specifier, followed.channel)
        return Schedule.from_json({"name": name, "reference": str(reference), **self.rule})

    def __str__(self) -> str:
        return f"{self.name}: {self.workflow} at {self.rule['cron']} ({self.rule['timezone']})"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the declaration as a JSON object."""
        return {"name": self.name, "workflow": self.workflow, **self.rule}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "DeclaredSchedule":
        """Return the declaration that a JSON object of its shape tells of.

        Raises:
            InputError: a value can't be used, or is written otherwise than `to_json` writes it.
        """
        rest = {key: value for key, value in data.items() if key not in {"name", "workflow"}}
        if wrong := name_problem(data["workflow"], "workflow"):
            raise InputError(wrong)
        reference = f"{_ANY_PACKAGE}/{data['workflow']}"
        try:
            schedule = Schedule.from_json({"name": data["name"], "reference": reference, **rest})
        except (ValueError, OverflowError) as error:  # of moments and lengths
            raise InputError(str(error)) from None
        declared = cls(data["name"], data["workflow"], _rule_of(schedule))
        if differs := [key for key, value in declared.to_json().items() if value != data[key]]:
            raise InputError(f"{', '.join(differs)} can be written otherwise, and is in a manifest")
        return declared


def _rule_of(schedule: Schedule) -> dict[str, JsonValue]:
    rule = schedule.to_json()
    del rule["name"], rule["reference"]
    return rule


def schedules_problems(
    schedules: Sequence[DeclaredSchedule], workflows: Collection[str]
) -> Iterator[Problem]:
    """Yield what keeps declared schedules from starting workflows of their package.

    Whether these take the params is another question: see `params_problems`.

    Args:
        schedules: what is declared.
        workflows: the names of the workflows of the package.
    """
    for name, times in sorted(Counter(schedule.name for schedule in schedules).items()):
        if times > 1:
            yield Problem(_KIND, "two schedules have this name", name)
    for schedule in schedules:
        if schedule.workflow not in workflows:
            yield Problem(_KIND, _unknown(schedule.workflow, workflows), schedule.name)


def params_problems(
    schedule: DeclaredSchedule, definition: WorkflowDefinition
) -> Iterator[Problem]:
    """Yield why a workflow doesn't take the params of a schedule that is declared for it.

    The workflow's own JSON Schema judges, which can be made to take for ever.
    """
    params = schedule.rule["params"]
    try:
        accept_params(definition, params if isinstance(params, dict) else None)
    except InputError as error:
        for problem in error.problems or (Problem(error.code, error.message),):
            yield Problem(_KIND, f"{problem.where or 'params'}: {problem.message}", schedule.name)


def _unknown(workflow: str, known: Collection[str]) -> str:
    near = nearest(workflow[:_READABLE], known)
    meant = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    return f"the package has no workflow {workflow[:_READABLE]!r}; {meant}"
