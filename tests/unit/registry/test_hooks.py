"""The registry enters the core as a plugin, and costs nothing until it is asked for something."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pluggy
import pytest
from sqlalchemy import Table
from support.registry import StoreView
from support.signing import grant_key

from cloacina_core.plugin import WorkflowSource, spec
from cloacina_core.plugin.markers import PROJECT
from cloacina_registry import hooks
from cloacina_registry.audit.signed import RegistryKey
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.store import TrustStore

NOUNS = ["package", "registry", "key", "trust", "demo"]


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    view = StoreView(tmp_path / "home")
    yield view
    view.database.close()


def policy_keys(view: StoreView) -> dict[str, str]:
    policy = TrustStore(view.home, view.clock).policy()
    return {key.name: key.state(view.clock.now()) for key in policy.keys}


def test_every_hook_is_one_that_the_core_knows():
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(spec)

    manager.register(hooks)
    manager.check_pending()

    assert {caller.name for caller in manager.get_hookcallers(hooks) or []} == {
        "cloacina_blob_stores",
        "cloacina_commands",
        "cloacina_workflow_sources",
        "cloacina_tables",
        "cloacina_prepare_home",
    }


def test_naming_the_commands_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from cloacina_registry import hooks\n"
        "hooks.cloacina_commands()\n"
        "heavy = {'cryptography', 'sqlalchemy', 'click', 'packaging', 'jsonschema'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert done.stdout == "[]\n"


@pytest.mark.parametrize("noun", NOUNS)
def test_each_command_is_where_it_is_said_to_be(noun: str):
    specs = {spec.name: spec for spec in hooks.cloacina_commands()}
    module, _, attribute = specs[noun].target.partition(":")

    command = getattr(importlib.import_module(module), attribute)

    assert isinstance(command, click.Command)
    assert command.name == noun
    assert specs[noun].help.endswith(".")


def test_the_source_is_the_registry(view: StoreView):
    sources: list[WorkflowSource] = list(hooks.cloacina_workflow_sources(view))

    assert [source.name for source in sources] == ["registry"]
    assert sources[0].packages() == []


def test_the_tables_bear_the_name_of_their_plugin():
    tables = hooks.cloacina_tables()

    assert all(isinstance(table, Table) for table in tables)
    assert all(table.name.startswith("registry_") for table in tables)
    assert tables


def test_a_new_home_has_a_key_that_it_trusts(view: StoreView):
    reports = hooks.cloacina_prepare_home(view, None)

    assert [report.what for report in reports] == ["key", "trust"]
    (entry,) = KeyRing(view.home).list()
    assert (entry.name, entry.encrypted) == ("default", False)
    assert reports[0].facts["key_id"] == entry.public.key_id
    policy = TrustStore(view.home, view.clock).policy()
    assert policy.by_id(entry.public.key_id) == policy.named("default")
    assert policy.patterns_of("default") == ("*",)


def test_the_first_key_is_the_root_of_trust(view: StoreView):
    reports = hooks.cloacina_prepare_home(view, None)

    policy = TrustStore(view.home, view.clock).policy()
    assert (policy.version, policy.root.threshold) == (1, 1)
    assert policy.root.key_ids == {policy.named("default").public.key_id}
    assert reports[1].facts == {"name": "default", "packages": ["*"], "root": True, "version": 1}


def test_a_passphrase_encrypts_the_key(view: StoreView):
    hooks.cloacina_prepare_home(view, "four random words together")

    (entry,) = KeyRing(view.home).list()
    assert entry.encrypted
    assert KeyRing(view.home).load_private("default", "four random words together")
    assert policy_keys(view) == {"default": "trusted"}


def test_a_home_that_is_ready_is_left_alone(view: StoreView):
    hooks.cloacina_prepare_home(view, None)
    before = (KeyRing(view.home).list(), policy_keys(view))

    reports = hooks.cloacina_prepare_home(view, None)

    assert reports == []
    assert (KeyRing(view.home).list(), policy_keys(view)) == before


def test_a_revoked_key_is_not_trusted_again(view: StoreView):
    hooks.cloacina_prepare_home(view, None)
    root = KeyRing(view.home).load_private("default", None)
    TrustStore(view.home, view.clock).change(
        lambda policy: policy.revoking("default", view.clock.now()), [root]
    )

    hooks.cloacina_prepare_home(view, None)

    assert policy_keys(view) == {"default": "revoked"}


def test_a_home_that_trusts_others_does_not_trust_the_new_key(view: StoreView):
    grant_key(view.home, "team", KeyRing(view.home).new("team", None))

    reports = hooks.cloacina_prepare_home(view, None)

    assert reports == []
    assert policy_keys(view) == {"team": "trusted"}


def test_the_registrys_own_key_is_no_key_to_sign_packages_with(view: StoreView):
    RegistryKey(view.home, None).private()

    reports = hooks.cloacina_prepare_home(view, None)

    assert [report.what for report in reports] == ["key", "trust"]
    assert policy_keys(view) == {"default": "trusted"}


def test_an_interrupted_preparation_is_finished(view: StoreView):
    KeyRing(view.home).new("default", None)  # and then the power went

    reports = hooks.cloacina_prepare_home(view, None)

    assert [report.what for report in reports] == ["trust"]
    assert policy_keys(view) == {"default": "trusted"}
