"""What one tenant can do to another in one PostgreSQL database: nothing.

The attacker knows all that there is to know, names of schemas and ids of runs included, and has a
connection of its own with nothing between it and the server. What it can do with commands and
functions is tried in `test_every_verb`.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url
from support.postgresql import Server
from support.runs import PATIENCE, open_runtime, workflow_of
from support.tenants import Team, admin_of, connected, made, names

from cloacina_core.errors import StoreError, TenantSchemaError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.runtime import DatabaseAdmin
from cloacina_core.store.database import Database
from cloacina_core.store.local_homes import LocalHomes
from cloacina_core.store.tenants import PostgresqlTenants
from cloacina_core.store.watching import Change, announce

FLOW = workflow_of({"only": []})
LIMITED = workflow_of({"only": []}, name="limited", max_live_runs=1)


@dataclass(frozen=True, slots=True)
class Scene:
    """Two tenants of one database: the attacker, and who has something to lose."""

    admin_url: str
    attacker: Team
    victim: Team
    home: Path


@pytest.fixture
def postgresql_url(empty_postgresql_url: str) -> str:
    """Return an installation's database as it is before its first tenant."""
    return empty_postgresql_url


@pytest.fixture(scope="module")
def scene(postgresql_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("separation")
    with postgresql_server.database() as url:
        with DatabaseAdmin.open(url, home) as admin:  # with plugins, which commands have
            attacker, victim = made(admin, "acme"), made(admin, "zenith")
        with open_runtime(home, victim.url, workflows=[FLOW], recover=False) as runtime:
            runtime.run(FLOW, timeout=PATIENCE)
            runtime.submit(FLOW, detach=True)
            runtime.set_limit("crm", 2)
        yield Scene(url, attacker, victim, home)


def contents(scene: Scene) -> dict[str, list[str]]:
    """Return every row of the victim's, and every role and schema."""
    with connected(scene.admin_url) as connection:
        tables = names(
            connection,
            f"SELECT tablename FROM pg_tables WHERE schemaname = '{scene.victim.role}' ORDER BY 1",
        )
        found = {
            table: names(
                connection, f"SELECT t::text FROM {scene.victim.role}.{table} t ORDER BY 1"
            )
            for table in tables
        }
        found["roles"] = names(connection, "SELECT r::text FROM pg_authid r ORDER BY 1")
        found["schemas"] = names(connection, "SELECT n::text FROM pg_namespace n ORDER BY 1")
        return found


READS = (
    "SELECT * FROM {b}.runs",
    "SELECT count(*) FROM {b}.runs",
    "SELECT * FROM {b}.tenancy",
    "SELECT channel FROM {b}.tenancy",
    "TABLE {b}.payloads",
    "SELECT * FROM {b}.secrets",
    "COPY {b}.runs TO STDOUT",
    "SELECT query_to_xml('SELECT * FROM {b}.runs', true, true, '')",
    "SELECT * FROM cloacina_admin.tenants",
    "SELECT * FROM public.anything",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_statistic",
    "SELECT * FROM pg_largeobject",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY runs FROM '/etc/passwd'",
    "DO $$ BEGIN PERFORM 1 FROM {b}.runs; END $$",
    "EXPLAIN ANALYZE SELECT * FROM {b}.runs",
    "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM {b}.runs",
    "PREPARE p AS SELECT * FROM {b}.runs",
)
WRITES = (
    "INSERT INTO {b}.limits (name, size) VALUES ('x', 1)",
    "UPDATE {b}.runs SET status = 'cancelled'",
    "DELETE FROM {b}.runs",
    "TRUNCATE {b}.runs",
    "DROP TABLE {b}.runs",
    "DROP SCHEMA {b} CASCADE",
    "ALTER TABLE {b}.runs DISABLE TRIGGER ALL",
    "ALTER SCHEMA {b} OWNER TO {a}",
    "GRANT USAGE ON SCHEMA {b} TO {a}",
    "LOCK TABLE {b}.turns IN ACCESS SHARE MODE",
    "LOCK TABLE {b}.admissions IN ACCESS EXCLUSIVE MODE",
    "SELECT 1 FROM {b}.runs FOR UPDATE",
    "CREATE TABLE {b}.mine ()",
    "COMMENT ON SCHEMA {b} IS 'mine'",
    "REASSIGN OWNED BY {b} TO {a}",
    "DROP OWNED BY {b}",
    "ANALYZE {b}.runs, {b}.nothing",
)
ESCAPES = (
    "SET ROLE {b}",
    "SET LOCAL ROLE {b}",
    "SELECT set_config('role', '{b}', false)",
    "SET SESSION AUTHORIZATION {b}",
    "SET SESSION AUTHORIZATION postgres",
    "SET ROLE postgres",
    "GRANT {b} TO {a}",
    "CREATE ROLE mine",
    "DROP ROLE {b}",
    "ALTER ROLE {b} PASSWORD 'mine'",
    "ALTER ROLE {b} NOLOGIN",
    "ALTER ROLE {b} SET search_path = public",
    "ALTER ROLE {a} SUPERUSER",
    "ALTER ROLE {a} CREATEROLE",
    "ALTER ROLE {a} BYPASSRLS",
    "ALTER ROLE {a} CONNECTION LIMIT 1000",
    "ALTER ROLE {a} RENAME TO cloacina_t_mine",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {b} GRANT ALL ON TABLES TO {a}",
    "ALTER SYSTEM SET log_statement = 'all'",
    "ALTER DATABASE {d} SET search_path = public",
    "SET session_replication_role = replica",
    "CREATE DATABASE mine",
    "CREATE SCHEMA mine",
    "CREATE SCHEMA AUTHORIZATION {a}",
    "CREATE EXTENSION dblink",
    "CREATE TABLE mine ()",
    "CREATE TABLE {a}.mine ()",
    "CREATE TABLE public.mine ()",
    "CREATE TEMPORARY TABLE mine ()",
    "CREATE TABLE pg_temp.mine ()",
    "SELECT 1 AS one INTO TEMP mine",
    "CREATE VIEW {a}.mine AS SELECT 1",
    "CREATE SEQUENCE {a}.mine",
    "CREATE FUNCTION {a}.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION now()",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "CREATE SERVER mine FOREIGN DATA WRAPPER nothing",
    "ALTER TABLE {a}.runs OWNER TO {a}",
    "DROP TABLE {a}.runs",
    "TRUNCATE {a}.runs",
    "CREATE INDEX ON {a}.runs (id)",
    "CREATE TRIGGER mine BEFORE INSERT ON {a}.runs EXECUTE FUNCTION mine()",
    "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()",
    "SELECT pg_logical_emit_message(true, 'x', 'y') FROM {b}.runs",
    "PREPARE TRANSACTION 'mine'",
)
LIMITS_OF_ITS_OWN = (
    "UPDATE tenancy SET live_runs = NULL",
    "UPDATE tenancy SET suspended = false",
    "UPDATE tenancy SET channel = 'x'",
    "INSERT INTO tenancy (channel, suspended) VALUES ('x', false)",
    "DELETE FROM tenancy",
    "UPDATE cloacina_schema SET version_num = '0000'",
    "DELETE FROM cloacina_schema",
)


@pytest.fixture(scope="module")
def before(scene: Scene) -> dict[str, list[str]]:
    return contents(scene)


def attempt(connection: psycopg.Connection[Any], text: str) -> None:
    """Execute a statement in a transaction, as far as it may stand in one."""
    connection.autocommit = text.startswith(("ALTER SYSTEM", "CREATE DATABASE"))
    with connection.cursor() as cursor:
        if "TO STDOUT" in text:
            with cursor.copy(text.encode()) as copied:
                list(copied)
        else:
            cursor.execute(text.encode())


@pytest.mark.parametrize("statement", [*READS, *WRITES, *ESCAPES, *LIMITS_OF_ITS_OWN])
def test_a_statement_that_reaches_out_is_refused(scene: Scene, statement: str) -> None:
    database = make_url(scene.admin_url).database
    text = statement.format(a=scene.attacker.role, b=scene.victim.role, d=database)

    with scene.attacker.connected() as connection, pytest.raises(psycopg.Error) as told:
        attempt(connection, text)

    assert told.value.sqlstate in {
        "42501",  # insufficient privilege
        "42P01",  # there is no such table, as far as it can see
        "3F000",  # there is no such schema
        "55000",  # prepared transactions are off
        "0A000",  # not offered
        "42704",  # there is no such thing
    }


def test_after_all_these_statements_everything_is_as_it_was(
    scene: Scene, before: dict[str, list[str]]
) -> None:
    assert contents(scene) == before


def test_the_session_of_another_isnt_ended_nor_seen_at_work(scene: Scene) -> None:
    with scene.victim.connected() as victim, scene.attacker.connected() as attacker:
        pid = victim.info.backend_pid
        victim.execute("SELECT 'something secret'")
        for verb in ("pg_terminate_backend", "pg_cancel_backend"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                attacker.execute(f"SELECT {verb}({pid})".encode())
        shown = names(attacker, f"SELECT query FROM pg_stat_activity WHERE pid = {pid}")

        assert victim.execute("SELECT 1").fetchone() == (1,)
    assert shown == ["<insufficient privilege>"]


def test_no_catalog_that_all_can_read_names_a_tenant(scene: Scene) -> None:
    with scene.attacker.connected() as connection:
        shown = [
            *names(connection, "SELECT rolname FROM pg_roles"),
            *names(connection, "SELECT nspname FROM pg_namespace"),
            *names(connection, "SELECT coalesce(usename, '') FROM pg_stat_activity"),
            *names(connection, "SELECT application_name FROM pg_stat_activity"),
            *names(connection, "SELECT description FROM pg_shdescription"),
            *names(connection, "SELECT query FROM pg_stat_activity"),
        ]

    assert not [word for word in shown if "acme" in word or "zenith" in word]


def test_nothing_is_heard_of_another_and_nothing_told_it(scene: Scene) -> None:
    heard: list[str] = []
    with scene.victim.connected() as victim, scene.attacker.connected() as attacker:
        database = Database(scene.victim.url, SystemClock())
        prefix = database.channel
        victim.execute(f"LISTEN {prefix}_{Change.WORK.value}".encode())
        for guess in Change:
            attacker.execute(f"LISTEN {guess.value}".encode())
            attacker.execute(f"LISTEN {scene.victim.role}_{guess.value}".encode())
            attacker.execute(f"NOTIFY {guess.value}, 'mine'".encode())
        with database.begin() as connection:
            announce(connection)
        heard += [note.payload for note in victim.notifies(timeout=PATIENCE, stop_after=1)]
        own = [note.channel for note in attacker.notifies(timeout=0)]
        database.close()

    assert prefix is not None
    assert len(prefix) > 30
    assert heard == [""]
    assert set(own) <= {change.value for change in Change}


def test_nobody_waits_for_a_lock_that_another_takes(scene: Scene) -> None:
    numbers = [0x636C6F6163696E61 + more for more in (0, 1, 0x5EC)]
    with scene.attacker.connected() as attacker:
        for number in numbers:
            attacker.execute(f"SELECT pg_advisory_lock({number})".encode())
        attacker.execute(b"BEGIN")
        attacker.execute(b"LOCK TABLE turns, admissions, limits, leases IN ACCESS EXCLUSIVE MODE")
        with open_runtime(
            scene.home, scene.victim.url, workflows=[LIMITED, FLOW], recover=False
        ) as runtime:
            result = runtime.run(LIMITED, timeout=PATIENCE)
        held = names(attacker, "SELECT objid FROM pg_locks WHERE locktype = 'advisory'")

    assert result.summary.status.value == "succeeded"
    assert len(held) == len(numbers)  # ours: a tenant's runtime takes none


@pytest.mark.parametrize(
    "change",
    [
        "ALTER ROLE {a} SET search_path = public",
        "ALTER ROLE {a} SET search_path = {b}, public",
        "ALTER ROLE {a} RESET search_path",
    ],
)
def test_the_default_search_path_of_a_role_changes_nothing(scene: Scene, change: str) -> None:
    text = change.format(a=scene.attacker.role, b=scene.victim.role)
    with scene.attacker.connected() as connection:
        connection.execute(text.encode())  # everybody may change defaults of their own

    database = Database(scene.attacker.url, SystemClock())
    with database.read() as connection:
        path = connection.exec_driver_sql("SHOW search_path").scalar_one()
        seen = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    database.close()

    assert path == f"{scene.attacker.role}, pg_temp"
    assert seen == scene.attacker.role


@pytest.mark.parametrize("place", ["public", "victim"])
def test_a_search_path_in_the_url_changes_nothing(scene: Scene, place: str) -> None:
    path = scene.victim.role if place == "victim" else place
    options = {"options": f"-c search_path={path}"}
    url = make_url(scene.attacker.url).update_query_dict(options)

    database = Database(url.render_as_string(hide_password=False), SystemClock())
    seen = database.schema
    database.close()

    assert seen == scene.attacker.role


def test_a_role_in_the_url_isnt_taken_on(scene: Scene) -> None:
    options = {"options": f"-c role={scene.victim.role}"}
    url = make_url(scene.attacker.url).update_query_dict(options)

    with pytest.raises(StoreError):
        Database(url.render_as_string(hide_password=False), SystemClock())


def test_a_schema_that_is_dropped_leads_nowhere_else(postgresql_url: str, tmp_path: Path) -> None:
    with admin_of(tmp_path, postgresql_url) as admin:
        team = made(admin, "acme")
    with closing(Database(postgresql_url, SystemClock(), prepare=False)) as database:
        database.prepare(beside_tenants=True)  # in `public`, as if to fall back on
    with open_runtime(tmp_path, team.url, workflows=[FLOW], recover=False) as runtime:
        runtime.run(FLOW, timeout=PATIENCE)
        with connected(postgresql_url) as connection:
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
            connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC")
            connection.execute(f"DROP SCHEMA {team.role} CASCADE".encode())
        with pytest.raises(StoreError):
            runtime.list()
    with pytest.raises(TenantSchemaError, match="isn't there"):
        Database(team.url, SystemClock())

    with connected(postgresql_url) as connection:
        assert names(connection, "SELECT id FROM public.runs") == []
        assert names(connection, "SELECT id FROM public.engines") == []


def test_a_schema_that_somebody_made_in_its_place_isnt_used(
    postgresql_url: str, tmp_path: Path
) -> None:
    with admin_of(tmp_path, postgresql_url) as admin:
        team = made(admin, "acme")
    with connected(postgresql_url) as connection:
        connection.execute(f"DROP SCHEMA {team.role} CASCADE".encode())
        connection.execute(f"CREATE SCHEMA {team.role} AUTHORIZATION {team.role}".encode())

    with pytest.raises(TenantSchemaError, match="isn't the store of a tenant"):
        Database(team.url, SystemClock())


def test_names_that_share_many_bytes_have_nothing_else_in_common(
    postgresql_url: str, tmp_path: Path
) -> None:
    with admin_of(tmp_path, postgresql_url) as admin:
        first, second = made(admin, "a" * 47 + "b"), made(admin, "a" * 47 + "c")

    assert first.role != second.role
    assert max(len(first.role), len(second.role)) < 63


def test_an_engine_for_a_tenant_can_do_what_the_tenant_can_and_no_more(
    postgresql_url: str, tmp_path: Path
) -> None:
    database = Database(postgresql_url, SystemClock(), prepare=False)
    tenants = PostgresqlTenants(database, LocalHomes(tmp_path))
    with admin_of(tmp_path, postgresql_url) as admin:
        team, other = made(admin, "acme"), made(admin, "zenith")
        lent, url = tenants.lend_role("acme")

        with open_runtime(tmp_path, url, workflows=[FLOW]) as runtime:
            schema = runtime._view.database.schema
            end = runtime.run(FLOW, timeout=PATIENCE).summary.status.value
        with connected(url) as connection:
            for statement in (
                f"SET ROLE {other.role}",
                f"SELECT * FROM {other.role}.runs",
                "SELECT * FROM cloacina_admin.tenants",
                "CREATE TEMPORARY TABLE mine ()",
            ):
                with pytest.raises(psycopg.Error):
                    connection.execute(statement.encode())
        tenants.take_role_back(lent)

    assert (schema, end) == (team.role, "succeeded")
    with pytest.raises(StoreError):
        Database(url, SystemClock())
    database.close()
