"""A home and a store that have some of everything, named and worded so that it is recognised."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from click.testing import CliRunner
from support.meanings import Kind
from support.registry import SignedWheel, signed_wheel
from support.runs import PATIENCE

from cloacina_core.cli import main
from cloacina_core.model.access import Role
from cloacina_core.model.audit import AuditOutcome, Deed
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import Runtime, open_view
from cloacina_core.settings import Settings, read_settings
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.keys import PrivateKey

FLOWS = '''
import base64
import json
import logging
from urllib.parse import quote

from cloacina_core import Context, Skip, Workflow, skip

flow = Workflow("{mark}-flow", description="{text}", secrets=["{mark}-secret", "{mark}-token"])
calm = Workflow("{mark}-calm", description="{text}", secrets=["{mark}-token"])


@flow.task
def {mark}_task(context: Context) -> dict[str, object]:
    """{text}"""
    for name in ("{mark}-secret", "{mark}-token"):
        value = context.secret(name)
        data = value.encode()
        print(value, data.hex(), json.dumps(value), quote(value, safe=""), repr(data))
        print(base64.b64encode(data), base64.urlsafe_b64encode(b"x" + data))
        logging.getLogger("{mark}").error("{text}: %s", value)
    return {{"{mark}": "{text}"}}


@flow.task(after=[{mark}_task])
def fails(context: Context) -> None:
    raise ValueError("{text}", context.secret("{mark}-secret"), context.secret("{mark}-token"))


@calm.task
def {mark}_calm_task(context: Context) -> dict[str, object]:
    print("{text}", context.secret("{mark}-token"))
    return {{"{mark}": "{text}"}}


@flow.trigger(every="1h")
def {mark}_trigger() -> Skip:
    """{text}"""
    return skip("{text}")
'''


@dataclass(frozen=True, slots=True)
class Furnished:
    """Some of everything, and what it is called."""

    mark: str
    """Stands in every name."""
    text: str
    """Stands in every other text."""
    home: Path
    url: str
    names: Mapping[Kind, Any]
    files: Mapping[str, Path]
    """Of the caller's own."""

    @property
    def settings(self) -> Settings:
        """What a process reads that belongs to it."""
        return settings_at(self.home, self.url)


_WITH_IDS = (
    Kind.RUN,
    Kind.BACKFILL,
    Kind.SENT_EVENT,
    Kind.AUDIT_ENTRY,
    Kind.API_KEY_TEXT,
)


def settings_at(home: Path, url: str) -> Settings:
    """Return what a process reads with a home and a store."""
    return read_settings({}, home, {"home": home, "database_url": url}).settings


def names_with(mark: str) -> dict[Kind, str]:
    """Return what things are called by whoever makes them."""
    package, channel = f"{mark}-etl", f"{mark}-channel"
    return {
        Kind.TASK: f"{mark}_task",
        Kind.WORKFLOW: f"{mark}-flow",
        Kind.REFERENCE: f"{package}/{mark}-flow",
        Kind.PACKAGE_REFERENCE: f"{package}@{channel}",
        Kind.PACKAGE: package,
        Kind.RELEASE: f"{package}==1.0",
        Kind.CHANNEL: channel,
        Kind.TARGET: f"{package}@{channel}",
        Kind.SCHEDULE: f"{mark}-schedule",
        Kind.DECLARED_SCHEDULE: f"{mark}-declared",
        Kind.DECLARED_SUBSCRIPTION: f"{mark}-declared",
        Kind.WINDOW: f"{mark}-window",
        Kind.TRIGGER: f"{mark}-trigger",
        Kind.DECLARED_TRIGGER: f"{mark}_trigger",
        Kind.EVENT: f"{mark}.sent",
        Kind.EVENT_KEY: f"{mark}-event-key",
        Kind.SUBSCRIPTION: f"{mark}-subscription",
        Kind.SIGNAL: f"{mark}-signal",
        Kind.SECRET: f"{mark}-secret",
        Kind.LIMIT: f"{mark}-limit",
        Kind.IDEMPOTENCY_KEY: f"{mark}-idempotency-key",
        Kind.CONCURRENCY_KEY: f"{mark}-concurrency-key",
        Kind.API_KEY: f"{mark}-api-key",
        Kind.PRINCIPAL: f"{mark}@somewhere",
        Kind.TENANT: f"{mark}-team",
        Kind.LENT_ROLE: f"cloacina_l_{mark}",
        Kind.SIGNING_KEY: f"{mark}-signing-key",
        Kind.TRUSTED_KEY: f"{mark}-signing-key",
        Kind.PATTERN: f"{mark}-etl",
    }


def names_of_nothing(like: Furnished, mark: str) -> Mapping[Kind, Any]:
    """Return names of things that are nowhere, as long and as alike as can be."""
    release = like.names[Kind.STORED_RELEASE]
    nothing = names_with(mark)
    return {
        **nothing,
        Kind.VERSION: "38.0",
        Kind.DIGEST: another(like.names[Kind.DIGEST]),
        Kind.STORED_RELEASE: replace(
            release, package=nothing[Kind.PACKAGE], digest=another(release.digest)
        ),
        **{kind: another(like.names[kind]) for kind in _WITH_IDS},
    }


def another(name: str) -> str:
    """Return a name that differs in its last letter."""
    return name[:-1] + ("1" if name[-1] != "1" else "0")


def furnish(
    mark: str, text: str, home: Path, url: str, secrets: Mapping[str, str], *, version: str
) -> Furnished:
    """Make a home, and have everything in it and in its store that there can be.

    Args:
        mark: to be in every name.
        text: to be in every other text.
        home: of the tenant.
        url: of its store.
        secrets: values of `MARK-secret` and `MARK-token`, which its tasks try to let out.
        version: of a second release, whose tasks run in workers.
    """
    names = names_with(mark)
    _command(home, url, "init")
    _command(home, url, "key", "new", names[Kind.SIGNING_KEY])
    _command(
        *(home, url, "trust", "add", names[Kind.TRUSTED_KEY]),
        *("--from-keyring", names[Kind.SIGNING_KEY], "--package", names[Kind.PATTERN]),
    )
    settings, plugins = settings_at(home, url), Plugins.of_environment(())
    key = KeyRing(home).load_private(names[Kind.SIGNING_KEY], None)
    first = _wheel(mark, text, "1.0", key, isolation="auto")
    second = _wheel(mark, text, version, key, isolation="worker")
    of_packages = _publish(settings, plugins, names, text, (first, second))
    with Runtime(settings, plugins, recover=False, pass_output_on=False) as runtime:
        of_the_store = _fill(runtime, names, text, secrets, version)
    folder = home.parent / f"files of {mark}"
    folder.mkdir()
    files = {name: folder / name for name in ("bundle", "receipt", "new")}
    _command(home, url, "registry", "export", names[Kind.RELEASE], "--out", str(files["bundle"]))
    _command(
        *(home, url, "registry", "audit", "prove", names[Kind.RELEASE]),
        *("--out", str(files["receipt"])),
    )
    files["wheel"] = first.save_in(folder)
    all_names = {**names, **of_packages, **of_the_store, Kind.VERSION: version}
    return Furnished(mark, text, home, url, MappingProxyType(all_names), files)


def _command(home: Path, url: str, *arguments: str) -> None:
    options = ["--home", str(home), "--database-url", url, "--quiet"]
    done = CliRunner().invoke(main, [*arguments, *options])
    assert done.exit_code == 0, (arguments, done.output)


def _wheel(mark: str, text: str, version: str, key: PrivateKey, **more: Any) -> SignedWheel:
    flows = FLOWS.format(mark=mark, text=text).encode()
    module = f"{mark}_etl"
    return signed_wheel(
        version,
        name=f"{mark}-etl",
        sources={f"{module}/__init__.py": b"", f"{module}/flows.py": flows},
        workflows={f"{mark}-flow": f"{module}.flows:flow", f"{mark}-calm": f"{module}.flows:calm"},
        key=key,
        schedules=(DeclaredSchedule.checked(f"{mark}-declared", f"{mark}-flow", cron="@yearly"),),
        **more,
    )


def _publish(
    settings: Settings,
    plugins: Plugins,
    names: Mapping[Kind, str],
    text: str,
    wheels: Sequence[SignedWheel],
) -> Mapping[Kind, Any]:
    """Upload and promote releases; return what the first is known by."""
    with closing(open_view(settings, plugins)) as view:
        registry = Registry.of(view)
        for wheel in wheels:
            wheel.upload_to(registry)
        channels = Channels.of(view, registry)
        package, first = names[Kind.PACKAGE], wheels[0]
        for channel in (names[Kind.CHANNEL], "stable"):
            channels.promote(package, "1.0", channel, reason=text, tried=False)
        return {
            Kind.STORED_RELEASE: registry.show(package, "1.0"),
            Kind.DIGEST: first.digest,
        }


def _fill(
    runtime: Runtime,
    names: Mapping[Kind, str],
    text: str,
    secrets: Mapping[str, str],
    version: str,
) -> Mapping[Kind, str]:
    """Have something in each table; return the ids of what has one."""
    reference, calm = names[Kind.REFERENCE], names[Kind.REFERENCE].replace("-flow", "-calm")
    for name, value in secrets.items():
        runtime.secrets.set(name, value)
    runtime.set_limit(names[Kind.LIMIT], 2)
    runtime.schedules.add_window(names[Kind.WINDOW], "0 3 29 2 * for 1h")
    runtime.schedules.add(names[Kind.SCHEDULE], reference, cron="@yearly")
    january, february = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    backfill = runtime.schedules.backfill(names[Kind.SCHEDULE], january, february)
    runtime.triggers.enable(
        names[Kind.PACKAGE_REFERENCE],
        stored_as=names[Kind.TRIGGER],
        name=names[Kind.DECLARED_TRIGGER],
    )
    runtime.subscriptions.add(names[Kind.SUBSCRIPTION], calm, event=names[Kind.EVENT])
    event, _ = runtime.sent_events.send(
        names[Kind.EVENT], {"text": text}, key=names[Kind.EVENT_KEY]
    )
    key = runtime.api_keys.create(names[Kind.API_KEY], Role.ADMIN)
    deed = Deed(who=names[Kind.PRINCIPAL], role="admin", origin=text, verb="submit", target=text)
    entry = runtime.audit.enter(deed, AuditOutcome.DONE)
    options = {
        "idempotency_key": names[Kind.IDEMPOTENCY_KEY],
        "concurrency_key": names[Kind.CONCURRENCY_KEY],
        "context": {"text": text},
    }
    run = runtime.submit(reference, **options)
    others = [runtime.submit(calm), runtime.submit(f"{reference}=={version}")]
    ended = [one.result(PATIENCE).summary.status.value for one in (run, *others)]
    assert ended == ["failed", "succeeded", "failed"]
    runtime.submit(calm, detach=True)
    return {
        Kind.RUN: run.id,
        Kind.BACKFILL: backfill.id,
        Kind.SENT_EVENT: event.id,
        Kind.API_KEY_TEXT: key.key.text,
        Kind.AUDIT_ENTRY: entry,
    }
