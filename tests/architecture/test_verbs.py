"""Every verb has a row in a table: a new one is refused, and fails here, until it gets its own."""

import inspect
import typing
from collections.abc import Mapping

import pytest
from support.surface import OF_THE_CORE, OF_THE_REGISTRY, OWNERS, PARTS, commands, public

from cloacina_core.cli.acts import ACTS
from cloacina_core.model.access import COMMAND_VERBS, VERBS, Rule
from cloacina_core.runtime import Runtime
from cloacina_registry.access import ACTS as REGISTRY_ACTS
from cloacina_registry.access import VERBS as REGISTRY_VERBS

UNCHECKED = {
    "config show": "it looks at files and variables that its caller can look at",
    "demo": "it makes a home of its own, and takes it away",
    "doctor": "it must work where nothing else does, and makes and upgrades nothing",
    "key list": "keys are the caller's own files",
    "key new": "keys are the caller's own files",
    "key show": "keys are the caller's own files",
    "package build": "a package that isn't uploaded is the caller's own file",
    "package diff": "a package that isn't uploaded is the caller's own file",
    "package inspect": "a package that isn't uploaded is the caller's own file",
    "package new": "a package that isn't uploaded is the caller's own file",
    "package seal": "a package that isn't uploaded is the caller's own file",
    "package sign": "a package that isn't uploaded is the caller's own file",
    "package verify": "a package that isn't uploaded is the caller's own file",
    "plugins list": "it looks at what is installed, and must work where nothing else does",
    "registry audit check-receipt": "it looks at a file, without any registry",
    "trust list": "it looks at a signed document, which holds nothing secret",
    "trust show": "it looks at a signed document, which holds nothing secret",
    "trust sign": "who signs has the key; what is signed changes nothing before it is applied",
    "trust verify": "it looks at files, which nobody trusts for it",
}
"""Commands that whoever can call them may use, and why."""


def instance_attributes(cls: type) -> set[str]:
    """Return the public attributes that a class sets on its objects."""
    source = inspect.getsource(cls.__init__)
    words = source.replace(":", " ").replace(",", " ").split()
    found = {word.removeprefix("self.") for word in words if word.startswith("self.")}
    return {name for name in found if name.isidentifier() and not name.startswith("_")}


def verbs_of(owners: Mapping[str, type]) -> set[str]:
    return {
        verb for name, cls in owners.items() for verb in public(cls, f"{name}." if name else "")
    }


def verbs_of_the_core() -> set[str]:
    runtime = {*verbs_of(OF_THE_CORE), *instance_attributes(Runtime)} - PARTS.keys()
    return runtime | {"handle.id"}


def verbs_of_the_registry() -> set[str]:
    return verbs_of(OF_THE_REGISTRY)


def test_each_verb_of_a_runtime_has_a_row() -> None:
    assert verbs_of_the_core() - VERBS.keys() == set()


def test_each_verb_of_a_registry_has_a_row() -> None:
    assert verbs_of_the_registry() - REGISTRY_VERBS.keys() == set()


def test_a_part_that_a_runtime_has_is_known_here() -> None:
    parts = {
        name
        for name in instance_attributes(Runtime)
        if name not in VERBS  # it has verbs in place of a row
    }

    assert parts == PARTS.keys()


def test_each_row_of_a_runtime_is_of_a_verb_that_there_is() -> None:
    assert VERBS.keys() - verbs_of_the_core() == set()


def parameters(verb: str) -> Mapping[str, object]:
    owner, _, name = verb.rpartition(".")
    function = getattr(OWNERS[owner], name, None)
    if not callable(function):
        return {}
    return typing.cast("Mapping[str, object]", inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("verb", "rule"),
    [
        (verb, rule)
        for verb, rule in {**VERBS, **REGISTRY_VERBS}.items()
        if verb in verbs_of_the_core() | verbs_of_the_registry()
    ],
)
def test_a_row_tells_arguments_that_the_verb_has(verb: str, rule: Rule) -> None:
    named = {*rule.facts, *([rule.target] if rule.target else [])}
    has = parameters(verb)

    assert {name for name in named if name not in has} <= {"id"}


def test_every_command_has_a_row_and_every_row_a_command() -> None:
    assert commands().keys() == {**ACTS, **REGISTRY_ACTS}.keys()


def test_no_command_is_unchecked_without_a_reason() -> None:
    """Give a new command a row with a role; only what changes no store may be without one."""
    unchecked = {words for words, act in {**ACTS, **REGISTRY_ACTS}.items() if act is None}

    assert unchecked == UNCHECKED.keys()


def test_every_row_names_a_parameter_that_the_command_has() -> None:
    wrong = []
    for words, act in {**ACTS, **REGISTRY_ACTS}.items():
        parameters = {parameter.name for parameter in commands()[words].params}
        if act is not None and act.target not in {None, *parameters}:
            wrong.append(words)

    assert wrong == []


def test_every_row_is_of_a_verb_that_is_known() -> None:
    verbs = {act.verb for act in {**ACTS, **REGISTRY_ACTS}.values() if act is not None}

    unknown = verbs - {**VERBS, **COMMAND_VERBS, **REGISTRY_VERBS}.keys()
    assert {verb.partition(".")[0] for verb in unknown} <= {"trust"}
