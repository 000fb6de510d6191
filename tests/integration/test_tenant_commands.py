"""`cloacina tenant`: what it prints, and what it ends with."""

import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import make_url, update
from support.tenants import connected, names

from cloacina_core.cli import main
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.user import who_asks
from cloacina_core.store import schema
from cloacina_core.store.database import Database


class Commands:
    """Commands of an administrator, in this process."""

    def __init__(self, home: Path, url: str) -> None:
        self._environment = {"CLOACINA_HOME": str(home), "CLOACINA_DATABASE_URL": url}

    def __call__(self, *words: str) -> Result:
        return self.call("tenant", *words)

    def call(self, *words: str) -> Result:
        return CliRunner().invoke(main, [*words], env=self._environment)

    def json(self, *words: str) -> Any:
        return _json(self(*words, "--json"))

    def audit(self, *options: str) -> list[tuple[str, str | None, str]]:
        """Return what the audit tells, oldest first: verb, target, outcome."""
        entries = _json(self.call("audit", "list", "--json", *options))
        return [(one["verb"], one["target"], one["outcome"]) for one in reversed(entries)]


def _json(done: Result) -> Any:
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def tables_in_public(url: str) -> list[str]:
    with connected(url) as connection:
        return names(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


@pytest.fixture
def store_url(empty_store_url: str) -> str:
    """Return an installation's database as it is before its first tenant."""
    return empty_store_url


@pytest.fixture
def postgresql_url(empty_postgresql_url: str) -> str:
    """Return an installation's database as it is before its first tenant."""
    return empty_postgresql_url


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


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10_000_000_000), ("512MiB", 2**29), ("4096", 4096), ("Unlimited", None)],
)
def test_sizes_are_given_as_people_write_them(tmp_path: Path, text: str, size: int | None) -> None:
    tenant = Commands(tmp_path, f"sqlite:///{tmp_path / 'store.db'}")

    tenant("create", "acme", "--storage-bytes", text)

    assert tenant.json("show", "acme")["quotas"]["storage_bytes"] == size
    assert tenant("quota", "acme", "--storage-bytes", "10 apples").exit_code == 2
    assert tenant("quota", "acme", "--slots", "4KiB").exit_code == 2
    assert tenant.json("quota", "acme", "--slots", "UNLIMITED")["quotas"]["slots"] is None


def test_a_quota_below_what_is_stored_already_is_warned_of(tenant: Commands) -> None:
    tenant("create", "acme")
    used = tenant.json("show", "acme")["usage"]["storage_bytes"]

    below = tenant("quota", "acme", "--storage-bytes", str(used - 1), "--quiet")
    above = tenant("quota", "acme", "--storage-bytes", "1GiB")
    other = tenant("quota", "acme", "--slots", "3")

    assert below.exit_code == 0
    assert f"({used} bytes) already" in below.stderr
    assert "warning" not in above.stderr + other.stderr


def test_the_doctor_tells_a_tenant_since_when_and_by_whom_it_is_suspended(
    tmp_path: Path, tenant: Commands
) -> None:
    environment = tenant.json("create", "acme")["environment"]
    people = Commands(tmp_path / "people", environment["CLOACINA_DATABASE_URL"])

    def told() -> list[str]:
        findings = json.loads(people.call("doctor", "--json").stdout)
        return [one["detail"] for one in findings if one["what"] == "tenant"]

    before = told()
    tenant("suspend", "acme")
    (suspended,) = told()
    tenant("suspend", "acme")
    (again,) = told()
    tenant("resume", "acme")

    assert before == told() == []
    assert suspended == again
    since, _, by = suspended.removeprefix("suspended since ").partition("Z by ")
    age = SystemClock().now() - datetime.fromisoformat(f"{since}+00:00")
    assert timedelta(-1) < age < timedelta(1)
    assert by == f"{who_asks()}: nothing new starts"


def test_a_password_is_only_where_it_is_asked_for(tmp_path: Path, postgresql_url: str) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)
    (url,) = tenant.json("create", "acme")["environment"].values()
    password = url.partition("@")[0].rpartition(":")[2]
    (again,) = tenant.json("rotate-password", "acme")["environment"].values()

    shown = tenant("show", "acme").output + tenant("list", "--json").output

    assert len(password) == 64
    assert password not in again
    assert "password" not in shown.replace(str(tmp_path), "")
    assert password not in shown


def test_what_is_printed_is_what_a_shell_reads(tmp_path: Path) -> None:
    home = tmp_path / "a home & more"
    tenant = Commands(home, f"sqlite:///{tmp_path / 'store.db'}")
    file = tmp_path / "acme.env"
    file.write_text(tenant("create", "acme").stdout)

    script = f"set -a; . {file}; exec env"
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    assert f"CLOACINA_HOME={home / 'tenants' / 'acme'}\n" in told
    assert f"CLOACINA_DATABASE_URL=sqlite:///{home / 'tenants' / 'acme'}/cloacina.db\n" in told


def test_a_tenant_is_told_how_to_back_up_what_it_may_read(
    tmp_path: Path, postgresql_url: str
) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)
    (url,) = tenant.json("create", "acme")["environment"].values()
    schema = tenant.json("show", "acme")["place"]

    told = Commands(tmp_path / "acme", url).call("db", "backup", str(tmp_path / "copy"))

    assert told.exit_code == 2
    assert f" --schema={schema} " in told.stderr


def test_what_is_asked_of_tenants_is_told_beside_their_list(
    tmp_path: Path, postgresql_url: str
) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)

    before = tenant.call("audit", "list")
    tenant("create", "No!")
    (url,) = tenant.json("create", "acme")["environment"].values()
    tenant.json("suspend", "acme")
    told = tenant.audit()

    assert before.exit_code == 2
    assert told == [
        ("tenants.create", "No!", "failed"),
        ("tenants.create", "acme", "done"),
        ("tenants.suspend", "acme", "done"),
    ]
    assert tables_in_public(postgresql_url) == []
    with connected(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT * FROM cloacina_admin.audit")


PASSED_ON = {
    "limits set hunter1 3 --rate hunter2/1m": ("limits set", "hunter1", ["rate"]),
    "event send there --data hunter2": ("event send", "there", ["data"]),
    "registry show acme-etl==1.0 --json": ("registry show", "acme-etl==1.0", ["as_json"]),
    "secret set --from-file=hunter2 token": ("secret set", "token", ["from_file"]),
    "limits set --such=hunter2 crm": ("limits set", None, None),
    "limits hunter2": ("limits", None, None),
    "hunter2 --password hunter2": (None, None, None),
    "trust": ("trust", None, None),
}
"""Commands that are passed on to a tenant, and what is told of them: words, target, options."""


def test_what_is_passed_on_to_a_tenant_is_told_and_no_value(tmp_path: Path) -> None:
    tenant = Commands(tmp_path / "home", f"sqlite:///{tmp_path / 'home' / 'cloacina.db'}")
    tenant("create", "acme")
    for words in PASSED_ON:
        tenant("exec", "acme", *words.split())

    entries = _json(tenant.call("audit", "list", "--json", "--verb", "tenants.exec"))
    shown = tenant.call("audit", "list").stdout

    names = ("command", "command_target", "command_options")
    told = [tuple(one["facts"].get(name) for name in names) for one in reversed(entries)]
    assert told == list(PASSED_ON.values())
    assert {one["target"] for one in entries} == {"acme"}
    assert "acme: limits set hunter1" in shown
    assert "hunter2" not in shown + json.dumps(entries)


def age_all(url: str) -> None:
    """Have all that is told of tenants have happened long ago."""
    with connected(url) as connection:
        connection.execute("UPDATE cloacina_admin.audit SET at = 1")


def test_the_administrators_audit_is_kept_as_long_as_any(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = Commands(tmp_path, postgresql_url)
    tenant("create", "acme")
    tenant("suspend", "acme")
    age_all(postgresql_url)

    monkeypatch.setenv("CLOACINA_RETENTION_AUDIT", "forever")
    tenant("resume", "acme")
    before = [verb for verb, _, _ in tenant.audit()]
    monkeypatch.delenv("CLOACINA_RETENTION_AUDIT")
    tenant("quota", "acme", "--slots", "2")

    assert before == ["tenants.create", "tenants.suspend", "tenants.resume"]
    assert [verb for verb, _, _ in tenant.audit()] == ["tenants.resume", "tenants.quota"]


def test_the_audit_of_an_installation_on_sqlite_needs_no_engine_to_forget(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cloacina.db'}"
    tenant = Commands(tmp_path, url)
    tenant("create", "acme")
    database = Database(url, SystemClock())
    with database.begin() as connection:
        connection.execute(update(schema.audit).values(at=1))
    database.close()

    tenant("suspend", "acme")

    assert tenant.audit() == [("tenants.suspend", "acme", "done")]


def test_both_audits_are_listed_page_by_page(tmp_path: Path, postgresql_url: str) -> None:
    tenant = Commands(tmp_path, postgresql_url)
    tenant.call("limits", "set", "api", "3")
    tenant("create", "acme")
    for limit in ("4", "5"):
        tenant.call("limits", "set", "api", limit)
        tenant("quota", "acme", "--slots", limit)

    def paged(*options: str) -> list[str]:
        verbs: list[str] = []
        before: list[str] = []
        while page := _json(
            tenant.call("audit", "list", "--json", "--limit", "1", *options, *before)
        ):
            verbs += [one["verb"] for one in page]
            before = ["--before", page[-1]["id"]]
        return verbs

    assert paged() == [*["tenants.quota", "set_limit"] * 2, "tenants.create", "set_limit"]
    assert paged("--tenants") == ["tenants.quota", "tenants.quota", "tenants.create"]
    assert tenant.call("audit", "list", "--tenants", "--before", "nothing").exit_code == 2


def test_an_administrator_with_a_store_is_told_of_both(tmp_path: Path, postgresql_url: str) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)

    tenant.json("create", "acme")
    tenant.call("init")
    tenant.call("limits", "set", "api", "3")
    tenant.call("tenant", "suspend", "acme")

    of_tenants = [("tenants.create", "acme", "done"), ("tenants.suspend", "acme", "done")]
    assert tenant.audit() == [of_tenants[0], ("set_limit", "api", "done"), of_tenants[1]]
    assert tenant.audit("--tenants") == of_tenants
    assert tenant.audit("--verb", "set_limit") == [("set_limit", "api", "done")]


@pytest.mark.parametrize("words", ["runs list", "db info", "limits set api 3", "engines list"])
def test_no_store_is_made_beside_tenants_by_who_forgot_to_name_one(
    tmp_path: Path, postgresql_url: str, words: str
) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)
    tenant.json("create", "acme")

    done = tenant.call(*words.split(), "--json")

    assert done.exit_code == 6
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "no-store"
    assert "cloacina tenant exec NAME" in error["hint"]
    assert tables_in_public(postgresql_url) == []
    assert tenant.audit() == [("tenants.create", "acme", "done")]


@pytest.mark.parametrize("words", ["init", "db upgrade"])
def test_a_store_beside_tenants_is_made_by_who_asks_for_it(
    tmp_path: Path, postgresql_url: str, words: str
) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)
    tenant.json("create", "acme")

    assert tenant.call(*words.split()).exit_code == 0
    assert tenant.call("runs", "list").exit_code == 0
    assert "runs" in tables_in_public(postgresql_url)


def test_where_no_tenant_is_left_a_store_is_made_as_elsewhere(
    tmp_path: Path, postgresql_url: str
) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)
    tenant.json("create", "acme")
    tenant.json("delete", "acme", "--yes-delete", "acme", "--drain-timeout", "0")

    assert tenant.call("runs", "list").stdout == "no runs\n"
    assert [verb for verb, _, _ in tenant.audit()] == ["tenants.create", "tenants.delete"]


def test_the_list_of_another_administrator_hides_no_audit(
    tmp_path: Path, postgresql_url: str
) -> None:
    Commands(tmp_path / "home", postgresql_url)("create", "acme")
    with connected(postgresql_url) as connection:
        connection.execute("CREATE ROLE keeper_of_another LOGIN")
        connection.execute("CREATE SCHEMA keeper_of_another AUTHORIZATION keeper_of_another")
    url = make_url(postgresql_url).set(username="keeper_of_another")
    keeper = Commands(tmp_path / "keeper", url.render_as_string(hide_password=False))
    try:
        keeper.call("db", "upgrade")
        keeper.call("limits", "set", "api", "3")

        assert keeper.audit() == [("set_limit", "api", "done")]
        assert keeper.call("audit", "list", "--tenants").exit_code == 4
    finally:
        with connected(postgresql_url) as connection:
            connection.execute("DROP OWNED BY keeper_of_another CASCADE")
            connection.execute("DROP ROLE keeper_of_another")


def test_what_a_tenant_asks_of_tenants_is_told_in_its_own_store(
    tmp_path: Path, postgresql_url: str
) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)
    (url,) = tenant.json("create", "acme")["environment"].values()
    acme = Commands(tmp_path / "acme", url)

    refused = acme("create", "other")

    assert refused.exit_code == 4
    assert acme.audit() == [("tenants.create", "other", "failed")]
    assert acme.call("audit", "list", "--tenants").exit_code == 2
    assert tenant.audit() == [("tenants.create", "acme", "done")]


def test_an_api_key_is_refused_where_there_is_no_store(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = Commands(tmp_path / "home", postgresql_url)
    monkeypatch.setenv("CLOACINA_API_KEY", "clo_" + "a" * 40)

    refused = tenant("create", "acme")

    assert refused.exit_code != 0
    assert tables_in_public(postgresql_url) == []
    monkeypatch.delenv("CLOACINA_API_KEY", raising=False)
    assert tenant.json("list") == []
