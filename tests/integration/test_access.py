"""Who may do what, and what is told of it, on both databases."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from support.access import contents, expire, keys_of_every_sort
from support.registry import StoreView, open_home, signed_wheel
from support.runs import PATIENCE, chain_of, open_runtime, workflow_of

from cloacina_core.errors import (
    CloacinaError,
    InputError,
    NotAllowedError,
    StoreError,
    UnknownLimitError,
    UnknownRunError,
)
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.foundation.user import who_asks
from cloacina_core.model.access import VERBS, Principal, Role, RoleTooLowError
from cloacina_core.model.api_key import (
    ApiKeyExistsError,
    ApiKeyRefusedError,
    ApiKeyState,
    LastAdminKeyError,
    UnknownApiKeyError,
)
from cloacina_core.model.audit import AuditEntry, AuditOutcome, Deed
from cloacina_core.model.context import Context
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.runtime import AsyncRuntime, Runtime
from cloacina_core.runtime.gate import Gate, holder
from cloacina_core.runtime.guarded import guarded
from cloacina_core.store import schema
from cloacina_core.store.api_keys import ApiKeyStore
from cloacina_core.store.audit import Audit, AuditFilter
from cloacina_core.store.database import Database
from cloacina_registry.access import VERBS as REGISTRY_VERBS
from cloacina_registry.registry import Registry

QUICK = workflow_of(chain_of(1), name="quick")
DAY = timedelta(days=1)
NO_RUN = "0" * 26
STRANGERS = [
    *("none", "malformed", "of another store", "with another secret"),
    *("revoked", "expired"),
]


def wait(context: Context) -> None:
    context.wait_for("go")


LONG = workflow_of({"wait": []}, functions={"wait": wait}, name="long")

ARGUMENTS: Mapping[str, tuple[Any, ...]] = {
    "submit": (QUICK,),
    "submit_many": (QUICK, [None]),
    "run": (QUICK,),
    "fork": (NO_RUN, "t0"),
    "signal": (NO_RUN, "go"),
    "definition": ("nowhere/flow",),
    "set_limit": ("crm", 3),
    "remove_limit": ("crm",),
    "schedules.update": ("nightly",),
    "schedules.definition": ("nowhere/flow",),
    "schedules.backfill": (
        "nightly",
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 2, tzinfo=UTC),
    ),
    "api_keys.create": ("new", Role.READ),
    "handle.signal": ("go",),
    "list": (),
    "limits": (),
    "is_idle": (),
    "handle.on_end": (lambda: None,),
}
"""What verbs are called with that take something else than one name or id."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "schedules.add": {"cron": "@daily", "reference": "nowhere/flow"}
}
WITHOUT = {"handle.result", "handle.cancel", "handle.pause", "handle.status", "audit.entries"}
WITHOUT |= {"schedules.all", "api_keys.all", "api_keys.last_admin_until"}


@pytest.fixture
def runtime(tmp_path: Path, store_url: str) -> Iterator[Runtime]:
    with open_runtime(tmp_path, store_url, workflows=[QUICK, LONG]) as runtime:
        yield runtime


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url, SystemClock())
    yield database
    database.close()


@pytest.fixture
def view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home", SystemClock(), url=store_url)


@pytest.fixture
def store(database: Database) -> ApiKeyStore:
    return ApiKeyStore(database)


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database, IdFactory(SystemClock()))


@pytest.fixture
def keys(database: Database) -> Mapping[str, str]:
    return keys_of_every_sort(database)


def call(runtime: Runtime, verb: str, handle: Any) -> str:
    """Do a verb, and return the code of the error that it ends with, or `done`."""
    *path, name = verb.split(".")
    target: Any = handle if path == ["handle"] else runtime
    for part in path if path != ["handle"] else ():
        target = getattr(target, part)
    try:
        found = getattr(target, name)
        if callable(found):
            usual = () if verb in WITHOUT else (NO_RUN,)
            done = found(*ARGUMENTS.get(verb, usual), **OPTIONS.get(verb, {}))
            if isinstance(done, Generator):
                list(done)
    except CloacinaError as error:
        return error.code
    except (AttributeError, TypeError, ValueError):
        return "was let in, and called wrongly"
    return "done"


ASKED = [verb for verb, rule in VERBS.items() if rule.role is not None and verb != "drain"]


def guarded_handle(runtime: Runtime, key: str) -> Any:
    """Return a run that has ended, as the holder of a key has it in hand."""
    run = runtime.submit(QUICK)
    run.result(PATIENCE)
    return guarded(
        run, Gate(holder(runtime.api_keys, key), lambda: runtime.audit), VERBS, "handle."
    )


def test_who_isnt_let_in_does_nothing_whatever_they_ask(
    runtime: Runtime, database: Database, keys: Mapping[str, str]
) -> None:
    handles = {sort: guarded_handle(runtime, keys[sort]) for sort in STRANGERS}
    before = contents(database)

    answers = {
        call(runtime.acting_as(keys[sort]), verb, handle)
        for sort, handle in handles.items()
        for verb in VERBS
    }

    assert answers == {"api-key-refused"}
    assert contents(database) == before
    assert len(runtime.audit.entries(limit=1000)) == len(STRANGERS) * len(VERBS)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_what_the_table_says_and_no_more(
    runtime: Runtime, database: Database, keys: Mapping[str, str], role: Role
) -> None:
    handle = guarded_handle(runtime, keys[role.value])
    mine = runtime.acting_as(keys[role.value])
    refused = [verb for verb, rule in VERBS.items() if not (rule.role and role.covers(rule.role))]
    allowed = [verb for verb in ASKED if verb not in refused]
    before = contents(database)

    assert {call(mine, verb, handle) for verb in refused} == {"role-too-low"}
    assert contents(database) == before

    answers = {verb: call(mine, verb, handle) for verb in allowed}
    assert {"role-too-low", "api-key-refused"}.isdisjoint(answers.values()), answers


@pytest.mark.parametrize("role", list(Role))
def test_the_registry_goes_through_the_same_gate(view: StoreView, role: Role) -> None:
    wheel = signed_wheel("1.0")
    key = ApiKeyStore(view.database).create("ci", role).key.text
    audit = Audit(view.database, IdFactory(SystemClock()))
    gate = Gate(holder(ApiKeyStore(view.database), key), lambda: audit)
    registry = guarded(Registry.of(view), gate, REGISTRY_VERBS, "registry.")

    def may(act: Callable[[], object]) -> bool:
        try:
            act()
        except RoleTooLowError:
            return False
        return True

    assert may(registry.packages)
    assert may(lambda: registry.upload(*wheel.files)) == role.covers(Role.PUBLISH)
    assert may(lambda: registry.delete("acme-etl", "1.0")) == (role is Role.ADMIN)
    assert not may(partial(getattr, registry.evidence, "private_key"))
    uploads = [one.deed.target for one in audit.entries(AuditFilter(verb="registry.upload"))]
    assert uploads == [wheel.filename]


def test_another_stores_run_is_as_unknown_as_one_that_never_was(
    runtime: Runtime, keys: Mapping[str, str], tmp_path: Path
) -> None:
    with open_runtime(tmp_path, f"sqlite:///{tmp_path / 'other.db'}", workflows=[QUICK]) as other:
        theirs = other.submit(QUICK)
        theirs.result(PATIENCE)
    mine = runtime.acting_as(keys["run"])

    def answer(run_id: str) -> tuple[str, ...]:
        with pytest.raises(UnknownRunError) as caught:
            mine.cancel(run_id)
        told = str(caught.value).replace(run_id, "ID")
        return told, caught.value.code, str(caught.value.hint).replace(run_id, "ID")

    assert answer(theirs.id) == answer(NO_RUN)


def test_runs_that_come_out_are_checked_like_what_they_came_from(
    runtime: Runtime, store: ApiKeyStore, keys: Mapping[str, str]
) -> None:
    (run,) = runtime.acting_as(keys["run"]).submit_many(LONG, [None])
    assert run.status() is not None
    by = StartedBy(kind=StarterKind.PRINCIPAL, name="run")
    assert runtime.get(run.id).summary.started_by == by

    store.revoke("run")

    for verb in (run.status, run.result, run.cancel, run.pause, lambda: run.signal("go")):
        with pytest.raises(ApiKeyRefusedError):
            verb()


def test_a_stream_ends_when_its_key_is_revoked(
    runtime: Runtime, store: ApiKeyStore, keys: Mapping[str, str]
) -> None:
    def talk(_: Context) -> None:
        for word in ("one", "two"):
            logging.getLogger("talk").warning(word)

    flow = workflow_of({"talk": []}, functions={"talk": talk}, name="talking")
    run = runtime.submit(flow)
    run.result(PATIENCE)
    lines = runtime.acting_as(keys["read"]).follow_logs(run.id)
    assert next(lines).text.endswith("one")

    store.revoke("read")

    with pytest.raises(ApiKeyRefusedError):
        next(lines)


def test_what_cant_be_reached_through_a_guard(runtime: Runtime, keys: Mapping[str, str]) -> None:
    mine = runtime.acting_as(keys["admin"])

    for name in ("settings", "plugins", "sources", "acting_as", "observe", "no_such_verb"):
        with pytest.raises(NotAllowedError):
            getattr(mine, name)
    for hidden in ("_view", "_reader", "__dict__"):
        with pytest.raises(AttributeError):
            getattr(mine, hidden)
    with pytest.raises(TypeError), mine:
        pass


def entries(runtime: Runtime, **wanted: Any) -> list[AuditEntry]:
    return list(runtime.audit.entries(AuditFilter(**wanted)))


def test_the_audit_tells_who_did_what_to_what_and_how_it_ended(
    runtime: Runtime, keys: Mapping[str, str]
) -> None:
    mine = runtime.acting_as(keys["admin"])
    mine.set_limit("crm", 3, rate="10/1m")
    with pytest.raises(UnknownLimitError):
        mine.remove_limit("erp")
    with pytest.raises(RoleTooLowError):
        runtime.acting_as(keys["read"]).cancel(NO_RUN, reason="no")
    with pytest.raises(ApiKeyRefusedError):
        runtime.acting_as(keys["revoked"]).get(NO_RUN)
    run = mine.submit(QUICK, {}, idempotency_key="k")
    run.result(PATIENCE)

    told = [
        (one.deed.who, one.deed.verb, one.deed.target, one.outcome.value, one.code)
        for one in entries(runtime)
    ]

    assert told == [
        ("admin", "submit", "quick", "done", None),
        ("unknown", "get", NO_RUN, "refused", "api-key-refused"),
        ("read", "cancel", NO_RUN, "refused", "role-too-low"),
        ("admin", "remove_limit", "erp", "failed", "unknown-limit"),
        ("admin", "set_limit", "crm", "done", None),
    ]
    newest, stranger, *_, oldest = entries(runtime)
    assert newest.deed.facts == {
        "idempotency_key": "k",
        "api_key": keys["admin"][4:12],
    }
    assert stranger.deed.role is None
    assert stranger.deed.facts == {"api_key": keys["revoked"][4:12]}
    assert oldest.deed.role == "admin"
    assert oldest.deed.facts == {"size": 3, "rate": "10/1m", "api_key": keys["admin"][4:12]}
    assert "@" in oldest.deed.origin
    assert oldest.ended_at is not None


def test_reading_isnt_told(runtime: Runtime, keys: Mapping[str, str]) -> None:
    runtime.acting_as(keys["read"]).list()

    assert entries(runtime) == []


def test_what_cant_be_told_isnt_done(
    runtime: Runtime, database: Database, keys: Mapping[str, str]
) -> None:
    run = runtime.submit(LONG)
    runtime.set_limit("crm", 3)
    mine = runtime.acting_as(keys["admin"])
    with database.begin() as connection:
        schema.audit.drop(connection)

    for verb in (
        lambda: mine.cancel(run.id),  # told in steps
        lambda: mine.remove_limit("crm"),  # told at once
    ):
        with pytest.raises(StoreError):
            verb()

    assert not run.status().is_final
    assert [use.limit.name for use in runtime.limits()] == ["crm"]
    runtime.cancel(run.id)


def test_coroutines_go_through_the_same_gate(runtime: Runtime, keys: Mapping[str, str]) -> None:
    async def ask() -> str:
        mine = AsyncRuntime(runtime).acting_as(keys["run"])
        run = await mine.submit(QUICK)
        result = await run.result(PATIENCE)
        with pytest.raises(RoleTooLowError):
            await mine.set_limit("crm", 3)
        return result.status.value

    assert asyncio.run(ask()) == "succeeded"


def test_a_principal_that_was_made_out_elsewhere_is_checked_too(runtime: Runtime) -> None:
    ann = Principal(name="ann", role=Role.READ, origin="10.0.0.7")
    mine = runtime.acting_as(ann)

    assert mine.list() == []
    with pytest.raises(RoleTooLowError):
        mine.submit(QUICK)
    (entry,) = entries(runtime)
    assert (entry.deed.who, entry.deed.origin) == ("ann", "10.0.0.7")


@pytest.mark.parametrize("who", [None, 5, b"clk_", True])
def test_what_stands_for_nobody_is_let_in_nowhere(runtime: Runtime, who: Any) -> None:
    with pytest.raises(ApiKeyRefusedError):
        runtime.acting_as(who)


def test_a_name_that_no_terminal_should_see_is_told_harmlessly(
    runtime: Runtime, keys: Mapping[str, str]
) -> None:
    with pytest.raises(CloacinaError):
        runtime.acting_as(keys["run"]).cancel("\x1b[2J\0\ud800" + "x" * 1000)

    (entry,) = entries(runtime)
    assert entry.deed.target == "?[2J??" + "x" * 194


SECOND_PROCESS = """
import sys
from pathlib import Path
from cloacina_core.errors import CloacinaError
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import AsyncRuntime, Runtime
from cloacina_core.settings import Settings

home, url = sys.argv[1:]
key = sys.stdin.readline().strip()
with Runtime(Settings(home=Path(home), database_url=url), Plugins(), recover=False) as runtime:
    mine = runtime.acting_as(key)
    for _ in range(2):
        try:
            print(len(mine.list()), flush=True)
        except CloacinaError as error:
            print(error.code, flush=True)
        sys.stdin.readline()
"""


def test_a_key_that_is_revoked_is_at_once_in_another_process(
    tmp_path: Path, store_url: str, store: ApiKeyStore, keys: Mapping[str, str]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SECOND_PROCESS, str(tmp_path), store_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{keys['read']}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "0\n"

        store.revoke("read")

        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "api-key-refused\n"
        process.stdin.write("\n")


def test_a_key_that_works_isnt_made_again(store: ApiKeyStore) -> None:
    store.create("ci", Role.RUN)

    with pytest.raises(ApiKeyExistsError):
        store.create("ci", Role.RUN)


def test_a_name_may_be_used_again_once_its_key_is_revoked(store: ApiKeyStore) -> None:
    first = store.create("ci", Role.RUN).key.text
    store.revoke("ci")

    second = store.create("ci", Role.READ)

    assert store.find(second.key.text).role is Role.READ
    with pytest.raises(ApiKeyRefusedError):
        store.find(first)
    assert [one.state for one in store.get("ci")] == [ApiKeyState.LIVE, ApiKeyState.REVOKED]


def test_a_key_that_is_rotated_stops_at_once_or_after_a_while(
    store: ApiKeyStore, database: Database
) -> None:
    first = store.create("ci", Role.RUN).key.text

    second = store.rotate("ci", overlap=DAY)

    assert store.find(first).id != second.record.id
    assert store.find(first).expires_at is not None
    third = store.rotate("ci", expires_in=DAY)
    for old in (first, second.key.text):
        with pytest.raises(ApiKeyRefusedError):
            store.find(old)
    assert store.find(third.key.text).role is Role.RUN
    expire(database, "ci")
    with pytest.raises(UnknownApiKeyError):
        store.rotate("ci")


def test_what_is_no_key_is_refused(store: ApiKeyStore) -> None:
    for name in ("", "a b", "ann@here", "x" * 101):
        with pytest.raises(InputError):
            store.create(name, Role.READ)
    for length in (timedelta(0), -DAY, 9_999_999 * DAY):
        with pytest.raises(InputError):
            store.create("ci", Role.READ, expires_in=length)
    store.create("ci", Role.READ)
    with pytest.raises(InputError):
        store.rotate("ci", overlap=-DAY)
    for act in (store.revoke, store.rotate, store.get):
        with pytest.raises(UnknownApiKeyError):
            act("nobody")


def test_the_last_admin_stays(store: ApiKeyStore, database: Database) -> None:
    store.create("root", Role.ADMIN)
    store.create("other", Role.ADMIN, expires_in=DAY)
    store.create("ci", Role.PUBLISH)
    expire(database, "other")

    with pytest.raises(LastAdminKeyError):
        store.revoke("root")

    store.rotate("root")
    with pytest.raises(LastAdminKeyError):
        store.revoke("root")
    store.create("second", Role.ADMIN)
    store.revoke("root")
    store.revoke("ci")
    assert [one.name for one in store.all() if one.state is ApiKeyState.LIVE] == ["second"]


def test_when_the_last_admin_goes_is_known_before(store: ApiKeyStore) -> None:
    assert store.last_admin_until() is None
    week = store.create("week", Role.ADMIN, expires_in=7 * DAY).record
    store.create("day", Role.ADMIN, expires_in=DAY)

    assert store.last_admin_until() == week.expires_at
    store.create("root", Role.ADMIN)
    assert store.last_admin_until() is None


def test_use_is_noted_to_the_hour(store: ApiKeyStore, database: Database) -> None:
    key = store.create("ci", Role.READ).key.text
    assert store.get("ci")[0].last_used_at is None

    store.find(key)
    noted = store.get("ci")[0].last_used_at
    store.find(key)

    assert noted is not None
    assert store.get("ci")[0].last_used_at == noted


def test_no_key_is_in_the_store_or_in_what_it_tells(
    runtime: Runtime, database: Database, keys: Mapping[str, str]
) -> None:
    mine = runtime.acting_as(keys["admin"])
    made = mine.api_keys.create("new", Role.RUN).key.text
    mine.api_keys.rotate("new")
    with pytest.raises(ApiKeyRefusedError) as caught:
        runtime.acting_as(keys["malformed"]).list()
    tables = schema.metadata.sorted_tables
    held = [text for table in tables for text in rows(database, table)]
    told = [repr(mine), str(caught.value), repr(caught.value), *map(repr, entries(runtime))]
    secrets = [text[13:40] for text in (made, *keys.values()) if text]

    assert [secret for secret in secrets if any(secret in row for row in held)] == []
    assert [secret for secret in secrets if any(secret in text for text in told)] == []


def rows(database: Database, table: Any) -> Iterator[str]:
    with database.read() as connection:
        for row in connection.execute(select(table)):
            yield repr(tuple(row))


def deed(who: str, verb: str) -> Deed:
    return Deed(who=who, role="run", origin="here", verb=verb)


def test_entries_are_listed_page_by_page_newest_first(audit: Audit) -> None:
    ids = [audit.enter(deed("ci", "submit"), AuditOutcome.DONE) for _ in range(5)]

    first = audit.entries(limit=2)
    second = audit.entries(before=first[-1].id, limit=2)
    third = audit.entries(before=second[-1].id, limit=2)

    assert [one.id for one in (*first, *second, *third)] == ids[::-1]
    with pytest.raises(InputError):
        audit.entries(before="nothing")


def test_entries_are_found_by_who_verb_and_moment(audit: Audit) -> None:
    for who, verb in (("ci", "submit"), ("ci", "schedules.add"), ("ann", "schedules.pause")):
        audit.enter(deed(who, verb), AuditOutcome.DONE)

    def found(**wanted: Any) -> list[str]:
        return [one.deed.verb for one in audit.entries(AuditFilter(**wanted))]

    assert found(who="ci") == ["schedules.add", "submit"]
    assert found(verb="submit") == ["submit"]
    assert found(verb="schedules.") == ["schedules.pause", "schedules.add"]
    assert found(who="ann", verb="submit") == []
    assert found(since=SystemClock().now() + DAY) == []
    assert len(found(since=SystemClock().now() - DAY)) == 3


def test_what_ended_once_ends_no_more(audit: Audit) -> None:
    deed_id = audit.enter(deed("ci", "submit"), AuditOutcome.BEGUN)
    assert audit.entries()[0].ended_at is None

    audit.end(deed_id, AuditOutcome.FAILED, "bad-params")
    audit.end(deed_id, AuditOutcome.DONE)

    (entry,) = audit.entries()
    assert (entry.outcome, entry.code) == (AuditOutcome.FAILED, "bad-params")


def test_old_entries_are_forgotten(audit: Audit) -> None:
    audit.enter(deed("ci", "submit"), AuditOutcome.DONE)

    assert audit.forget(None) == 0
    assert audit.forget(DAY) == 0
    assert audit.forget(-DAY) == 1
    assert audit.entries() == []


def test_histories_name_who_has_the_key(runtime: Runtime, keys: Mapping[str, str]) -> None:
    ci = runtime.acting_as(keys["run"])

    handle = ci.submit(LONG)
    ci.pause(handle.id, reason="lunch")
    ci.unpause(handle.id)
    ci.cancel(handle.id)
    handle.result(PATIENCE)
    ci.retry(handle.id, detach=True)
    sent, _ = ci.sent_events.send("orders.paid")

    told = [(event.type.value, event.reason or "") for event in runtime.events(handle.id)]
    named = [kind for kind, reason in told if "by run" in reason]
    assert {"submitted", "paused", "cancel_requested", "retried"} <= set(named)
    assert ("submitted", "long, by run") in told
    assert sent.sent_by == "run"
    assert not [kind for kind, reason in told if "@" in reason]


def test_histories_name_the_user(runtime: Runtime) -> None:
    handle = runtime.submit(LONG)
    runtime.cancel(handle.id)
    handle.result(PATIENCE)

    told = {event.type.value: event.reason or "" for event in runtime.events(handle.id)}
    assert told["submitted"] == f"long, by {who_asks()}"
    assert "@" in told["cancel_requested"]
