"""The log in both databases: dense, found page by page, and never apart from what it tells of."""

import multiprocessing
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from support.audit import append, fill_log, log_store
from support.audit_processes import append_at_the_signal
from support.signing import NOW

from cloacina_core.errors import InputError, StoreError
from cloacina_core.store.database import Database
from cloacina_registry.audit.entries import EntryKind, LogEntry
from cloacina_registry.audit.log import AuditLog
from cloacina_registry.audit.merkle import (
    EMPTY_ROOT,
    TreeHead,
    proves_consistency,
    proves_inclusion,
    tree_head,
)
from cloacina_registry.errors import LogTamperedError

SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 60.0


KINDS = (None, EntryKind.YANK, EntryKind.UPLOAD)
ABOUT = (None, "reports")


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    with log_store(store_url) as database:
        yield database


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """For what doesn't depend on the kind of database."""
    with log_store(f"sqlite:///{tmp_path / 'store.db'}") as database:
        yield database


def test_an_empty_log_has_the_root_of_nothing(database: Database):
    with database.read() as connection:
        log = AuditLog(connection)

        assert log.head() == TreeHead(0, EMPTY_ROOT)
        assert log.entries(limit=10) == []


def test_entries_come_back_in_order_as_they_went_in(database: Database):
    entries = fill_log(database, 5)

    with database.read() as connection:
        log = AuditLog(connection)
        assert log.entries(limit=10) == entries
        assert log.entries(limit=10, newest_first=True) == entries[::-1]
    assert [entry.index for entry in entries] == [0, 1, 2, 3, 4]


def test_the_root_is_that_of_the_tree_over_the_bodies(database: Database):
    bodies = []
    for _ in range(11):
        (entry,) = fill_log(database, 1)
        bodies.append(entry.to_text().encode())

        with database.read() as connection:
            assert AuditLog(connection).head() == tree_head(bodies)


def test_an_entry_costs_one_more_row_on_average(sqlite: Database):
    fill_log(sqlite, 100)

    with sqlite.read() as connection:
        assert AuditLog(connection).stored_counts() == (100, 97)


def test_pages_tell_every_entry_once(database: Database):
    entries = fill_log(database, 20)
    with database.read() as connection:
        log = AuditLog(connection)
        for length, kind, package, newest_first in product((1, 3, 50), KINDS, ABOUT, (False, True)):
            told: list[LogEntry] = []

            while page := log.entries(
                limit=length,
                after=told[-1].index if told else None,
                kind=kind,
                package=package,
                newest_first=newest_first,
            ):
                told += page

            wanted = [
                entry
                for entry in entries
                if kind in (None, entry.kind) and package in (None, entry.package)
            ]
            assert told == (wanted[::-1] if newest_first else wanted)


def test_every_entry_and_every_growth_can_be_proved(database: Database):
    entries = fill_log(database, 13)
    heads = [tree_head([e.to_text().encode() for e in entries[:size]]) for size in range(14)]

    with database.read() as connection:
        log = AuditLog(connection)
        for size in range(1, 14):
            for entry in entries[:size]:
                proof = log.inclusion(entry.index, size)
                assert proves_inclusion(proof, entry.leaf, entry.index, heads[size])
            for old in range(size + 1):
                proof = log.consistency(old, size)
                assert proves_consistency(proof, heads[old], heads[size])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3), (0, 4), (0, -1)])
def test_what_never_was_cannot_be_proved(sqlite: Database, index: int, size: int):
    fill_log(sqlite, 3)

    with sqlite.read() as connection, pytest.raises(InputError):
        AuditLog(connection).inclusion(index, size)


@pytest.mark.parametrize(("old", "new"), [(2, 1), (-1, 3), (1, 4)])
def test_a_log_never_grew_so(sqlite: Database, old: int, new: int):
    fill_log(sqlite, 3)

    with sqlite.read() as connection, pytest.raises(InputError):
        AuditLog(connection).consistency(old, new)


def append_and_fail(database: Database) -> None:
    with database.begin() as connection:
        append(AuditLog(connection), 3)
        connection.execute(text("a statement that no database takes"))


def test_what_is_rolled_back_was_never_logged(database: Database):
    fill_log(database, 3)

    with pytest.raises(StoreError):
        append_and_fail(database)

    entries = fill_log(database, 1)

    assert [entry.index for entry in entries] == [3]


@pytest.mark.parametrize("fact", [float("nan"), "\x00", "\ud800", object(), 2**64])
def test_a_fact_that_is_no_json_is_bad_input(sqlite: Database, fact: object):
    with pytest.raises(InputError), sqlite.begin() as connection:
        AuditLog(connection).append(EntryKind.YANK, {"reason": fact}, at=NOW, actor="tester")


def test_nothing_is_appended_behind_a_head_that_cannot_be_one(sqlite: Database):
    fill_log(sqlite, 3)
    with sqlite.begin() as connection:
        connection.execute(text("update registry_log_head set size = 4"))

    with pytest.raises(LogTamperedError), sqlite.begin() as connection:
        append(AuditLog(connection), 3)


def test_nothing_is_appended_over_an_entry_that_is_there(database: Database):
    fill_log(database, 2)
    with database.begin() as connection:
        before = connection.execute(text("select frontier from registry_log_head")).scalar_one()
    fill_log(database, 2)
    with database.begin() as connection:
        statement = text("update registry_log_head set size = 2, frontier = :frontier")
        connection.execute(statement, {"frontier": before})

    with pytest.raises(LogTamperedError) as caught, database.begin() as connection:
        append(AuditLog(connection), 2)

    assert "entry 2" in caught.value.message


def test_a_proof_over_a_missing_node_names_where_it_is_missing(sqlite: Database):
    fill_log(sqlite, 8)
    with sqlite.begin() as connection:
        connection.execute(text("delete from registry_log_nodes where level = 2 and position = 1"))

    with sqlite.read() as connection, pytest.raises(LogTamperedError) as caught:
        AuditLog(connection).inclusion(0, 8)

    assert caught.value.first_wrong == 4


def test_an_entry_that_cannot_be_read_is_named(sqlite: Database):
    fill_log(sqlite, 3)
    with sqlite.begin() as connection:
        connection.execute(text("update registry_log set body = '{}' where leaf_index = 1"))

    with sqlite.read() as connection, pytest.raises(LogTamperedError) as caught:
        AuditLog(connection).entries(limit=10)

    assert caught.value.first_wrong == 1


def test_threads_that_append_at_once_make_a_dense_log(database: Database):
    def work(_: int) -> int:
        with database.begin() as connection:
            return append(AuditLog(connection), 0).index

    with ThreadPoolExecutor(4) as pool:
        indexes = list(pool.map(work, range(24)))

    assert sorted(indexes) == list(range(24))
    assert_log_is_whole(database, 24)


def test_processes_that_append_at_once_make_a_dense_log(database: Database, store_url: str):
    start, answers = SPAWN.Barrier(3), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=append_at_the_signal, args=(store_url, 10, start, answers))
        for _ in range(3)
    ]
    for process in processes:
        process.start()

    indexes = [index for _ in processes for index in answers.get(timeout=PATIENCE)]

    for process in processes:
        process.join(timeout=PATIENCE)
    assert sorted(indexes) == list(range(30))
    assert_log_is_whole(database, 30)


def assert_log_is_whole(database: Database, size: int) -> None:
    with database.read() as connection:
        log = AuditLog(connection)
        bodies = [entry.to_text().encode() for entry in log.entries(limit=size + 1)]
        assert log.head() == tree_head(bodies)
        assert len(bodies) == size


def test_a_page_is_found_through_an_index(database: Database):
    fill_log(database, 600)
    if not database.is_sqlite:
        with database.begin() as connection:
            connection.execute(text("analyze registry_log"))
    said: list[tuple[str, Any]] = []
    event.listen(
        database._engine,
        "before_cursor_execute",
        lambda _c, _cur, statement, values, _ctx, _many: said.append((statement, values)),
    )
    word = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"

    for kind, package, newest_first in product(KINDS, ABOUT, (False, True)):
        said.clear()
        with database.read() as connection:
            AuditLog(connection).entries(
                limit=10, after=300, kind=kind, package=package, newest_first=newest_first
            )
            ((statement, values),) = [one for one in said if "registry_log" in one[0]]
            plan = connection.exec_driver_sql(f"{word} {statement}", values).all()

        told = "\n".join(str(row[-1]) for row in plan)
        assert not re.search(r"SCAN registry_log$|Seq Scan|TEMP B-TREE|Sort", told), told
