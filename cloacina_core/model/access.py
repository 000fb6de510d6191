"""Who may do what: roles, who asks, and one table of all verbs. Pure.

1. A verb that isn't in the table is refused, whoever asks.
2. A verb that is withheld is refused, whoever asks: what it gives away would go around the checks.
3. A role may do what the roles before it may, and no more.
4. Whoever asks is told neither whether what they named exists nor whose it is: the role is looked
   at first, and alone.
5. Of what was asked, only what the table names is told to the audit: never a value of params, of a
   payload, of a secret, or a key.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from cloacina_core.errors import NotAllowedError


class Role(StrEnum):
    """What a principal may do, the least first; each may do what those before it may."""

    READ = "read"
    """See runs, releases, schedules and what they left."""
    RUN = "run"
    """Start and steer runs, and say when they start by themselves."""
    PUBLISH = "publish"
    """Bring releases in, promote and withdraw them."""
    ADMIN = "admin"
    """Say who may do what, whom is trusted, and what there is for all."""

    def covers(self, needed: "Role") -> bool:
        """Whether who has this role may do what needs another."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks.

    No tenant is named: it is the one whose store was opened, and nothing could say otherwise.
    """

    name: str
    """Of the API key, or `USER@HOST` for one who needs none."""
    role: Role
    """What they may do."""
    api_key: str | None = None
    """The public part of their API key; None for one who needs none."""
    origin: str
    """From where they ask, as `USER@HOST`, or `python`; it proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a verb asks of who does it."""

    role: Role | None
    """The least role; None: the verb is withheld from everybody whose acts are checked."""
    changes: bool = False
    """Whether it changes what is kept, so that the audit tells of it."""
    target: str | None = None
    """The argument that names what it is done to."""
    facts: tuple[str, ...] = ()
    """The other arguments that the audit tells."""
    at_once: bool = False
    """Whether all it does is one transaction of the thread that does it, which the audit joins."""
    each: Callable[[Any], Iterable[str]] | None = None
    """Returns the names of the things that it changed, by what came of it; None: it is one."""


@dataclass(frozen=True, slots=True)
class Act:
    """What calling a command does."""

    verb: str
    rule: Rule
    target: str | None = None
    """The parameter of the command that names what it is done to."""
    makes_store: bool = False
    """Whether it is called to make a store, or to bring one to the schema of this version."""


def act(verb: str, target: str | None = None, *, rule: Rule) -> Act:
    """Return what calling a command does.

    Args:
        verb: the row.
        target: the parameter of the command that names what it is done to.
        rule: of the row. A command does more than one transaction, and prints what came of it
            before its entry could be kept, so nothing is told at once with it; and it tells by
            itself of each thing that it changes.
    """
    return Act(verb, replace(rule, at_once=False, each=None), target)


class RoleTooLowError(NotAllowedError):
    """Who asks has a role that may not do this.

    Attributes:
        verb: what was asked.
        needed: the least role that may; None: nobody may, whose acts are checked.
    """

    code = "role-too-low"

    def __init__(self, principal: Principal, verb: str, needed: Role | None) -> None:
        super().__init__(
            f"{principal.name!r} has the role {principal.role.value}, which may not {verb[:100]}",
            hint="it can't be done with an API key"
            if needed is None
            else f"ask an admin for an API key with the role {needed.value}",
        )
        self.verb = verb
        self.needed = needed

    def facts(self) -> Mapping[str, str]:
        """Return what was asked, and the least role that may."""
        return {"verb": self.verb, **({"needed": self.needed.value} if self.needed else {})}


def require(principal: Principal, verb: str, rule: Rule | None) -> Rule:
    """Return the rule of a verb, if who asks may do it.

    Args:
        principal: who asks.
        verb: what they ask.
        rule: its rule; None: there is none.

    Raises:
        RoleTooLowError: they may not.
    """
    needed = None if rule is None else rule.role
    if rule is None or needed is None or not principal.role.covers(needed):
        raise RoleTooLowError(principal, verb, needed)
    return rule


def reads(target: str | None = None, *, role: Role = Role.READ) -> Rule:
    """Return the rule of a verb that changes nothing."""
    return Rule(role=role, target=target)


def changes(role: Role, target: str | None = None, *facts: str, at_once: bool = False) -> Rule:
    """Return the rule of a verb that changes what is kept."""
    return Rule(role=role, changes=True, target=target, facts=facts, at_once=at_once)


def changes_each(
    each: Callable[[Any], Iterable[str]], role: Role, target: str | None = None, *facts: str
) -> Rule:
    """Return the rule of a verb that changes several things, each with an entry of its own.

    Args:
        each: returns their names, by what came of the verb.
        role: the least role.
        target: the argument that names what all of it is done to.
        facts: the other arguments that the audit tells.
    """
    return replace(changes(role, target, *facts), each=each)


def _kept(kept: Iterable[tuple[Any, bool]]) -> Iterable[str]:
    """Return the names of what was switched on, or was on before."""
    return [state.name for state, _ in kept]


def _forgotten(names: Iterable[str]) -> Iterable[str]:
    """Return the names of what was switched off, which are all that is told of it."""
    return names


WITHHELD = Rule(role=None)
"""The rule of a verb that nobody does whose acts are checked."""

_RUN, _ADMIN = Role.RUN, Role.ADMIN

VERBS: Mapping[str, Rule] = MappingProxyType(
    {
        # Of the runtime.
        "submit": changes(_RUN, "what", "idempotency_key", "priority", "concurrency_key", "source"),
        "submit_many": changes(_RUN, "what", "priority", "concurrency_key", "source"),
        "run": changes(_RUN, "what"),
        "attach": changes(_RUN, "run_id"),
        "resume": changes(_RUN, "run_id"),
        "unpause": changes(_RUN, "run_id", "reason"),
        "cancel": changes(_RUN, "run_id", "reason"),
        "pause": changes(_RUN, "run_id", "reason"),
        "signal": changes(_RUN, "run_id", "name"),
        "retry": changes(_RUN, "run_id", "reason"),
        "rerun": changes(_RUN, "run_id", "idempotency_key"),
        "fork": changes(_RUN, "run_id", "task", "idempotency_key"),
        "get": reads("run_id"),
        "list": reads(),
        "events": reads("run_id"),
        "explain": reads("run_id"),
        "logs": reads("run_id"),
        "follow_logs": reads("run_id"),
        "definition": reads("reference"),
        "definition_of": reads("run_id"),
        "limits": reads(),
        "set_limit": changes(_ADMIN, "name", "size", "rate", at_once=True),
        "remove_limit": changes(_ADMIN, "name", at_once=True),
        "engine_id": reads(),
        "is_idle": reads(),
        "drain": changes(_ADMIN),
        "acting_as": WITHHELD,
        "close": WITHHELD,  # for whoever opened it
        "open": WITHHELD,
        "observe": WITHHELD,  # a function that is called with everybody's events
        "plugins": WITHHELD,
        "settings": WITHHELD,  # they have the URL of the database
        "sources": WITHHELD,
        # Of access.
        "api_keys.create": changes(_ADMIN, "name", "role", at_once=True),
        "api_keys.rotate": changes(_ADMIN, "name", at_once=True),
        "api_keys.revoke": changes(_ADMIN, "name", at_once=True),
        "api_keys.get": reads("name", role=_ADMIN),
        "api_keys.all": reads(role=_ADMIN),
        "api_keys.last_admin_until": reads(role=_ADMIN),
        "api_keys.find": WITHHELD,  # for the gate
        "audit.entries": reads(role=_ADMIN),
        "audit.enter": WITHHELD,  # for the gate
        "audit.end": WITHHELD,
        "audit.one_transaction": WITHHELD,
        "audit.forget": WITHHELD,  # for retention
        # Of a run that was submitted.
        "handle.id": reads(),
        "handle.status": reads("id"),
        "handle.result": reads("id"),
        "handle.on_end": reads("id"),
        "handle.cancel": changes(_RUN, "id", "reason"),
        "handle.pause": changes(_RUN, "id", "reason"),
        "handle.signal": changes(_RUN, "id", "name"),
        "handle.local": WITHHELD,  # the run in memory, which could be changed
        # Of schedules.
        "schedules.add": changes(_RUN, "name", "reference", "cron"),
        "schedules.update": changes(_RUN, "name"),
        "schedules.enable": changes_each(_kept, _RUN, "reference", "name", "stored_as"),
        "schedules.restore": changes(_RUN, "name"),
        "schedules.disable": changes_each(_forgotten, _RUN, "reference", "name"),
        "schedules.pause": changes(_RUN, "name", at_once=True),
        "schedules.resume": changes(_RUN, "name", at_once=True),
        "schedules.delete": changes(_RUN, "name", at_once=True),
        "schedules.backfill": changes(_RUN, "name", "parallel", "dry_run"),
        "schedules.backfills": reads("name"),
        "schedules.cancel_backfills": changes(_RUN, "name", "backfill", at_once=True),
        "schedules.add_window": changes(_ADMIN, "name", "when", "timezone", at_once=True),
        "schedules.remove_window": changes(_ADMIN, "name", at_once=True),
        "schedules.windows": reads(),
        "schedules.get": reads("name"),
        "schedules.all": reads(),
        "schedules.history": reads("name"),
        "schedules.next": reads("name"),
        "schedules.definition": reads("reference"),
        # Of sent events and subscriptions.
        "sent_events.asking_as": WITHHELD,
        "sent_events.send": changes(_RUN, "name", "key"),
        "sent_events.get": reads("event_id"),
        "sent_events.all": reads(),
        "subscriptions.add": changes(_RUN, "name", "reference", "event"),
        "subscriptions.update": changes(_RUN, "name"),
        "subscriptions.enable": changes_each(_kept, _RUN, "reference", "name", "stored_as"),
        "subscriptions.restore": changes(_RUN, "name"),
        "subscriptions.disable": changes_each(_forgotten, _RUN, "reference", "name"),
        "subscriptions.pause": changes(_RUN, "name", at_once=True),
        "subscriptions.resume": changes(_RUN, "name", at_once=True),
        "subscriptions.delete": changes(_RUN, "name", at_once=True),
        "subscriptions.get": reads("name"),
        "subscriptions.all": reads(),
        "subscriptions.history": reads("name"),
        "subscriptions.definition": reads("reference"),
        # Of triggers.
        "triggers.enable": changes_each(_kept, _RUN, "reference", "name", "stored_as"),
        "triggers.disable": changes_each(_forgotten, _RUN, "reference", "name"),
        "triggers.pause": changes(_RUN, "name", at_once=True),
        "triggers.resume": changes(_RUN, "name", at_once=True),
        "triggers.poll_now": changes(_RUN, "name", at_once=True),
        "triggers.delete": changes(_RUN, "name", at_once=True),
        "triggers.get": reads("name"),
        "triggers.all": reads(),
        "triggers.history": reads("name"),
        # Of secrets; values are no facts.
        "secrets.asking_as": WITHHELD,
        "secrets.set": changes(_ADMIN, "name"),
        "secrets.delete": changes(_ADMIN, "name", at_once=True),
        "secrets.rotate_key": changes(_ADMIN),
        "secrets.get": reads("name"),
        "secrets.provided": reads("name"),
        "secrets.all": reads(),
        "secrets.of": WITHHELD,
    }
)
"""What can be done to a runtime, its parts and its runs; a part's verbs have its name before them.

Whoever adds a verb adds its row. What plugins can do stands in tables of their own.
"""

COMMAND_VERBS: Mapping[str, Rule] = MappingProxyType(
    {
        "engine.run": changes(_ADMIN),
        "engines.list": reads(),
        "tenants.create": changes(_ADMIN, "name"),
        "tenants.quota": changes(_ADMIN, "name"),
        "tenants.suspend": changes(_ADMIN, "name"),
        "tenants.resume": changes(_ADMIN, "name"),
        "tenants.exec": changes(_ADMIN, "name"),
        "tenants.rotate_password": changes(_ADMIN, "name"),
        "tenants.delete": changes(_ADMIN, "name"),
        "tenants.upgrade": changes(_ADMIN, "name"),
        "tenants.lend_role": changes(_ADMIN, "name"),
        "tenants.take_role_back": changes(_ADMIN),
        "tenants.sweep_lent_roles": changes(_ADMIN),
        "tenants.list": reads(role=_ADMIN),
        "tenants.show": reads("name", role=_ADMIN),
        "db.backup": changes(_ADMIN, "path"),  # it takes everything away
        "db.check": reads(role=_ADMIN),
        "db.info": reads(),
        "db.prune": changes(_ADMIN),
        "db.upgrade": changes(_ADMIN),
        "init": changes(_ADMIN),
    }
)
"""What can be done from the command line alone, or to tenants by their administrator."""

VIEW_VERBS: Mapping[str, Rule] = MappingProxyType(
    {
        "view.begin": changes(_RUN),
        "view.cancel_runs": changes(_RUN),
        "view.put_blob": changes(Role.PUBLISH),
        "view.delete_blob": changes(_ADMIN),
    }
)
"""What commands of plugins can do through their view of the runtime, for whose key was given.

Who may begin a transaction isn't asked what is written in it: what the registry changes, it asks
for by itself.
"""
