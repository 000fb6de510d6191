"""Of several things that one request changes, each has an entry in the audit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.registry import StoreView, open_home, signed_wheel

import cloacina_registry.hooks
from cloacina_core.cli import main
from cloacina_core.errors import ConflictError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.model.access import VERBS, Principal, Role
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.gate import Gate
from cloacina_core.runtime.guarded import guarded
from cloacina_core.runtime.schedules import Schedules
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.subscriptions import Subscriptions
from cloacina_core.runtime.triggers import Triggers
from cloacina_core.store import schema
from cloacina_core.store.audit import Audit
from cloacina_registry.access import VERBS as REGISTRY_VERBS
from cloacina_registry.registry import Registry

FLOWS = b"""
from datetime import timedelta

from cloacina_core import Context, Workflow, skip

nightly = Workflow("nightly")


@nightly.task
def load(context: Context) -> None: ...


@nightly.trigger(every=timedelta(hours=1))
def first() -> object:
    return skip("nothing")


@nightly.trigger(every=timedelta(hours=1))
def second() -> object:
    return skip("nothing")
"""
WHEEL = signed_wheel(
    sources={"acme_etl/__init__.py": b"", "acme_etl/flows.py": FLOWS},
    schedules=tuple(
        DeclaredSchedule.checked(name, "nightly", cron="@daily") for name in ("first", "second")
    ),
    subscriptions=tuple(
        DeclaredSubscription.checked(name, "nightly", event="paid") for name in ("first", "second")
    ),
)
ANN = Principal(name="ann", role=Role.PUBLISH, origin="10.0.0.7")
REFERENCE = "acme-etl==1.0"
NAMES = ["acme-etl.first", "acme-etl.second"]


@pytest.fixture
def view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home", SystemClock(), url=store_url)


@pytest.fixture
def audit(view: StoreView) -> Audit:
    return Audit(view.database, IdFactory(SystemClock()))


@pytest.fixture
def gate(audit: Audit) -> Gate:
    return Gate(lambda: ANN, lambda: audit)


def part(view: StoreView, kind: str) -> Any:
    """Return a part of a runtime: what starts workflows, of a kind."""
    plugins = Plugins()
    plugins.add(cloacina_registry.hooks, "registry")
    sources = Sources(view, plugins)
    if kind == "schedules":
        return Schedules(lambda: view.database, sources, view.clock)
    made = Subscriptions if kind == "subscriptions" else Triggers
    return made(lambda: view.database, sources)


def told(audit: Audit) -> list[tuple[str, str | None, str]]:
    """Return what the audit tells, oldest first: verb, target, outcome."""
    entries = reversed(audit.entries())
    return [(one.deed.verb, one.deed.target, one.outcome.value) for one in entries]


@pytest.mark.parametrize("kind", ["schedules", "subscriptions", "triggers"])
def test_what_is_switched_on_and_off_together_is_told_one_by_one(
    view: StoreView, audit: Audit, gate: Gate, kind: str
) -> None:
    WHEEL.upload_to(Registry.of(view))
    mine = guarded(part(view, kind), gate, VERBS, f"{kind}.")

    mine.enable(REFERENCE)
    mine.disable(REFERENCE)

    assert told(audit) == [
        (f"{kind}.{verb}", target, "done")
        for verb in ("enable", "disable")
        for target in (REFERENCE, *NAMES)
    ]
    assert {one.deed.who for one in audit.entries()} == {"ann"}


@pytest.mark.parametrize(
    ("noun", "kind"),
    [("schedule", "schedules"), ("event", "subscriptions"), ("trigger", "triggers")],
)
def test_commands_tell_it_one_by_one(view: StoreView, audit: Audit, noun: str, kind: str) -> None:
    WHEEL.upload_to(Registry.of(view))
    environment = {
        "CLOACINA_HOME": str(view.home),
        "CLOACINA_DATABASE_URL": view.settings.database_url,
        "CLOACINA_BLOB_STORE": "file",
    }

    for verb in ("enable", "disable"):
        done = CliRunner().invoke(main, [noun, verb, REFERENCE], env=environment)
        assert done.exit_code == 0, done.output

    assert told(audit) == [
        (f"{kind}.{verb}", target, "done")
        for verb in ("enable", "disable")
        for target in (REFERENCE, *NAMES)
    ]


@pytest.mark.parametrize("kind", ["schedules", "subscriptions"])
def test_all_that_is_declared_is_switched_on_or_nothing(
    view: StoreView, audit: Audit, gate: Gate, kind: str
) -> None:
    WHEEL.upload_to(Registry.of(view))
    unchecked = part(view, kind)
    options = {"cron": "@hourly"} if kind == "schedules" else {"event": "made"}
    unchecked.add(NAMES[1], "acme-etl/nightly", **options)

    with pytest.raises(ConflictError):
        guarded(unchecked, gate, VERBS, f"{kind}.").enable(REFERENCE)

    assert [state.name for state in unchecked.all()] == [NAMES[1]]
    assert told(audit) == [(f"{kind}.enable", REFERENCE, "failed")]


def test_an_entry_that_cant_be_written_afterwards_undoes_nothing(
    view: StoreView, audit: Audit, gate: Gate
) -> None:
    WHEEL.upload_to(Registry.of(view))
    schedules = part(view, "schedules")

    class Awkward(Schedules):
        """Leaves no room for the entries of what it switched on."""

        def enable(self, *args: Any, **options: Any) -> Any:
            kept = schedules.enable(*args, **options)
            with view.begin() as connection:
                schema.audit.drop(connection)
            return kept

    awkward = Awkward(lambda: view.database, schedules._sources, view.clock)

    kept = guarded(awkward, gate, VERBS, "schedules.").enable(REFERENCE)

    assert [state.name for state, _ in kept] == NAMES


def test_wheels_that_are_published_together_are_told_one_by_one(
    view: StoreView, audit: Audit, gate: Gate
) -> None:
    registry = Registry.of(view)
    wheels = [signed_wheel(version) for version in ("1.0", "2.0")]
    admitted = [registry.admit(*wheel.files) for wheel in wheels]

    guarded(registry, gate, REGISTRY_VERBS, "registry.").publish(admitted)

    verb = "registry.publish"
    assert told(audit) == [
        (verb, None, "done"),
        *((verb, wheel.filename, "done") for wheel in wheels),
    ]


def test_each_wheel_of_an_upload_is_told_with_what_became_of_it(
    view: StoreView, audit: Audit, tmp_path: Path
) -> None:
    wheels = [signed_wheel(version) for version in ("1.0", "2.0")]
    folder = tmp_path / "dist"
    folder.mkdir()
    for wheel in wheels:
        (folder / wheel.filename).write_bytes(wheel.data)
    signature = folder / f"{wheels[0].filename}.release.attestation"
    signature.write_bytes(wheels[0].attestation)  # nobody signed the second one
    environment = {
        "CLOACINA_HOME": str(view.home),
        "CLOACINA_DATABASE_URL": view.settings.database_url,
    }

    paths = [str(folder / wheel.filename) for wheel in wheels]
    done = CliRunner().invoke(main, ["registry", "upload", *paths, "--offline"], env=environment)

    assert done.exit_code != 0
    whole, *each = told(audit)
    assert whole[0] == "registry.upload"
    assert each == [
        ("registry.upload", wheels[0].filename, "done"),
        ("registry.upload", wheels[1].filename, "failed"),
    ]
