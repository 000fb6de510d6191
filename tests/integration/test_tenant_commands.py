"""`cloacina tenant`: what it prints, and what it ends with."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cloacina_core.cli import main


class Commands:
    """Commands of an administrator, in this process."""

    def __init__(self, home: Path, url: str) -> None:
        self._environment = {"CLOACINA_HOME": str(home), "CLOACINA_DATABASE_URL": url}

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["tenant", *words], env=self._environment)

    def json(self, *words: str) -> Any:
        done = self(*words, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def tenant(tmp_path: Path, store_url: str) -> Commands:
    return Commands(tmp_path / "home", store_url)


def test_a_tenant_from_its_first_day_to_its_last(tenant: Commands) -> None:
    created = tenant("create", "acme", "--live-runs", "2", "--slots", "unlimited")
    listed = tenant("list")
    quotas = tenant.json("quota", "acme", "--live-runs", "unlimited", "--slots", "4")["quotas"]
    suspended = tenant("suspend", "acme")
    resumed = tenant.json("resume", "acme")["state"]
    upgraded = tenant.json("upgrade", "--all")
    deleted = tenant.json("delete", "acme", "--yes-delete", "acme", "--drain-timeout", "0")

    assert created.stdout.startswith("CLOACINA_")
    assert listed.stdout.splitlines()[1].split() == ["acme", "active", "2", "-", "-", "-"]
    assert (quotas["live_runs"], quotas["slots"]) == (None, 4)
    assert "cloacina tenant resume acme" in suspended.stderr
    assert resumed == "active"
    assert upgraded == {"acme": []}
    assert Path(deleted["path"]).exists()
    assert tenant("list").stdout == "no tenants\n"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["create", "No!"], 2),
        (["create", "acme"], 5),
        (["create", "other", "--slots", "0"], 2),
        (["create", "other", "--slots", "many"], 2),
        (["quota", "acme"], 2),
        (["upgrade"], 2),
        (["upgrade", "acme", "--all"], 2),
        (["delete", "acme"], 4),
        (["delete", "acme", "--yes-delete", "acme2"], 4),
        (["show", "nobody"], 3),
        (["delete", "nobody", "--yes-delete", "nobody"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cant_be_done_is_told_by_the_exit_status(
    tmp_path: Path, words: list[str], status: int
) -> None:
    tenant = Commands(tmp_path / "home", f"sqlite:///{tmp_path / 'store.db'}")
    tenant("create", "acme")

    assert tenant(*words).exit_code == status
    assert [one["name"] for one in tenant.json("list")] == ["acme"]


def test_a_password_is_only_where_it_is_asked_for(tmp_path: Path, postgresql_url: str) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)
    (url,) = tenant.json("create", "acme")["environment"].values()
    password = url.partition("@")[0].rpartition(":")[2]
    (again,) = tenant.json("rotate-password", "acme")["environment"].values()

    shown = tenant("show", "acme").output + tenant("list", "--json").output

    assert len(password) == 64
    assert password not in again
    assert "password" not in shown
    assert password not in shown
