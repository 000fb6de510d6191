"""Who may make a store, or upgrade one; nobody does either who asked for something else."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import click
import pytest
from click.testing import CliRunner, Result
from support.access import keys_of_every_sort
from support.surface import commands

from cloacina_core.cli import main
from cloacina_core.cli.acts import ACTS
from cloacina_core.cli.entitlement import VARIABLE
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.store.audit import Audit
from cloacina_core.store.database import Database, Standing
from cloacina_core.store.migrations.runner import Migrations
from cloacina_registry.access import ACTS as REGISTRY_ACTS

Cli: TypeAlias = Callable[..., Result]

ANYBODYS = sorted(words for words, act in {**ACTS, **REGISTRY_ACTS}.items() if act is None)
OF_THEIR_OWN = {"demo"}
"""Commands that make a home of their own, and don't look at that of the caller."""
NOT_ADMINS = ["read", "run", "publish", "expired", "revoked", "malformed", "of another store"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture
def cli(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a way to call commands where keys are asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLOACINA_HOME", str(home))
    monkeypatch.setenv("CLOACINA_REQUIRE_API_KEY", "true")
    monkeypatch.delenv(VARIABLE, raising=False)

    def call(*words: str, url: str, key: str | None = None, **variables: str) -> Result:
        given = {**variables, **({VARIABLE: key} if key is not None else {})}
        return CliRunner().invoke(main, [*words], env={"CLOACINA_DATABASE_URL": url, **given})

    return call


def code(done: Result) -> str:
    return str(json.loads(done.stderr)["error"]["code"])


def standing(url: str) -> Standing:
    with closing(Database(url, SystemClock(), prepare=False)) as database:
        return database.standing()


def told(url: str) -> list[tuple[str, str, str]]:
    with closing(Database(url, SystemClock(), prepare=False)) as database:
        entries = Audit(database, IdFactory(SystemClock())).entries()
    return [(one.deed.who, one.deed.verb, one.outcome.value) for one in entries]


@pytest.fixture
def outdated(store_url: str, two: Migrations, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Have the store be an older one; return its API keys."""
    with closing(Database(store_url, SystemClock())) as database:
        keys = dict(keys_of_every_sort(database))
    defaults: dict[str, Any] = {**(Database.__init__.__kwdefaults__ or {}), "migrations": two}
    monkeypatch.setattr(Database.__init__, "__kwdefaults__", defaults)
    return keys


def words_of(words: str) -> list[str]:
    """Return a command with something for each thing that it requires."""
    required = [one for one in commands()[words].params if one.required]
    given = [[one.opts[0]] if isinstance(one, click.Option) else [] for one in required]
    return words.split() + [word for options in given for word in (*options, "nothing")]


@pytest.mark.parametrize("words", sorted({*ANYBODYS} - OF_THEIR_OWN))
def test_what_anybody_may_do_makes_no_store(cli: Cli, tmp_path: Path, words: str) -> None:
    url = f"sqlite:///{tmp_path / 'nowhere.db'}"

    done = cli(*words_of(words), url=url)

    assert done.exit_code in {0, 1, 2, 3, 4}, done.output
    assert not (tmp_path / "nowhere.db").exists()


def test_what_anybody_may_do_upgrades_no_store(
    cli: Cli, store_url: str, outdated: dict[str, str]
) -> None:
    for words in sorted({*ANYBODYS} - OF_THEIR_OWN):
        cli(*words_of(words), url=store_url)
        assert standing(store_url) is Standing.OUTDATED, words


def test_the_doctor_tells_of_a_store_that_isnt_there_or_is_old(
    cli: Cli, tmp_path: Path, store_url: str, outdated: dict[str, str]
) -> None:
    def finding(url: str) -> dict[str, str]:
        findings = json.loads(cli("doctor", "--json", url=url).stdout)
        (found,) = [one for one in findings if one["what"] == "store"]
        return {"verdict": found["verdict"], "mend": found["mend"]}

    none = f"sqlite:///{tmp_path / 'nowhere.db'}"
    assert finding(none) == {"verdict": "warn", "mend": "cloacina init"}
    assert finding(store_url) == {"verdict": "warn", "mend": "cloacina db upgrade"}


@pytest.mark.parametrize("words", ["init", "db upgrade", "db upgrade --plan"])
def test_only_an_admin_upgrades_a_store(
    cli: Cli, store_url: str, outdated: dict[str, str], words: str
) -> None:
    nobody = cli(*words.split(), "--json", url=store_url)
    refused = {
        sort: cli(*words.split(), "--json", url=store_url, key=outdated[sort])
        for sort in NOT_ADMINS
    }

    assert (nobody.exit_code, code(nobody)) == (4, "api-key-needed")
    assert {one.exit_code for one in refused.values()} == {4}
    assert standing(store_url) is Standing.OUTDATED
    assert len(told(store_url)) == 1 + len(NOT_ADMINS)
    assert {outcome for _, _, outcome in told(store_url)} == {"refused"}


@pytest.mark.parametrize("words", ["init", "db upgrade"])
def test_an_admin_upgrades_a_store_and_that_is_told(
    cli: Cli, store_url: str, outdated: dict[str, str], words: str
) -> None:
    planned = cli("db", "upgrade", "--plan", url=store_url, key=outdated["admin"])
    assert "ADD COLUMN colour" in planned.stdout
    assert standing(store_url) is Standing.OUTDATED

    done = cli(*words.split(), url=store_url, key=outdated["admin"])

    assert done.exit_code == 0, done.output
    assert standing(store_url) is Standing.CURRENT
    assert told(store_url)[0] == ("admin", words.replace(" ", "."), "done")


@pytest.mark.parametrize("sort", ["read", "admin"])
def test_nothing_else_upgrades_a_store_where_keys_are_asked_for(
    cli: Cli, store_url: str, outdated: dict[str, str], sort: str
) -> None:
    for words in ("runs list", "schedule list"):
        done = cli(*words.split(), "--json", url=store_url, key=outdated[sort])
        assert (done.exit_code, code(done)) == (6, "schema-outdated")
    changed = cli("limits", "set", "crm", "3", "--json", url=store_url, key=outdated[sort])

    assert changed.exit_code == (6 if sort == "admin" else 4)
    assert standing(store_url) is Standing.OUTDATED


def test_strangers_dont_learn_that_a_store_is_old(
    cli: Cli, store_url: str, outdated: dict[str, str]
) -> None:
    for key in (None, outdated["revoked"]):
        done = cli("runs", "list", "--json", url=store_url, key=key)
        assert done.exit_code == 4
        assert "schema" not in done.stderr


def test_without_keys_whatever_opens_a_store_upgrades_it(
    cli: Cli, store_url: str, outdated: dict[str, str]
) -> None:
    done = cli("runs", "list", url=store_url, CLOACINA_REQUIRE_API_KEY="false")

    assert done.exit_code == 0
    assert standing(store_url) is Standing.CURRENT


@pytest.mark.parametrize("words", ["init", "db upgrade"])
def test_where_there_is_no_store_whoever_can_makes_it(
    cli: Cli, empty_store_url: str, words: str
) -> None:
    done = cli(*words.split(), url=empty_store_url)

    assert done.exit_code == 0, done.output
    assert standing(empty_store_url) is Standing.CURRENT
    assert cli(*words.split(), url=empty_store_url).exit_code == 4
    assert told(empty_store_url)[0][1:] == (words.replace(" ", "."), "refused")


@pytest.mark.parametrize("key", [None, "", "clk_nonsense"])
def test_where_there_is_no_store_nothing_else_is_done_for_anybody(
    cli: Cli, empty_store_url: str, key: str | None
) -> None:
    for words in ("runs list", "limits set crm 3", "api-key create root --role admin"):
        done = cli(*words.split(), "--json", url=empty_store_url, key=key)
        assert done.exit_code == 4
        assert code(done) == ("api-key-needed" if key is None else "api-key-refused")
    assert standing(empty_store_url) is Standing.MISSING


@pytest.mark.parametrize("name", ["cloacina.db", "cloacina.db?synchronous=NORMAL", "store.db"])
def test_a_home_that_isnt_there_is_made_where_keys_are_asked_for(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    new = tmp_path / "new"

    def call(*words: str) -> Result:
        url = f"sqlite:///{new / name}"
        return cli(*words, url=url, CLOACINA_HOME=str(new))

    assert call("trust", "revoke", "default").exit_code == 4
    assert not new.exists()
    assert call("init").exit_code == 0
    assert call("init").exit_code == 4
