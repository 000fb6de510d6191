"""What a plugin's command may do is what whoever calls it may, however the command is made."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result
from support.access import contents, keys_of_every_sort
from support.registry import OWNER, StoreView, signed_wheel
from support.signing import grant_key

from cloacina_core.cli import main
from cloacina_core.cli.entitlement import VARIABLE
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.model.audit import AuditEntry
from cloacina_core.store.audit import Audit
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels

Cli: TypeAlias = Callable[..., Result]

HOOKS = """
from cloacina_core.plugin import Act, CommandSpec, Finding, Role, changes, hookimpl, reads

ACTS = {
    "rogue open": None,
    "rogue note": Act("rogue.note", changes(Role.RUN), "text"),
    "rogue": Act("rogue.all", changes(Role.RUN)),
    "rogue plain": Act("rogue.plain", changes(Role.PUBLISH)),
    "rogue found": Act("rogue.found", changes(Role.PUBLISH)),
    **{
        f"rogue {name}": Act(f"rogue.{name}", reads())
        for name in ("promote", "yank", "cancel", "write", "put", "delete", "blobs", "kill")
    },
}

@hookimpl
def cloacina_commands():
    return [CommandSpec("rogue", "rogue_commands:rogue", "Do what isn't allowed.", ACTS)]

@hookimpl
def cloacina_doctor(view):
    yield Finding("rogue", "warn", f"at {view.home.name}", "mend it")
    raise SystemExit("no more")
"""

COMMANDS = """
import click
from sqlalchemy import text

from cloacina_core.cli.console import command_options, pass_console
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.rollout.withdrawal import Withdrawals
from cloacina_registry import tables

class Finding(click.Group):
    def list_commands(self, ctx):
        return [*super().list_commands(ctx), "found"]

    def get_command(self, ctx, name):
        if name == "found":
            return click.Command("found", callback=lambda: click.echo("did found"))
        return super().get_command(ctx, name)

@click.group(cls=Finding, invoke_without_command=True, chain=True)
@click.pass_context
def rogue(ctx):
    if ctx.invoked_subcommand is None:
        click.echo("did all")

@rogue.command()
def plain():
    click.echo("did plain")

@rogue.command()
def forgotten():
    click.echo("did forgotten")

@rogue.command("open")
def open_():
    click.echo("did open")

@rogue.command()
@click.argument("text")
@command_options
@pass_console
def note(console, *, text):
    click.echo(f"did note for {console.view.user}")

def attack(function):
    name = function.__name__

    @rogue.command(name)
    @command_options
    @pass_console
    def command(console):
        view = console.view
        function(view, Registry.of(view))
        click.echo(f"did {name}")

@attack
def promote(view, registry):
    Channels.of(view, registry).promote("acme-etl", "2.0", tried=False)

@attack
def yank(view, registry):
    registry.yank("acme-etl", "2.0", "because")

@attack
def kill(view, registry):
    Withdrawals(view, registry).kill("acme-etl", "2.0", "because")

@attack
def cancel(view, registry):
    view.runs.cancel(registry.show("acme-etl", "2.0").digest, "because")

@attack
def write(view, registry):
    with view.begin() as connection:
        connection.execute(text("DELETE FROM runs"))

@attack
def put(view, registry):
    view.blob_store().put(b"bytes")

@attack
def delete(view, registry):
    view.blob_store().delete(registry.show("acme-etl", "2.0").digest)

@attack
def blobs(view, registry):
    view.blobs_in(tables.blobs).put(b"bytes")
"""

ATTACKS = {
    "promote": "publish",
    "yank": "publish",
    "kill": "publish",
    "cancel": "run",
    "write": "run",
    "put": "publish",
    "delete": "admin",
    "blobs": "run",
}
"""What commands do that say of themselves that they only read, and which role may."""
ROLES = ("read", "run", "publish", "admin")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin, installed."""
    site = tmp_path / "site"
    described = site / "rogue-1.0.dist-info"
    described.mkdir(parents=True)
    (site / "rogue_hooks.py").write_text(HOOKS)
    (site / "rogue_commands.py").write_text(COMMANDS)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: rogue\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[cloacina]\nrogue = rogue_hooks\n")
    monkeypatch.syspath_prepend(str(site))


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    view = StoreView(tmp_path / "home", SystemClock())
    grant_key(view.home, "owner", OWNER.public)
    registry = Registry.of(view)
    for version in ("1.0", "2.0"):
        signed_wheel(version).upload_to(registry)
    Channels.of(view, registry).promote("acme-etl", "1.0", tried=False)
    yield view
    view.database.close()


@pytest.fixture
def keys(view: StoreView) -> Mapping[str, str]:
    return keys_of_every_sort(view.database)


@pytest.fixture
def cli(plugin: None, view: StoreView, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("CLOACINA_HOME", str(view.home))
    monkeypatch.delenv(VARIABLE, raising=False)

    def call(words: str, key: str | None = None, **variables: str) -> Result:
        environment = {**variables, **({VARIABLE: key} if key is not None else {})}
        return CliRunner().invoke(main, words.split(), env=environment)

    return call


def told(view: StoreView) -> list[AuditEntry]:
    return list(Audit(view.database, IdFactory(SystemClock())).entries())


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        ("rogue plain", "publish"),
        ("rogue found", "publish"),
        ("rogue forgotten", "admin"),
        ("rogue", "run"),
    ],
)
def test_a_command_made_without_a_console_is_checked_and_told(
    cli: Cli, view: StoreView, keys: Mapping[str, str], words: str, needed: str
) -> None:
    done = {role: cli(words, keys[role]) for role in ROLES}

    allowed = [role for role in ROLES if ROLES.index(role) >= ROLES.index(needed)]
    assert [role for role in ROLES if "did " in done[role].output] == allowed
    assert {done[role].exit_code for role in ROLES if role not in allowed} == {4}
    outcomes = {entry.deed.who: entry.outcome.value for entry in told(view)}
    assert outcomes == {role: "done" if role in allowed else "refused" for role in ROLES}


def test_each_of_several_commands_that_are_called_at_once_is_checked(
    cli: Cli, keys: Mapping[str, str]
) -> None:
    done = cli("rogue open plain", keys["run"])

    assert (done.exit_code, done.stdout) == (4, "did open\n")


def test_without_a_key_all_of_it_may_be_done_and_is_told(cli: Cli, view: StoreView) -> None:
    assert cli("rogue plain").stdout == "did plain\n"
    assert cli("rogue open", CLOACINA_REQUIRE_API_KEY="true").stdout == "did open\n"
    refused = cli("rogue plain", CLOACINA_REQUIRE_API_KEY="true")

    assert refused.exit_code == 4
    assert [entry.deed.verb for entry in told(view)] == ["rogue.plain"] * 2


def test_a_command_acts_for_the_holder_of_the_key(
    cli: Cli, view: StoreView, keys: Mapping[str, str]
) -> None:
    assert cli("rogue note hello", keys["run"]).stdout == "did note for run\n"

    (entry,) = told(view)
    assert (entry.deed.who, entry.deed.verb, entry.deed.target) == ("run", "rogue.note", "hello")


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_command_that_says_it_only_reads_can_do_no_more_than_the_role_of_the_key(
    cli: Cli, view: StoreView, keys: Mapping[str, str], attack: str
) -> None:
    may = ROLES.index(ATTACKS[attack])
    before, releases = contents(view.database), state_of(view)

    for role in ROLES[:may]:
        refused = cli(f"rogue {attack} --json", keys[role])

        assert json.loads(refused.stderr)["error"]["code"] == "role-too-low", role
        assert (contents(view.database), state_of(view)) == (before, releases)
        newest = told(view)[0]
        assert (newest.deed.who, newest.outcome.value) == (role, "refused")
    assert cli(f"rogue {attack}", keys[ROLES[may]]).stdout == f"did {attack}\n"


def state_of(view: StoreView) -> object:
    """Return what of releases, channels and their bytes could be changed."""
    registry = Registry.of(view)
    return (
        [(one.version, one.status) for one in registry.releases("acme-etl")],
        Channels.of(view, registry).get("acme-etl", "stable").version,
        sorted(blob.digest for blob in view.blob_store().blobs()),
    )


def test_the_doctor_goes_on_when_a_plugin_fails_and_tells_that(cli: Cli) -> None:
    done = cli("doctor --json")

    assert done.exit_code == 1
    found = {one["what"]: one for one in json.loads(done.stdout) if one["verdict"] != "ok"}
    assert found["rogue"]["detail"] == "at home"
    assert found["plugin rogue"]["detail"] == "cloacina_doctor: SystemExit: no more"
    assert "workers: limits" in done.stdout
