"""Tenants on both databases: made, limited, suspended, deleted, and nothing is left."""

import gzip
import json
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, make_url, update
from support.runs import PATIENCE, open_runtime, workflow_of
from support.stores import SPAWN
from support.tenants import admin_of, connected, delete_and_die, made, names

from cloacina_core.errors import (
    ConfigurationError,
    ConflictError,
    InputError,
    NotAllowedError,
    OverQuotaError,
    SchemaOutdatedError,
    StoreUnavailableError,
    TenantSchemaError,
    TenantSuspendedError,
    UnknownTenantError,
)
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import digest_of
from cloacina_core.model.context import Context
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.tenant import Quotas, TenantState
from cloacina_core.plugin import hookimpl
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import DatabaseAdmin, Runtime
from cloacina_core.runtime.limited_blobs import LimitedBlobStore
from cloacina_core.settings import Settings
from cloacina_core.store import schema
from cloacina_core.store.blobs import DatabaseBlobStore
from cloacina_core.store.database import Database
from cloacina_core.store.postgresql import TENANT_PREFIX
from cloacina_core.store.reading import RunFilter
from cloacina_core.store.schedules import ScheduleStore
from cloacina_core.store.watching import StoreWatcher

FLOW = workflow_of({"only": []})


@pytest.fixture
def store_url(empty_store_url: str) -> str:
    """Return an installation's database as it is before its first tenant."""
    return empty_store_url


@pytest.fixture
def postgresql_url(empty_postgresql_url: str) -> str:
    """Return an installation's database as it is before its first tenant."""
    return empty_postgresql_url


@pytest.fixture
def admin(tmp_path: Path, store_url: str) -> Iterator[DatabaseAdmin]:
    with admin_of(tmp_path, store_url) as admin:
        yield admin


def accepted(runtime: Runtime, count: int) -> tuple[int, list[OverQuotaError]]:
    """Submit runs that nobody begins; return how many were accepted, and the other answers."""
    refused = []
    for _ in range(count):
        try:
            runtime.submit(FLOW, detach=True)
        except OverQuotaError as error:
            refused.append(error)
    return count - len(refused), refused


def test_credentials_work_as_they_are_returned(admin: DatabaseAdmin, tmp_path: Path) -> None:
    team = made(admin, "acme")

    with open_runtime(tmp_path, team.url, workflows=[FLOW]) as runtime:
        result = runtime.run(FLOW, timeout=PATIENCE)
        runtime.set_limit("api", 3)
        handles = runtime.submit_many(FLOW, [None] * 20)
        ends = [handle.result(PATIENCE).summary.status for handle in handles]

    assert result.summary.status is RunStatus.SUCCEEDED
    assert ends == [RunStatus.SUCCEEDED] * 20


def test_a_tenant_sees_its_own_runs_only(admin: DatabaseAdmin, tmp_path: Path) -> None:
    acme, zenith = made(admin, "acme"), made(admin, "zenith")

    with open_runtime(tmp_path, acme.url) as runtime:
        run_id = runtime.run(FLOW, timeout=PATIENCE).summary.run_id
        ours = [run.run_id for run in runtime.list()]
    with open_runtime(tmp_path, zenith.url) as runtime:
        theirs = runtime.list()

    assert (ours, theirs) == ([run_id], [])


def test_one_name_is_one_tenant(admin: DatabaseAdmin) -> None:
    made(admin, "acme")

    with pytest.raises(ConflictError, match="already"):
        admin.create_tenant("acme")

    assert [tenant.name for tenant in admin.tenants()] == ["acme"]


def test_many_who_make_one_tenant_make_one(tmp_path: Path, store_url: str) -> None:
    def make(_number: int) -> bool:
        with admin_of(tmp_path, store_url) as admin:
            try:
                admin.create_tenant("acme")
            except ConflictError:
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        made_it = list(pool.map(make, range(4)))

    with admin_of(tmp_path, store_url) as admin:
        assert [tenant.name for tenant in admin.tenants()] == ["acme"]
    assert sorted(made_it) == [False, False, False, True]


@pytest.mark.parametrize("name", ["../acme", "Acme", "a" * 49, "a'; drop schema public; --"])
def test_a_bad_name_touches_nothing(admin: DatabaseAdmin, tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownTenantError):
        admin.suspend_tenant("nobody")  # makes the audit, which tells of the others as well
    before = sorted(tmp_path.rglob("*"))

    for verb in (admin.create_tenant, admin.tenant, admin.suspend_tenant, admin.delete_tenant):
        with pytest.raises(InputError):
            verb(name)

    assert sorted(tmp_path.rglob("*")) == before
    assert list(admin.tenants()) == []


def test_an_unknown_tenant_is_told(admin: DatabaseAdmin) -> None:
    for verb in (admin.tenant, admin.suspend_tenant, admin.resume_tenant, admin.delete_tenant):
        with pytest.raises(UnknownTenantError):
            verb("nobody")


def test_live_runs_are_as_many_as_the_quota(admin: DatabaseAdmin, tmp_path: Path) -> None:
    team = made(admin, "acme", Quotas(live_runs=3))

    with open_runtime(tmp_path, team.url, recover=False) as runtime:
        count, refused = accepted(runtime, 5)

    assert count == 3
    assert [(error.quota, error.most, error.used) for error in refused] == [("live_runs", 3, 3)] * 2
    assert {error.exit_status for error in refused} == {8}


def test_runs_that_ended_make_room(admin: DatabaseAdmin, tmp_path: Path) -> None:
    team = made(admin, "acme", Quotas(live_runs=1))

    with open_runtime(tmp_path, team.url) as runtime:
        ends = [runtime.run(FLOW, timeout=PATIENCE).summary.status for _ in range(3)]

    assert ends == [RunStatus.SUCCEEDED] * 3


def test_runs_of_a_minute_are_as_many_as_the_quota(admin: DatabaseAdmin, tmp_path: Path) -> None:
    team = made(admin, "acme", Quotas(runs_per_minute=4))

    with open_runtime(tmp_path, team.url, recover=False) as runtime:
        count, refused = accepted(runtime, 6)

    assert count == 4
    assert {error.quota for error in refused} == {"runs_per_minute"}


def test_who_submits_in_the_same_moment_is_no_more_than_the_quota(
    admin: DatabaseAdmin, tmp_path: Path
) -> None:
    team = made(admin, "acme", Quotas(live_runs=7, runs_per_minute=100))
    together = threading.Barrier(4)

    def submit(_number: int) -> int:
        with open_runtime(tmp_path, team.url, recover=False) as runtime:
            together.wait(PATIENCE)
            return accepted(runtime, 5)[0]

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(submit, range(4)))

    assert sum(counts) == 7


def test_of_many_that_come_together_those_are_taken_that_fit(
    admin: DatabaseAdmin, tmp_path: Path
) -> None:
    team = made(admin, "acme", Quotas(live_runs=4))

    with open_runtime(tmp_path, team.url, recover=False) as runtime:
        with pytest.raises(OverQuotaError):
            runtime.submit_many(FLOW, [None] * 10, detach=True)
        stored = runtime.list(RunFilter())

    assert len(stored) == 4


def test_the_same_request_attaches_when_there_is_no_room(
    admin: DatabaseAdmin, tmp_path: Path
) -> None:
    team = made(admin, "acme", Quotas(live_runs=1))

    with open_runtime(tmp_path, team.url, recover=False) as runtime:
        first = runtime.submit(FLOW, idempotency_key="k", detach=True)
        second = runtime.submit(FLOW, idempotency_key="k", detach=True)

    assert first.id == second.id


def test_a_task_is_refused_the_runs_that_are_over_the_quota(
    admin: DatabaseAdmin, tmp_path: Path
) -> None:
    def ask(context: Context) -> None:
        context.run_workflow("flow")

    parent = workflow_of({"ask": []}, functions={"ask": ask}, name="parent")
    team = made(admin, "acme", Quotas(live_runs=1))

    with open_runtime(tmp_path, team.url, workflows=[FLOW, parent]) as runtime:
        result = runtime.run(parent, timeout=PATIENCE)

    (attempt,) = result.tasks["ask"].attempts
    assert result.tasks["ask"].status is TaskStatus.FAILED
    assert attempt.error is not None
    assert "over the quota of live runs" in attempt.error.message


def test_storage_is_as_much_as_the_quota(admin: DatabaseAdmin, tmp_path: Path) -> None:
    team = made(admin, "acme", Quotas(storage_bytes=100))
    database = Database(team.url, SystemClock())
    blobs = LimitedBlobStore(
        DatabaseBlobStore(lambda: database), lambda: database, is_in_database=True
    )

    with pytest.raises(OverQuotaError, match="storage"):
        blobs.put(b"bytes")
    with open_runtime(tmp_path, team.url) as runtime, pytest.raises(OverQuotaError) as told:
        runtime.submit(FLOW)
    admin.set_quotas("acme", {"storage_bytes": 2**40})
    digest = blobs.put(b"bytes")

    assert (told.value.quota, told.value.exit_status) == ("storage_bytes", 8)
    assert blobs.get(digest) == b"bytes"
    database.close()


def test_an_engine_has_no_more_slots_than_the_quota(admin: DatabaseAdmin, tmp_path: Path) -> None:
    team = made(admin, "acme", Quotas(slots=1))
    running, most = [0], [0]

    def work(_context: Context) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        threading.Event().wait(0.02)
        running[0] -= 1

    flow = workflow_of({f"t{n}": [] for n in range(6)}, functions={f"t{n}": work for n in range(6)})
    with open_runtime(tmp_path, team.url, slots=8) as runtime:
        runtime.run(flow, timeout=PATIENCE)

    assert most == [1]


def test_a_store_that_isnt_a_tenants_is_never_asked_for_quotas(
    tmp_path: Path, store_url: str
) -> None:
    with open_runtime(tmp_path, store_url) as runtime:
        assert runtime._view.database.is_tenant is False
        assert runtime.run(FLOW, timeout=PATIENCE).summary.status is RunStatus.SUCCEEDED


def test_nothing_new_of_a_suspended_tenant_starts(admin: DatabaseAdmin, tmp_path: Path) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work(_context: Context) -> None:
        begun.set()
        may_end.wait(PATIENCE)

    slow = workflow_of({"work": []}, functions={"work": work}, name="slow")
    team = made(admin, "acme")

    with open_runtime(tmp_path, team.url, workflows=[slow, FLOW]) as runtime:
        live = runtime.submit(slow)
        begun.wait(PATIENCE)
        admin.suspend_tenant("acme")
        with pytest.raises(TenantSuspendedError):
            runtime.submit(FLOW)
        may_end.set()
        ended = live.result(PATIENCE)
        admin.resume_tenant("acme")
        later = runtime.run(FLOW, timeout=PATIENCE)

    assert ended.summary.status is RunStatus.SUCCEEDED
    assert later.summary.status is RunStatus.SUCCEEDED


def test_what_waits_when_a_tenant_is_suspended_goes_on_when_it_may(
    admin: DatabaseAdmin, tmp_path: Path
) -> None:
    team = made(admin, "acme")
    with open_runtime(tmp_path, team.url, workflows=[FLOW], recover=False) as runtime:
        waiting = runtime.submit(FLOW, detach=True).id
    admin.suspend_tenant("acme")

    with open_runtime(tmp_path, team.url, workflows=[FLOW]) as runtime:
        assert runtime._host.look() is None
        suspended = runtime.get(waiting).summary.status
        admin.resume_tenant("acme")
        end = runtime.attach(waiting).result(PATIENCE)

    assert suspended is RunStatus.QUEUED
    assert end.summary.status is RunStatus.SUCCEEDED


def test_what_is_due_of_a_suspended_tenant_isnt_decided_before_it_is_resumed(
    admin: DatabaseAdmin,
) -> None:
    team = made(admin, "acme")
    database = Database(team.url, SystemClock())
    store = ScheduleStore(database)
    store.add(Schedule.checked("tick", "acme-etl", cron="* * * * * *"))
    with database.begin() as connection:
        connection.execute(update(schema.schedules).values(next_at=0))

    admin.suspend_tenant("acme")
    suspended = (store.next_look(), store.decide())
    admin.resume_tenant("acme")
    due = store.next_look()

    assert suspended == (None, 0)
    assert due is not None
    assert due < timedelta(0)
    assert store.decide() == 1
    database.close()


def test_engines_are_told_when_a_tenant_may_go_on(postgresql_url: str, tmp_path: Path) -> None:
    with admin_of(tmp_path, postgresql_url) as admin:
        team = made(admin, "acme")
        admin.suspend_tenant("acme")
        database = Database(team.url, SystemClock())
        told = threading.Semaphore(0)
        watcher = StoreWatcher(database, told.release, poll=timedelta(hours=1))
        watcher.start()
        told.acquire(timeout=PATIENCE)  # it begins with a look
        admin.resume_tenant("acme")

        assert told.acquire(timeout=PATIENCE)
        watcher.stop()
        database.close()


def test_a_deleted_tenant_leaves_a_file_with_its_rows(admin: DatabaseAdmin, tmp_path: Path) -> None:
    team = made(admin, "acme")
    with open_runtime(tmp_path, team.url, workflows=[FLOW], recover=False) as runtime:
        run_id = runtime.submit(FLOW, detach=True).id

    export = admin.delete_tenant("acme", export_to=tmp_path / "out", drain_seconds=0)

    file = Path(export.path)
    head, *rows = map(json.loads, gzip.decompress(file.read_bytes()).splitlines())
    assert export.digest == digest_of(file.read_bytes())
    assert (head["tenant"], head["unfinished_runs"], export.given_up) == ("acme", 1, 1)
    assert [row["row"]["id"] for row in rows if row["table"] == "runs"] == [run_id]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises((TenantSchemaError, StoreUnavailableError)):
        Database(team.url, SystemClock())


@pytest.mark.parametrize("stage", ["suspend", "drain", "export", "drop"])
def test_a_deletion_that_was_killed_is_gone_on_with(
    store_url: str, tmp_path: Path, stage: str
) -> None:
    with admin_of(tmp_path, store_url) as admin:
        team = made(admin, "acme")
        with open_runtime(tmp_path, team.url, recover=False) as runtime:
            runtime.submit(FLOW, detach=True)
    process = SPAWN.Process(target=delete_and_die, args=(tmp_path, store_url, "acme", stage))
    process.start()
    process.join(PATIENCE)

    with admin_of(tmp_path, store_url) as admin:
        before = admin.tenant("acme").state
        if before.is_being_deleted:
            for verb in (admin.resume_tenant, admin.suspend_tenant, admin.lend_role):
                with pytest.raises(ConflictError, match="being deleted"):
                    verb("acme")
        export = admin.delete_tenant("acme", drain_seconds=0)
        left = list(admin.tenants())

    assert process.exitcode == -9
    assert (
        before
        is {
            "suspend": TenantState.ACTIVE,
            "drain": TenantState.DRAINING,
            "export": TenantState.DRAINING,
            "drop": TenantState.DROPPING,
        }[stage]
    )
    assert export.given_up == 1
    assert left == []


def test_nothing_is_left_of_a_tenant(admin: DatabaseAdmin, store_url: str, tmp_path: Path) -> None:
    team = made(admin, "acme")
    lent = None
    if not store_url.startswith("sqlite"):
        lent, _ = admin.lend_role("acme")
        with team.connected() as connection:
            connection.execute("SELECT lo_from_bytea(0, 'left behind')")
    with open_runtime(tmp_path, team.url) as runtime:
        runtime.run(FLOW, timeout=PATIENCE)

    admin.delete_tenant("acme", export_to=tmp_path / "out")

    if store_url.startswith("sqlite"):
        assert list((tmp_path / "tenants").iterdir()) == []
        return
    with connected(store_url) as connection:
        assert team.role not in names(connection, "SELECT nspname FROM pg_namespace")
        assert not {team.role, lent} & set(names(connection, "SELECT rolname FROM pg_roles"))
        assert names(connection, "SELECT oid FROM pg_largeobject_metadata") == []
        assert names(connection, "SELECT name FROM cloacina_admin.tenants") == []


def test_a_name_is_used_again_for_an_empty_tenant(admin: DatabaseAdmin, tmp_path: Path) -> None:
    before = made(admin, "acme", Quotas(slots=1))
    with open_runtime(tmp_path, before.url) as runtime:
        runtime.run(FLOW, timeout=PATIENCE)
    admin.delete_tenant("acme", export_to=tmp_path / "out")

    after = made(admin, "acme")

    with open_runtime(tmp_path, after.url) as runtime:
        assert runtime.list() == []
    assert admin.tenant("acme").quotas == Quotas()


def test_a_tenant_with_an_old_name_has_nothing_of_the_homes_of_the_old_one(
    postgresql_url: str, tmp_path: Path
) -> None:
    with (
        admin_of(tmp_path / "ours", postgresql_url) as ours,
        admin_of(tmp_path / "another-host", postgresql_url) as theirs,
    ):
        made(ours, "acme")
        homes = [ours.made_home("acme"), theirs.made_home("acme")]
        for home in homes:
            (home / "keys").mkdir()
            (home / "keys" / "default.key").write_text("private")
            (home / "keys").chmod(0o500)  # as folders of environments are
        ours.delete_tenant("acme", export_to=tmp_path / "out")
        left = list((tmp_path / "ours" / "tenants").iterdir())
        made(ours, "acme")
        after = [ours.made_home("acme"), theirs.made_home("acme")]

    assert left == []
    assert [list(home.iterdir()) for home in after] == [[], []]
    assert not set(homes) & set(after)


def test_a_deletion_that_was_killed_when_the_home_was_gone_is_gone_on_with(
    postgresql_url: str, tmp_path: Path
) -> None:
    with admin_of(tmp_path, postgresql_url) as admin:
        made(admin, "acme")
        home = admin.made_home("acme")
        (home / "trust.json").write_text("{}")
        arguments = (tmp_path, postgresql_url, "acme")
        first = SPAWN.Process(target=delete_and_die, args=(*arguments, "drop"))
        first.start()
        first.join(PATIENCE)
        was_there = home.exists()
        with connected(postgresql_url) as connection, connection.transaction():
            connection.execute("SELECT * FROM cloacina_admin.tenants FOR UPDATE")
            second = SPAWN.Process(target=delete_and_die, args=(*arguments, "never"))
            second.start()
            while list((tmp_path / "tenants").iterdir()) and second.is_alive():
                second.join(0.01)
            second.kill()
            second.join(PATIENCE)

        state = admin.tenant("acme").state
        admin.delete_tenant("acme")
        left = list(admin.tenants())

    assert was_there
    assert (second.exitcode, state, left) == (-9, TenantState.DROPPING, [])


def test_a_home_that_cant_be_removed_leaves_the_tenant_to_be_deleted_again(
    postgresql_url: str, tmp_path: Path
) -> None:
    with admin_of(tmp_path, postgresql_url) as admin:
        made(admin, "acme")
        home = admin.made_home("acme")
        in_the_way = home.with_name(f".{home.name}")
        in_the_way.write_text("a file, where there should be none")

        with pytest.raises(NotAllowedError, match="can't be removed"):
            admin.delete_tenant("acme", export_to=tmp_path / "out")
        state = admin.tenant("acme").state
        in_the_way.unlink()
        admin.delete_tenant("acme", export_to=tmp_path / "out")

        assert state is TenantState.DROPPING
        assert list(admin.tenants()) == []
        assert list((tmp_path / "tenants").iterdir()) == []


def test_homes_that_are_made_for_tenants_are_their_owners(
    postgresql_url: str, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        with admin_of(tmp_path / "home", postgresql_url) as admin:
            made(admin, "acme")
            home = admin.made_home("acme")
    finally:
        os.umask(before)

    folders = [tmp_path / "home", home.parent, home]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 3


def test_folders_and_files_are_their_owners_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with admin_of(tmp_path, f"sqlite:///{tmp_path / 'store.db'}") as admin:
            team = made(admin, "acme")
            with open_runtime(tmp_path / "tenants" / "acme", team.url) as runtime:
                runtime.run(FLOW, timeout=PATIENCE)
                found = {path: path.stat() for path in (tmp_path / "tenants").rglob("*")}
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(of.st_mode) & 0o077 for path, of in found.items()}
    assert {"acme", "cloacina.db", "tenant.json"} <= modes.keys()
    assert set(modes.values()) == {0}


def test_an_open_door_is_a_reason_to_refuse(postgresql_url: str, tmp_path: Path) -> None:
    with connected(postgresql_url) as connection:
        connection.execute("CREATE SCHEMA commons")
        connection.execute("GRANT USAGE ON SCHEMA commons TO PUBLIC")

    with (
        admin_of(tmp_path, postgresql_url) as admin,
        pytest.raises(ConfigurationError, match="schema commons"),
    ):
        admin.create_tenant("acme")

    with connected(postgresql_url) as connection:
        schemas = names(connection, "SELECT nspname FROM pg_namespace")
        assert [name for name in schemas if name.startswith(TENANT_PREFIX)] == []


def test_a_tenant_isnt_an_administrator(postgresql_url: str, tmp_path: Path) -> None:
    with admin_of(tmp_path, postgresql_url) as admin:
        team = made(admin, "acme")

    with pytest.raises(NotAllowedError, match="credentials of a tenant"):
        admin_of(tmp_path, team.url)


def test_there_are_no_tenants_below_a_tenant(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with admin_of(tmp_path, url) as admin:
        team = made(admin, "acme")
        home = admin.tenant("acme").home

    with pytest.raises(NotAllowedError, match="home of a tenant"):
        admin_of(home, team.url)


def test_an_old_schema_is_the_administrators_to_upgrade(
    postgresql_url: str, tmp_path: Path
) -> None:
    extra = Table("plugin_things", MetaData(), Column("id", Integer, primary_key=True))

    class Plugin:
        @hookimpl
        def cloacina_tables(self) -> list[Table]:
            return [extra]

    plugins = Plugins()
    plugins.add(Plugin(), "things")
    with admin_of(tmp_path, postgresql_url) as admin:
        team = made(admin, "acme")
    with pytest.raises(SchemaOutdatedError, match="plugin_things") as told:
        Database(team.url, SystemClock(), [extra])

    settings = Settings(home=tmp_path, database_url=postgresql_url)
    with DatabaseAdmin(settings, plugins) as admin:
        planned = list(admin.upgrade_tenant("acme", plan=True))
        done = list(admin.upgrade_tenant("acme"))
        again = list(admin.upgrade_tenant("acme"))
    database = Database(team.url, SystemClock(), [extra])
    with database.begin() as connection:
        connection.execute(extra.insert().values(id=1))

    assert planned == done == ["table plugin_things"]
    assert again == []
    assert "cloacina tenant upgrade" in str(told.value.hint)
    database.close()


def test_another_password_takes_the_place_of_the_first(postgresql_url: str, tmp_path: Path) -> None:
    with admin_of(tmp_path, postgresql_url) as admin, connected(postgresql_url) as connection:
        first = made(admin, "acme")
        of_role = f"SELECT rolpassword FROM pg_authid WHERE rolname = '{first.role}'"
        before = names(connection, of_role)
        second = admin.rotate_password("acme").environment["CLOACINA_DATABASE_URL"]
        after = names(connection, of_role)

    assert before[0].startswith("SCRAM-SHA-256$")
    assert before != after
    assert make_url(second).username == first.role
    assert make_url(second).password != make_url(first.url).password
