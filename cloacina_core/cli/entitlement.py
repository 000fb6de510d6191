"""Whether who calls a command may, found out in one place for all of them.

1. Who gives an API key has the role of the key, whoever they are on this host.
2. Who gives none is the user of this process, who could read and write the store's files without us
   as well, and may do everything; unless the setting `require_api_key` is on.
3. The key comes from the environment alone: others can read the arguments of a process. It is taken
   out of there, so that no task, build or other program that the command starts has it. A variable
   that is empty is a key that nobody has: who meant to give one isn't let in as somebody else.
4. Nothing of the command runs before the gate has let it through.
5. Of options, their names are told, never what was given for them; also of a command that is
   passed on to a tenant.
6. Where a home and the store in it aren't there yet, there is nothing to protect, and nowhere to
   tell it: what makes them, as `cloacina trust apply` on a new machine, isn't told. Where keys are
   asked for, only what is called to make a store is let through then: nobody can have a key of it.
7. What an administrator of a PostgreSQL database does with tenants is told beside their list. He
   needs no store, and is made none.
8. Who has a key is found out, and what they ask for is told, before the store is brought to the
   schema of this version: so `api_keys` and `audit` are used as an older version made them. Where
   keys are asked for, an older store is upgraded by what is called for that, and by nothing else.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import click

from cloacina_core.cli.passed_on import PassedOn
from cloacina_core.errors import NotAllowedError, SchemaOutdatedError
from cloacina_core.model.access import Act, Principal

if TYPE_CHECKING:
    from cloacina_core.foundation.json_value import JsonValue
    from cloacina_core.runtime.gate import EachTold, Gate, Request, Who
    from cloacina_core.settings import Settings
    from cloacina_core.store.database import Database, Standing
    from cloacina_core.store.opening import StoreOpener

T = TypeVar("T")

VARIABLE = "CLOACINA_API_KEY"
"""The environment variable with the API key. There is no option: others can read arguments."""


def take_api_key(context: click.Context) -> str | None:
    """Return the API key of this process, which those that it starts don't get.

    It holds for all commands that are called at once, so it is kept with what they share.
    """
    if VARIABLE in os.environ:
        context.meta[VARIABLE] = os.environ.pop(VARIABLE).strip()
    api_key: str | None = context.meta.get(VARIABLE)
    return api_key


def perform(
    act: Act | None,
    context: click.Context,
    settings: Callable[[], "Settings"],
    store: Callable[[], "StoreOpener"],
    call: Callable[[Principal | None, "EachTold | None", Callable[[], object]], T],
) -> T:
    """Call a command, if who calls it may; tell it in the audit, if it changes something.

    Args:
        act: what the command does; None: whoever can call it may.
        context: what was given to it.
        settings: reads the settings.
        store: returns the store, which the command works on as well.
        call: the command; it is told for whom it is called, if that isn't this process's user,
            what tells of each thing that it changes, if it changes any, and what finds out again
            whether they may.

    Raises:
        NotAllowedError: they may not.
        StoreError: that can't be found out, or can't be told; nothing was done.
    """
    api_key = take_api_key(context)
    if act is None:
        return call(None, None, _nothing)
    known = settings()
    is_checked = api_key is not None or known.require_api_key
    if not is_checked and not act.rule.changes:
        return call(None, None, _nothing)  # mostly there is nothing to look up, nor to tell
    if not is_checked and known.is_new:
        return call(None, None, _nothing)
    found: list[Principal] = []
    request = _request(act, context)
    of_tenants = _is_of_tenants(act, context)
    in_store = known.database_url.startswith("sqlite") or not of_tenants
    looks_first = in_store and (is_checked or act.makes_store)
    standing = _standing(known, store()) if looks_first else None
    if standing is not None and standing.is_missing:
        if act.makes_store:
            return call(None, None, _nothing)
        raise _refusal(api_key)
    prepare = in_store and not looks_first
    gate = _gate(known, api_key, store(), found.append, of_tenants=of_tenants, prepare=prepare)

    def allowed() -> T:
        if standing is not None and standing.is_outdated and not act.makes_store:
            raise _outdated()
        each = gate.each_of(request, found[-1]) if act.rule.changes else None
        acts_for = None if api_key is None else found[-1]
        return call(acts_for, each, lambda: gate.require(request))

    return gate.perform(request, allowed)


def _nothing() -> None:
    """Find out nothing: whoever calls may, as long as they like."""


def _standing(settings: "Settings", store: "StoreOpener") -> "Standing":
    """Return how far the store is, of which nothing is made."""
    from cloacina_core.store.database import Standing  # noqa: PLC0415 - see `_gate`

    return Standing.MISSING if settings.is_new else store.opened(prepare=False).standing()


def _refusal(api_key: str | None) -> NotAllowedError:
    """Return why somebody is refused where there is no store that could have their key."""
    from cloacina_core.model.api_key import (  # noqa: PLC0415 - see `_gate`
        ApiKey,
        ApiKeyNeededError,
        ApiKeyRefusedError,
    )

    return ApiKeyNeededError() if api_key is None else ApiKeyRefusedError(ApiKey.parse(api_key).id)


def _outdated() -> SchemaOutdatedError:
    return SchemaOutdatedError(
        "an older version of Cloacina made this store, and nobody has upgraded it",
        hint="have an admin run: cloacina db upgrade",
    )


def _is_of_tenants(act: Act, context: click.Context) -> bool:
    """Whether a command is for who administers tenants, and not for who has a store."""
    return act.verb.startswith("tenants.") or bool(context.params.get("tenants"))


def _gate(
    settings: "Settings",
    api_key: str | None,
    store: "StoreOpener",
    tell: Callable[[Principal], object],
    *,
    of_tenants: bool,
    prepare: bool,
) -> "Gate":
    """Return the gate, which opens the store when it is needed, without any plugin."""
    from cloacina_core.foundation.clock import SystemClock  # noqa: PLC0415 - not needed for --help
    from cloacina_core.foundation.ids import IdFactory  # noqa: PLC0415
    from cloacina_core.runtime.gate import Gate  # noqa: PLC0415
    from cloacina_core.store.administration import audit_of_commands  # noqa: PLC0415
    from cloacina_core.store.audit import Audit  # noqa: PLC0415

    ids = IdFactory(SystemClock())

    def database() -> "Database":
        return store.opened(prepare=prepare)

    who = _who(settings, api_key, database)

    def told() -> Principal:
        principal = who()
        tell(principal)
        return principal

    def audit() -> Audit:
        if of_tenants:
            return audit_of_commands(database(), ids, settings.retention_audit.length)
        return Audit(database(), ids)

    return Gate(told, audit)


def _who(settings: "Settings", api_key: str | None, database: "Callable[[], Database]") -> "Who":
    from cloacina_core.model.api_key import ApiKeyNeededError  # noqa: PLC0415 - see `_gate`
    from cloacina_core.runtime.gate import holder, local_user  # noqa: PLC0415
    from cloacina_core.store.api_keys import ApiKeyStore  # noqa: PLC0415

    def who() -> Principal:
        if api_key is not None:
            found = holder(ApiKeyStore(database()), api_key)
            return found()
        if settings.require_api_key:
            raise ApiKeyNeededError
        return local_user()

    return who


def _request(act: Act, context: click.Context) -> "Request":
    """Return what is asked for: what it is done to, and which options were given, but no values."""
    from cloacina_core.runtime.gate import Request  # noqa: PLC0415 - see `_gate`
    from cloacina_core.runtime.guarded import told  # noqa: PLC0415

    target = None if act.target is None else told(context.params.get(act.target))
    passed_on = {one.name: one for one in context.command.params if isinstance(one, PassedOn)}
    options: list[JsonValue] = [
        name
        for name in context.params
        if name not in {act.target, *passed_on}
        and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    facts: dict[str, JsonValue] = {"options": options} if options else {}
    for words in passed_on.values():
        facts |= words.facts(context)
    # A command returns an exit status: of each thing that it changes, it tells by its console.
    rule = replace(act.rule, each=None)
    return Request(act.verb, rule, target, facts)
