"""Which SQLite is used, and how."""

import importlib
import os
import sqlite3
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cloacina_core.store import sqlite
from cloacina_core.store.database import Database
from cloacina_core.store.sqlite import SqliteLibrary, choose_library, is_wal_safe
from cloacina_core.testing import FrozenClock


@pytest.mark.parametrize(
    ("version", "is_safe"),
    [
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 44, 7), True),
        ((3, 45, 0), False),
        ((3, 49, 9), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_wal_is_used_only_where_the_wal_reset_bug_is_mended(
    version: tuple[int, ...], *, is_safe: bool
):
    """The table of sqlite.org/wal.html#walresetbug."""
    assert is_wal_safe(version) is is_safe


def library(version: tuple[int, int, int], module: ModuleType = sqlite3) -> SqliteLibrary:
    """Return a real driver that says it has another version."""
    stand_in = ModuleType(module.__name__)
    stand_in.__dict__.update(module.__dict__)
    stand_in.sqlite_version_info = version  # type: ignore[attr-defined]
    return SqliteLibrary(stand_in)


def pragma(database: Database, name: str) -> Any:
    with database.read() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_the_newer_library_is_chosen(monkeypatch: pytest.MonkeyPatch):
    newer = library((3, 99, 0))
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", newer.module)

    assert choose_library().version == (3, 99, 0)


def test_an_older_extra_library_is_not_chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", library((3, 1, 0)).module)

    assert choose_library().module is sqlite3


def test_without_an_extra_library_the_standard_one_is_used(monkeypatch: pytest.MonkeyPatch):
    def absent(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)

    assert choose_library().module is sqlite3


def test_a_library_is_named_with_its_version():
    assert str(library((3, 51, 3))) == "SQLite 3.51.3 (sqlite3)"


@pytest.mark.parametrize(
    ("version", "mode"), [((3, 51, 3), "wal"), ((3, 40, 1), "delete"), ((3, 51, 2), "delete")]
)
def test_the_journal_mode_follows_the_version(
    version: tuple[int, int, int], mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    chosen = library(version, choose_library().module)
    monkeypatch.setattr(sqlite, "choose_library", lambda: chosen)
    database = Database(f"sqlite:///{tmp_path}/a.db", FrozenClock())

    assert pragma(database, "journal_mode") == mode
    database.close()


@pytest.mark.parametrize(
    ("option", "level"),
    [("", 2), ("?synchronous=FULL", 2), ("?synchronous=normal", 1), ("?synchronous=EXTRA", 3)],
)
def test_commits_are_synchronous_unless_the_url_says_otherwise(
    option: str, level: int, tmp_path: Path
):
    database = Database(f"sqlite:///{tmp_path}/a.db{option}", FrozenClock())

    assert pragma(database, "synchronous") == level
    database.close()


def test_a_transaction_that_writes_takes_its_lock_at_the_beginning(tmp_path: Path):
    """One that began as a reader and then wrote would fail at once when another wrote meanwhile."""
    database = Database(f"sqlite:///{tmp_path}/a.db", FrozenClock())
    driver: Any = choose_library().module
    other = driver.connect(tmp_path / "a.db", timeout=0)
    with database.begin(), pytest.raises(driver.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")

    other.close()
    database.close()


def test_readers_do_not_wait_for_writers(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/a.db", FrozenClock())

    def count() -> int:
        with database.read() as reading:
            return reading.exec_driver_sql("SELECT count(*) FROM definitions").scalar_one()

    with database.begin() as writing, ThreadPoolExecutor(1) as others:
        writing.exec_driver_sql("INSERT INTO definitions VALUES ('d', 'body')")
        counted = others.submit(count).result()

    assert counted == 0
    database.close()


@pytest.mark.skipif(os.name != "posix", reason="there are no modes")
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_a_store_is_its_owners_whatever_the_umask(tmp_path: Path, umask: int):
    before = os.umask(umask)
    try:
        database = Database(f"sqlite:///{tmp_path / 'store.db'}", FrozenClock())
        with database.begin() as connection:  # which has files beside it
            connection.exec_driver_sql("CREATE TABLE things (id INTEGER)")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    database.close()

    assert "store.db" in modes
    assert len(modes) > 1
    assert set(modes.values()) == {0o600}


def test_a_file_that_is_there_keeps_its_mode_and_what_is_in_it(tmp_path: Path):
    file = tmp_path / "store.db"
    Database(f"sqlite:///{file}", FrozenClock()).close()
    file.chmod(0o640)
    size = file.stat().st_size

    Database(f"sqlite:///{file}", FrozenClock()).close()

    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert file.stat().st_size == size
