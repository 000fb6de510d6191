"""What each parameter of each command and each public function names.

Whoever adds a parameter adds its row here, to `OF_COMMANDS` or `OF_FUNCTIONS`. By these tables each
command and function is tried with things of another tenant, and with things that have seen secrets.

A row's key is the parameter's name, with as many words of the command or function before it as it
takes to tell it from others: `run_id`, `schedule name`, `schedule window name`. The longest that
fits counts.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, get_args

import click

from cloacina_core.model.access import Role
from cloacina_core.model.audit import AuditOutcome
from cloacina_registry.audit.entries import EntryKind
from cloacina_registry.storage.catalog import ReleaseStatus


class Kind(Enum):
    """What a tenant has that can be named."""

    RUN = "run"
    TASK = "task"
    WORKFLOW = "workflow"
    REFERENCE = "reference"
    PACKAGE_REFERENCE = "package reference"
    PACKAGE = "package"
    VERSION = "version"
    RELEASE = "release"
    CHANNEL = "channel"
    TARGET = "package and channel"
    DIGEST = "digest"
    STORED_RELEASE = "release as the catalog has it"
    SCHEDULE = "schedule"
    DECLARED_SCHEDULE = "declared schedule"
    BACKFILL = "backfill"
    WINDOW = "maintenance window"
    TRIGGER = "trigger"
    DECLARED_TRIGGER = "declared trigger"
    EVENT = "name of sent events"
    SENT_EVENT = "sent event"
    EVENT_KEY = "key of a sent event"
    SUBSCRIPTION = "subscription"
    DECLARED_SUBSCRIPTION = "declared subscription"
    SIGNAL = "signal"
    SECRET = "secret"
    LIMIT = "limit"
    IDEMPOTENCY_KEY = "idempotency key"
    CONCURRENCY_KEY = "concurrency key"
    API_KEY = "API key"
    API_KEY_TEXT = "API key itself"
    PRINCIPAL = "principal"
    AUDIT_ENTRY = "entry of the audit"
    TENANT = "tenant"
    LENT_ROLE = "role that was lent"
    SIGNING_KEY = "signing key"
    TRUSTED_KEY = "trusted key"
    PATTERN = "pattern of trust"


@dataclass(frozen=True, slots=True)
class Given:
    """It names nothing that a tenant has.

    Where it is required, this is given: a value, or for commands a text, in which `{wheel}` is a
    file of that name which the test has.
    """

    value: Any = None


NOTHING = Given()
"""It names nothing that a tenant has, and isn't required."""

Meaning = Kind | Given

OF_COMMANDS: Mapping[str, Meaning] = {
    # Which store, and whose: what the credential says.
    "home": NOTHING,
    "database_url": NOTHING,
    "passphrase_env": NOTHING,
    "passphrase_file": NOTHING,
    # Runs.
    "run_id": Kind.RUN,
    "ids": Kind.RUN,
    "runs list before": Kind.RUN,
    "parent": Kind.RUN,
    "runs list schedule": Kind.SCHEDULE,
    "started_by": NOTHING,  # a kind, and what narrows down the asker's own
    "task": Kind.TASK,
    "workflow": Kind.WORKFLOW,
    "reference": Kind.REFERENCE,
    "source": NOTHING,  # a plugin
    "idempotency_key": Kind.IDEMPOTENCY_KEY,
    "concurrency_key": Kind.CONCURRENCY_KEY,
    "runs signal name": Kind.SIGNAL,
    "pairs": NOTHING,
    "params_file": NOTHING,
    "params": NOTHING,
    "context_file": NOTHING,
    "data": NOTHING,
    "reason": Given("because"),
    "limits name": Kind.LIMIT,
    "limits set size": Given("3"),
    "rate": NOTHING,
    # Schedules.
    "schedule name": Kind.SCHEDULE,
    "schedule names": Kind.SCHEDULE,
    "schedule stored_as": Kind.SCHEDULE,
    "schedule enable reference": Kind.PACKAGE_REFERENCE,
    "schedule enable name": Kind.DECLARED_SCHEDULE,
    "schedule disable reference": Kind.PACKAGE_REFERENCE,
    "schedule disable name": Kind.DECLARED_SCHEDULE,
    "schedule window name": Kind.WINDOW,
    "when": Given("0 3 29 2 * for 1h"),
    "cron": Given("@daily"),
    "timezone": NOTHING,
    "not_during": NOTHING,
    "schedule add file": NOTHING,
    "schedule update file": NOTHING,
    "backfill_id": Kind.BACKFILL,
    "begins": Given("2026-01-01"),
    "ends": Given("2026-01-02"),
    # Triggers, events and subscriptions.
    "trigger name": Kind.TRIGGER,
    "trigger stored_as": Kind.TRIGGER,
    "trigger enable reference": Kind.PACKAGE_REFERENCE,
    "trigger enable name": Kind.DECLARED_TRIGGER,
    "trigger disable reference": Kind.PACKAGE_REFERENCE,
    "trigger disable name": Kind.DECLARED_TRIGGER,
    "event name": Kind.SUBSCRIPTION,
    "event stored_as": Kind.SUBSCRIPTION,
    "event enable reference": Kind.PACKAGE_REFERENCE,
    "event enable name": Kind.DECLARED_SUBSCRIPTION,
    "event disable reference": Kind.PACKAGE_REFERENCE,
    "event disable name": Kind.DECLARED_SUBSCRIPTION,
    "event history before": Kind.SENT_EVENT,
    "event subscribe event": Kind.EVENT,
    "event update event": Kind.EVENT,
    "event send name": Kind.EVENT,
    "event list name": Kind.EVENT,
    "event_id": Kind.SENT_EVENT,
    "event list before": Kind.SENT_EVENT,
    "event send key": Kind.EVENT_KEY,
    "where": NOTHING,
    # Secrets, access and tenants.
    "secret name": Kind.SECRET,
    "secret set fields": NOTHING,
    "secret set public": NOTHING,
    "from_file": NOTHING,
    "api-key name": Kind.API_KEY,
    "role": Given("read"),
    "who": Kind.PRINCIPAL,
    "verb": NOTHING,
    "audit list before": Kind.AUDIT_ENTRY,
    "tenant name": Kind.TENANT,
    "yes_delete": Kind.TENANT,
    "tenant exec words": Given("doctor"),
    "export_to": NOTHING,
    # Packages.
    "package": Kind.PACKAGE,
    "release": Kind.RELEASE,
    "releases": Kind.RELEASE,
    "target": Kind.TARGET,
    "channel": Kind.CHANNEL,
    "to": Kind.VERSION,
    "registry list after": Kind.RELEASE,
    "registry transfer keys": Kind.TRUSTED_KEY,
    "registry key": NOTHING,  # a key, not its name
    "old": Kind.RELEASE,
    "new": Kind.RELEASE,
    "package new name": Given("new-package"),
    "project": NOTHING,
    "wheel": Given("{wheel}"),
    "wheels": Given("{wheel}"),
    "package inspect file": Given("{wheel}"),
    "package verify files": Given("{wheel}"),
    "registry import file": Given("{bundle}"),
    "registry audit verify file": NOTHING,
    "receipt": Given("{receipt}"),
    "attestation": NOTHING,
    "trust_file": NOTHING,
    "public_file": NOTHING,
    "lock_file": NOTHING,
    "folders": NOTHING,
    "pythons": NOTHING,
    "capabilities": NOTHING,
    "signer": NOTHING,
    # Keys and trust.
    "key name": Kind.SIGNING_KEY,
    "key_name": Kind.SIGNING_KEY,
    "key_names": Kind.SIGNING_KEY,
    "from_keyring": Kind.SIGNING_KEY,
    "trust name": Kind.TRUSTED_KEY,
    "trust names": Kind.TRUSTED_KEY,
    "packages": Kind.PATTERN,
    "pattern": Kind.PATTERN,
    "trust rotate added": Kind.SIGNING_KEY,
    "trust rotate removed": Kind.SIGNING_KEY,
    "trust add text": NOTHING,  # a key, not its name
    "trust add file": NOTHING,
    "trust sign file": NOTHING,
    "trust verify file": NOTHING,
    "trust apply paths": NOTHING,
    "trust apply roots": NOTHING,
    "trust add expires": NOTHING,
    "compromised_at": NOTHING,
    "moment": Given("never"),
    # Where files go.
    "out": NOTHING,
    "registry export out": Given("{new}.zip"),
    "directory": NOTHING,
    "db backup path": Given("{new}.db"),
    "ready_file": NOTHING,
}

OF_FUNCTIONS: Mapping[str, Meaning] = {
    # Of runs.
    "run_id": Kind.RUN,
    "list before": Kind.RUN,
    "wanted": NOTHING,
    "what": Kind.REFERENCE,
    "reference": Kind.REFERENCE,
    "workflows": NOTHING,
    "source": NOTHING,
    "params": NOTHING,
    "submit_many params": Given([None]),
    "context": NOTHING,
    "task": Kind.TASK,
    "idempotency_key": Kind.IDEMPOTENCY_KEY,
    "idempotency_keys": NOTHING,  # as `idempotency_key`
    "concurrency_key": Kind.CONCURRENCY_KEY,
    "signal name": Kind.SIGNAL,
    "handle.signal name": Kind.SIGNAL,
    "payload": NOTHING,
    "reason": Given("because"),
    "timeout": Given(0.0),
    "url": NOTHING,  # the credential
    "home": NOTHING,
    "observer": Given(lambda _event: None),
    "by": Given(lambda: "ann@here"),
    "callback": Given(lambda: None),
    "who": Kind.API_KEY_TEXT,
    "set_limit name": Kind.LIMIT,
    "remove_limit name": Kind.LIMIT,
    "rate": NOTHING,
    "set_limit size": Given(3),
    # Of access.
    "api_keys name": Kind.API_KEY,
    "api_keys.find text": Kind.API_KEY_TEXT,
    "role": Given(Role.READ),
    "audit.entries before": Kind.AUDIT_ENTRY,
    "deed_id": Kind.AUDIT_ENTRY,
    "deed": NOTHING,
    "outcome": Given(AuditOutcome.DONE),
    "audit code": NOTHING,
    # Of what starts runs.
    "schedules name": Kind.SCHEDULE,
    "schedules stored_as": Kind.SCHEDULE,
    "schedules.enable reference": Kind.PACKAGE_REFERENCE,
    "schedules.enable name": Kind.DECLARED_SCHEDULE,
    "schedules.disable reference": Kind.PACKAGE_REFERENCE,
    "schedules.disable name": Kind.DECLARED_SCHEDULE,
    "schedules.add_window name": Kind.WINDOW,
    "schedules.remove_window name": Kind.WINDOW,
    "cron": Given("@daily"),
    "when": Given("0 3 29 2 * for 1h"),
    "timezone": NOTHING,
    "backfill": Kind.BACKFILL,
    "begins": Given(datetime(2026, 1, 1, tzinfo=UTC)),
    "ends": Given(datetime(2026, 1, 2, tzinfo=UTC)),
    "triggers name": Kind.TRIGGER,
    "triggers stored_as": Kind.TRIGGER,
    "triggers.enable reference": Kind.PACKAGE_REFERENCE,
    "triggers.enable name": Kind.DECLARED_TRIGGER,
    "triggers.disable reference": Kind.PACKAGE_REFERENCE,
    "triggers.disable name": Kind.DECLARED_TRIGGER,
    "sent_events name": Kind.EVENT,
    "sent_events before": Kind.SENT_EVENT,
    "event_id": Kind.SENT_EVENT,
    "sent_events key": Kind.EVENT_KEY,
    "data": NOTHING,
    "subscriptions name": Kind.SUBSCRIPTION,
    "subscriptions stored_as": Kind.SUBSCRIPTION,
    "subscriptions.enable reference": Kind.PACKAGE_REFERENCE,
    "subscriptions.enable name": Kind.DECLARED_SUBSCRIPTION,
    "subscriptions.disable reference": Kind.PACKAGE_REFERENCE,
    "subscriptions.disable name": Kind.DECLARED_SUBSCRIPTION,
    "subscriptions.history before": Kind.SENT_EVENT,
    "event": Kind.EVENT,
    # Of secrets and tenants.
    "secrets name": Kind.SECRET,
    "secrets value": Given("a value of this test"),
    "secrets public": NOTHING,
    "view": NOTHING,
    "admin name": Kind.TENANT,
    "admin quotas": NOTHING,
    "admin changes": Given({"slots": 4}),
    "export_to": NOTHING,
    "told": NOTHING,
    "lent": Kind.LENT_ROLE,
    # Of packages.
    "package": Kind.PACKAGE,
    "registry.page after": Kind.RELEASE,
    "registry.changes after": Given(0),
    "version": Kind.VERSION,
    "digest": Kind.DIGEST,
    "channel": Kind.CHANNEL,
    "to": Kind.VERSION,
    "release": Kind.STORED_RELEASE,
    "registry keys": Given(["0" * 64]),
    "registry": NOTHING,
    "rules": NOTHING,
    # What a caller has, and the system takes as it is.
    "registry data": NOTHING,
    "filename": NOTHING,
    "attestation": NOTHING,
    "provision": NOTHING,
    "wheel": NOTHING,
    "wheels": NOTHING,
    "lock": NOTHING,
    "artifact": NOTHING,
    "move": NOTHING,
    "progress": Given(lambda _done, _all: None),
    "tell": Given(lambda _done, _all: None),
    "checkpoint": NOTHING,
    "registry.set_status status": Given(ReleaseStatus.YANKED),
    "registry.set_status kind": Given(EntryKind.YANK),
    "kind": NOTHING,
    "share": Given(10),
    "facts": NOTHING,
    "actor": NOTHING,
    "connection": NOTHING,
    "documents": NOTHING,
    "registry.evidence key": NOTHING,
    "incoming": NOTHING,
    "trust_version": NOTHING,
}

_NUMBERS = {int, float, bool, datetime, timedelta}
_WORDS = (
    *(click.types.StringParamType, click.types.UnprocessedParamType),
    *(click.types.Path, click.types.File),
)


def of_parameter(words: str, parameter: click.Parameter) -> Meaning:
    """Return what a parameter of a command names.

    Raises:
        LookupError: nobody has said it yet.
    """
    found = _found(OF_COMMANDS, words.split(), str(parameter.name))
    if found is not None:
        return found
    if getattr(parameter, "is_flag", False) or not isinstance(parameter.type, _WORDS):
        return NOTHING  # a switch, a number, a moment, a length, or one of a few words
    raise _untold("OF_COMMANDS", words, str(parameter.name))


def of_argument(verb: str, parameter: inspect.Parameter) -> Meaning:
    """Return what an argument of a public function names.

    Raises:
        LookupError: nobody has said it yet.
    """
    found = _found(OF_FUNCTIONS, verb.split("."), parameter.name, joint=".")
    if found is not None:
        return found
    types = set(get_args(parameter.annotation)) or {parameter.annotation}
    if types <= _NUMBERS | {type(None)}:
        return NOTHING
    raise _untold("OF_FUNCTIONS", verb, parameter.name)


def _found(
    table: Mapping[str, Meaning], words: list[str], name: str, joint: str = " "
) -> Meaning | None:
    for length in range(len(words), -1, -1):
        key = f"{joint.join(words[:length])} {name}".strip()
        if key in table:
            return table[key]
    return None


def _untold(table: str, words: str, name: str) -> LookupError:
    return LookupError(
        f"a new parameter: {name!r} of {words!r}. Say what it names, in {table} of {__name__}: a "
        f"Kind when its value names something that a tenant has; else NOTHING, or Given(value) "
        f"where it is required. The row: {f'{words} {name}'!r}: Kind.SCHEDULE,"
    )
