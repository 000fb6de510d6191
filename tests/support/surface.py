"""All ways into the product: the commands, and what programs can call."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from cloacina_core.cli import main
from cloacina_core.runtime import DatabaseAdmin, RunHandle, Runtime
from cloacina_core.runtime.schedules import Schedules
from cloacina_core.runtime.secrets import Secrets
from cloacina_core.runtime.sent_events import SentEvents
from cloacina_core.runtime.subscriptions import Subscriptions
from cloacina_core.runtime.triggers import Triggers
from cloacina_core.store.api_keys import ApiKeyStore
from cloacina_core.store.audit import Audit
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
OF_THE_CORE: Mapping[str, type] = {"": Runtime, **PARTS, "handle": RunHandle}
"""By what stands before the names of their verbs."""
OF_THE_REGISTRY: Mapping[str, type] = {
    "registry": Registry,
    "registry.evidence": Evidence,
    "registry.dependencies": Dependencies,
    "channels": Channels,
    "withdrawals": Withdrawals,
}
OWNERS: Mapping[str, type] = {**OF_THE_CORE, **OF_THE_REGISTRY, "admin": DatabaseAdmin}


def public(cls: type, prefix: str = "") -> Iterator[str]:
    """Yield the verbs of a class: what isn't private, inherited from `object`, or a factory."""
    yield from (prefix + name for name in dir(cls) if not name.startswith("_"))


def functions() -> Mapping[str, Callable[..., Any]]:
    """Return every public function of the classes that programs work with, by its verb."""
    found = {}
    for owner, cls in OWNERS.items():
        for verb in public(cls, f"{owner}." if owner else ""):
            function = getattr(cls, verb.rpartition(".")[2])
            if callable(function):
                found[verb] = function
    return found


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return what a caller gives by name: all but the object, and options that are passed on."""
    found = inspect.signature(function).parameters.values()
    return [one for one in found if one.name != "self" and one.kind is not one.VAR_KEYWORD]


def commands() -> Mapping[str, click.Command]:
    """Return every command, by its words."""
    return dict(_within(main, click.Context(main, info_name="cloacina"), ""))


def _within(
    group: click.Group, context: click.Context, words: str
) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        path = f"{words} {name}".strip()
        if isinstance(command, click.Group):
            yield from _within(
                command, click.Context(command, info_name=name, parent=context), path
            )
        else:
            yield path, command
