"""What packages declare that starts their workflows: all but a store's name, and what is followed.

A declaration is data: a rule as its `to_json` tells it, without name and reference. So it is the
same wherever it is read.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.release import Reference

_ANY_PACKAGE = "package"
_READABLE = 80


class Rule(Protocol):
    """Says when runs of a reference are started, and with what: a schedule or a subscription."""

    @property
    def name(self) -> str:
        """Unique in the store."""
        ...

    @property
    def reference(self) -> str:
        """What to run."""
        ...

    def changed(self, **changes: Any) -> Self:
        """Return the rule with other values of some fields of `to_json`.

        Raises:
            InputError: a value can't be used.
        """
        ...

    def require_taken_by(self, definition: WorkflowDefinition) -> None:
        """Refuse a workflow that wouldn't take the params, as far as they are known.

        Raises:
            InputError: it wouldn't.
        """
        ...

    def to_json(self) -> dict[str, JsonValue]:
        """Return the rule as a JSON object."""
        ...


RuleT = TypeVar("RuleT", bound=Rule)


@dataclass(frozen=True, slots=True)
class Declared(Generic[RuleT]):
    """A rule that a package declares, by its own name. It is no rule of a store yet."""

    noun: ClassVar[str]
    """What people call it."""
    rules: ClassVar[Any]
    """The class of the rules that stores keep for it."""

    name: str
    workflow: str
    """Of the same package."""
    rule: Mapping[str, JsonValue]

    @classmethod
    def checked(cls, name: str, workflow: str, **options: Any) -> Self:
        """Return a declaration whose every part can be used.

        Args:
            name: unique in the package.
            workflow: the name of one of its workflows.
            **options: the fields of the rule.

        Raises:
            InputError: a part can't be used.
        """
        return cls(name, workflow, _told(cls.rules.checked(name, _any_of(workflow), **options)))

    def stored_as(self, name: str, followed: Reference) -> RuleT:
        """Return the rule that a store keeps for it.

        Args:
            name: unique in the store.
            followed: the package, with the channel or the versions that it follows.
        """
        reference = Reference(followed.package, self.workflow, followed.specifier, followed.channel)
        data = {"name": name, "reference": str(reference), **self.rule}
        rule: RuleT = type(self).rules.from_json(data)
        return rule

    def to_json(self) -> dict[str, JsonValue]:
        """Return the declaration as a JSON object."""
        return {"name": self.name, "workflow": self.workflow, **self.rule}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the declaration that a JSON object of its shape tells of.

        Raises:
            InputError: a value can't be used, or is written otherwise than `to_json` writes it.
        """
        rest = {key: value for key, value in data.items() if key not in {"name", "workflow"}}
        reference = _any_of(data["workflow"])
        try:
            rule = cls.rules.from_json({"name": data["name"], "reference": reference, **rest})
        except (ValueError, OverflowError) as error:  # of moments and lengths
            raise InputError(str(error)) from None
        declared = cls(data["name"], data["workflow"], _told(rule))
        if differs := [key for key, value in declared.to_json().items() if value != data[key]]:
            raise InputError(f"{', '.join(differs)} can be written otherwise, and is in a manifest")
        return declared


def _any_of(workflow: str) -> str:
    if wrong := name_problem(workflow, "workflow"):
        raise InputError(wrong)
    return f"{_ANY_PACKAGE}/{workflow}"


def _told(rule: Rule) -> dict[str, JsonValue]:
    told = rule.to_json()
    del told["name"], told["reference"]
    return told


def declaration_problems(
    declared: Sequence[Declared[Any]], workflows: Collection[str]
) -> Iterator[Problem]:
    """Yield what keeps declarations of one kind from starting workflows of their package.

    Whether these take the params is another question: see `params_problems`.

    Args:
        declared: what is declared.
        workflows: the names of the workflows of the package.
    """
    for name, times in sorted(Counter(one.name for one in declared).items()):
        if times > 1:
            noun = next(one.noun for one in declared)
            yield Problem(noun, f"two {noun}s have this name", name)
    for one in declared:
        if one.workflow not in workflows:
            yield Problem(one.noun, _unknown(one.workflow, workflows), one.name)


def params_problems(declared: Declared[Any], definition: WorkflowDefinition) -> Iterator[Problem]:
    """Yield why a workflow doesn't take the params of what is declared for it.

    The workflow's own JSON Schema judges, which can be made to take for ever.
    """
    try:
        declared.stored_as(declared.name, Reference(_ANY_PACKAGE)).require_taken_by(definition)
    except InputError as error:
        for problem in error.problems or (Problem(error.code, error.message),):
            message = f"{problem.where or 'params'}: {problem.message}"
            yield Problem(declared.noun, message, declared.name)


def _unknown(workflow: str, known: Collection[str]) -> str:
    near = nearest(workflow[:_READABLE], known)
    meant = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    return f"the package has no workflow {workflow[:_READABLE]!r}; {meant}"
