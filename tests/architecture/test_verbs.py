"""Every verb has a row in a table: a new one is refused, and fails here, until it gets its own."""

import inspect
import typing
from collections.abc import Iterator, Mapping

import click
import pytest

from cloacina_core.cli import main
from cloacina_core.cli.acts import ACTS
from cloacina_core.model.access import COMMAND_VERBS, VERBS, Rule
from cloacina_core.runtime import RunHandle, Runtime
from cloacina_core.runtime.schedules import Schedules
from cloacina_core.runtime.secrets import Secrets
from cloacina_core.runtime.sent_events import SentEvents, Subscriptions
from cloacina_core.runtime.triggers import Triggers
from cloacina_core.store.api_keys import ApiKeyStore
from cloacina_core.store.audit import Audit
from cloacina_registry.access import ACTS as REGISTRY_ACTS
from cloacina_registry.access import VERBS as REGISTRY_VERBS
from cloacina_registry.dependencies.dependencies import Dependencies
from cloacina_registry.evidence import Evidence
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.rollout.withdrawal import Withdrawals

PARTS: Mapping[str, type] = {
    "api_keys": ApiKeyStore,
    "audit": Audit,
    "schedules": Schedules,
    "sent_events": SentEvents,
    "subscriptions": Subscriptions,
    "triggers": Triggers,
    "secrets": Secrets,
}
"""What a runtime has beside verbs of its own."""


def public(cls: type, prefix: str = "") -> Iterator[str]:
    """Yield the verbs of a class: what isn't private, inherited from `object`, or a factory."""
    yield from (prefix + name for name in dir(cls) if not name.startswith("_"))


def instance_attributes(cls: type) -> set[str]:
    """Return the public attributes that a class sets on its objects."""
    source = inspect.getsource(cls.__init__)
    words = source.replace(":", " ").replace(",", " ").split()
    found = {word.removeprefix("self.") for word in words if word.startswith("self.")}
    return {name for name in found if name.isidentifier() and not name.startswith("_")}


def verbs_of_the_core() -> set[str]:
    runtime = {*public(Runtime), *instance_attributes(Runtime)} - PARTS.keys()
    parts = {verb for name, cls in PARTS.items() for verb in public(cls, f"{name}.")}
    return runtime | parts | {*public(RunHandle, "handle."), "handle.id"}


def verbs_of_the_registry() -> set[str]:
    return {
        *public(Registry, "registry."),
        *public(Evidence, "registry.evidence."),
        *public(Dependencies, "registry.dependencies."),
        *public(Channels, "channels."),
        *public(Withdrawals, "withdrawals."),
    }


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
    classes: Mapping[str, type] = {
        "": Runtime,
        "handle": RunHandle,
        **PARTS,
        "registry": Registry,
        "registry.evidence": Evidence,
        "registry.dependencies": Dependencies,
        "channels": Channels,
        "withdrawals": Withdrawals,
    }
    function = getattr(classes[owner], name, None)
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


def every_command(group: click.Group, context: click.Context, words: str = "") -> set[str]:
    """Return the words of all commands that there are."""
    found = set()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        path = f"{words} {name}".strip()
        inner = click.Context(command, info_name=name, parent=context)
        found |= every_command(command, inner, path) if isinstance(command, click.Group) else {path}
    return found


def test_every_command_has_a_row_and_every_row_a_command() -> None:
    there = every_command(main, click.Context(main, info_name="cloacina"))

    assert there == {**ACTS, **REGISTRY_ACTS}.keys()


def test_every_row_names_a_parameter_that_the_command_has() -> None:
    context = click.Context(main, info_name="cloacina")
    wrong = []
    for words, act in {**ACTS, **REGISTRY_ACTS}.items():
        command: typing.Any = main
        for word in words.split():
            command = command.get_command(context, word)
        parameters = {parameter.name for parameter in command.params}
        if act is not None and act.target not in {None, *parameters}:
            wrong.append(words)

    assert wrong == []


def test_every_row_is_of_a_verb_that_is_known() -> None:
    verbs = {act.verb for act in {**ACTS, **REGISTRY_ACTS}.values() if act is not None}

    unknown = verbs - {**VERBS, **COMMAND_VERBS, **REGISTRY_VERBS}.keys()
    assert {verb.partition(".")[0] for verb in unknown} <= {"trust"}
