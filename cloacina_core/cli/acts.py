"""What each command of the core does, by the table of verbs.

Whoever adds a command adds its row. Until then it counts as a change that needs the role admin.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from cloacina_core.model.access import COMMAND_VERBS, VERBS, Act, Role, act, changes


def _of(verb: str, target: str | None = None) -> Act:
    rule = VERBS[verb] if verb in VERBS else COMMAND_VERBS[verb]
    return act(verb, target, rule=rule)


ACTS: Mapping[str, Act | None] = MappingProxyType(
    {
        "run": _of("submit", "reference"),
        "runs list": _of("list"),
        "runs show": _of("get", "run_id"),
        "runs events": _of("events", "run_id"),
        "runs explain": _of("explain", "run_id"),
        "runs logs": _of("logs", "run_id"),
        "runs cancel": _of("cancel", "ids"),
        "runs pause": _of("pause", "ids"),
        "runs resume": _of("resume", "ids"),
        "runs retry": _of("retry", "ids"),
        "runs rerun": _of("rerun", "run_id"),
        "runs fork": _of("fork", "run_id"),
        "runs signal": _of("signal", "run_id"),
        "workflow list": _of("definition"),
        "workflow show": _of("definition", "reference"),
        "limits list": _of("limits"),
        "limits set": _of("set_limit", "name"),
        "limits remove": _of("remove_limit", "name"),
        "schedule add": _of("schedules.add", "name"),
        "schedule enable": _of("schedules.enable", "reference"),
        "schedule disable": _of("schedules.disable", "reference"),
        "schedule list": _of("schedules.all"),
        "schedule show": _of("schedules.get", "name"),
        "schedule update": _of("schedules.update", "name"),
        "schedule restore": _of("schedules.restore", "name"),
        "schedule pause": _of("schedules.pause", "names"),
        "schedule resume": _of("schedules.resume", "names"),
        "schedule delete": _of("schedules.delete", "name"),
        "schedule history": _of("schedules.history", "name"),
        "schedule backfill": _of("schedules.backfill", "name"),
        "schedule next": _of("schedules.next", "name"),
        "schedule window add": _of("schedules.add_window", "name"),
        "schedule window list": _of("schedules.windows"),
        "schedule window remove": _of("schedules.remove_window", "name"),
        "trigger enable": _of("triggers.enable", "reference"),
        "trigger disable": _of("triggers.disable", "reference"),
        "trigger list": _of("triggers.all"),
        "trigger show": _of("triggers.get", "name"),
        "trigger pause": _of("triggers.pause", "name"),
        "trigger resume": _of("triggers.resume", "name"),
        "trigger poll-now": _of("triggers.poll_now", "name"),
        "trigger delete": _of("triggers.delete", "name"),
        "trigger history": _of("triggers.history", "name"),
        "event send": _of("sent_events.send", "name"),
        "event list": _of("sent_events.all"),
        "event show": _of("sent_events.get", "event_id"),
        "event subscribe": _of("subscriptions.add", "name"),
        "event enable": _of("subscriptions.enable", "reference"),
        "event disable": _of("subscriptions.disable", "reference"),
        "event update": _of("subscriptions.update", "name"),
        "event restore": _of("subscriptions.restore", "name"),
        "event subscriptions": _of("subscriptions.all"),
        "event history": _of("subscriptions.history", "name"),
        "event pause": _of("subscriptions.pause", "name"),
        "event resume": _of("subscriptions.resume", "name"),
        "event unsubscribe": _of("subscriptions.delete", "name"),
        "secret set": _of("secrets.set", "name"),
        "secret list": _of("secrets.all"),
        "secret show": _of("secrets.get", "name"),
        "secret delete": _of("secrets.delete", "name"),
        "secret rotate-key": _of("secrets.rotate_key"),
        "tenant create": _of("tenants.create", "name"),
        "tenant quota": _of("tenants.quota", "name"),
        "tenant suspend": _of("tenants.suspend", "name"),
        "tenant resume": _of("tenants.resume", "name"),
        "tenant exec": _of("tenants.exec", "name"),
        "tenant rotate-password": _of("tenants.rotate_password", "name"),
        "tenant delete": _of("tenants.delete", "name"),
        "tenant upgrade": _of("tenants.upgrade", "name"),
        "tenant list": _of("tenants.list"),
        "tenant show": _of("tenants.show", "name"),
        "api-key create": _of("api_keys.create", "name"),
        "api-key list": _of("api_keys.all"),
        "api-key show": _of("api_keys.get", "name"),
        "api-key revoke": _of("api_keys.revoke", "name"),
        "api-key rotate": _of("api_keys.rotate", "name"),
        "audit list": _of("audit.entries"),
        "engine run": _of("engine.run"),
        "engines list": _of("engines.list"),
        "db backup": _of("db.backup", "path"),
        "db check": _of("db.check"),
        "db info": _of("db.info"),
        "db prune": _of("db.prune"),
        "db upgrade": replace(_of("db.upgrade"), makes_store=True),
        "init": replace(_of("init"), makes_store=True),
        # They look at what is on this host, and must work when nothing else does, keys neither.
        "plugins list": None,
        "config show": None,
        "doctor": None,
    }
)
"""By the words of the command; None: whoever can call it may."""


def unlisted(words: str) -> Act:
    """Return what a command does that nobody has thought of: as much as can be."""
    return Act(words.replace(" ", "."), changes(Role.ADMIN))
