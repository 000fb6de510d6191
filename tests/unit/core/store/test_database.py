"""A database that can't be used says why, and what to do; one that can keeps what it was given."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, Table, insert, select
from support.filesystems import fill, make_read_only, resize, tmpfs
from support.stores import SPAWN, open_and_close, url

from cloacina_core.errors import (
    ConfigurationError,
    SchemaVersionError,
    StoreDamagedError,
    StoreError,
    StoreUnavailableError,
)
from cloacina_core.store import schema, sqlite
from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.store.migrations import runner
from cloacina_core.testing import FrozenClock

CLOCK = FrozenClock()
DRIVER: Any = sqlite.choose_library().module
"""The same as the store's: two copies of SQLite in one process don't see each other's locks."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def add_definition(database: Database, digest: str = "d", body: str = "{}") -> None:
    with database.begin() as connection:
        connection.execute(insert(schema.definitions).values(digest=digest, body=body))


def definitions(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(schema.definitions.c.digest)).scalars())


class TestUrls:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("nonsense", "can't be read"),
            ("sqlite:/", "can't be read"),
            ("mysql://host/db", "names 'mysql'"),
            ("sqlite:///x.db?mode=ro", "has an option that isn't known"),
            ("sqlite:///x.db?synchronous=OFF", "has an option that isn't known"),
            ("postgresql+nosuchdriver://host/db", "isn't installed"),
        ],
    )
    def test_a_url_that_cannot_be_used_is_refused(self, given: str, message: str):
        with pytest.raises(ConfigurationError, match=message):
            Database(given, CLOCK)

    def test_passwords_are_never_told(self):
        # Nothing listens on port 1.
        with pytest.raises(StoreUnavailableError) as raised:
            Database("postgresql://user:geheim@127.0.0.1:1/db", CLOCK)

        assert "geheim" not in str(raised.value)
        assert "postgresql+psycopg://user:***@127.0.0.1:1/db" in str(raised.value)


class TestFiles:
    def test_a_new_file_is_made_at_the_current_schema(self, file: Path):
        open_and_close(file)

        with closing(DRIVER.connect(file, isolation_level=None)) as connection:
            version = connection.execute("SELECT version_num FROM cloacina_schema").fetchall()
        assert version == [(runner.HEAD,)]

    def test_what_was_stored_is_there_when_it_is_opened_again(self, file: Path):
        first = Database(url(file), CLOCK)
        add_definition(first)
        first.close()

        second = Database(url(file), CLOCK)

        assert definitions(second) == ["d"]
        second.close()

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path):
        with pytest.raises(StoreUnavailableError, match=r"there is no folder .*/absent") as raised:
            Database(url(tmp_path / "absent" / "x.db"), CLOCK)

        assert raised.value.hint == "make a home with: cloacina init"
        assert not (tmp_path / "absent").exists()

    def test_a_folder_is_not_a_database(self, tmp_path: Path):
        with pytest.raises(StoreUnavailableError, match="is a folder, not a file"):
            Database(url(tmp_path), CLOCK)

    def test_a_file_that_is_not_a_database_is_refused_and_left_alone(self, file: Path):
        file.write_text("Dear diary, " * 1000)

        with pytest.raises(StoreUnavailableError, match="is not a database") as raised:
            Database(url(file), CLOCK)

        assert "CLOACINA_DATABASE_URL" in str(raised.value.hint)
        assert file.read_text().startswith("Dear diary")

    def test_a_damaged_file_is_refused(self, file: Path):
        open_and_close(file)
        data = bytearray(file.read_bytes())
        data[100:4096] = b"\xff" * (4096 - 100)  # the first page, behind the header
        file.write_bytes(data)

        with pytest.raises(StoreDamagedError, match="is damaged"):
            Database(url(file), CLOCK)

    def test_a_file_that_cannot_be_written_is_told_to_be_read_only(self, tmp_path: Path):
        with tmpfs(tmp_path / "disk") as disk:
            open_and_close(disk / "store.db")
            make_read_only(disk)

            with pytest.raises(StoreUnavailableError) as raised:
                add_definition(Database(url(disk / "store.db"), CLOCK))

        assert "is read-only" in str(raised.value) or "can't be opened" in str(raised.value)

    def test_a_full_disk_is_told_and_nothing_that_was_stored_is_lost(self, tmp_path: Path):
        with tmpfs(tmp_path / "disk", size="1m") as disk:
            database = Database(url(disk / "store.db"), CLOCK)
            add_definition(database, "before")
            fill(disk)

            with pytest.raises(StoreUnavailableError, match="the disk is full"):
                add_definition(database, "too large", "x" * 500_000)

            resize(disk, "8m")
            add_definition(database, "after", "x" * 500_000)
            assert definitions(database) == ["after", "before"]
            database.close()


class TestLocks:
    def test_a_lock_that_is_let_go_in_time_is_waited_for(self, file: Path):
        database = Database(url(file), CLOCK)
        other = DRIVER.connect(file, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        let_go = threading.Timer(0.2, other.execute, ["COMMIT"])
        let_go.start()

        add_definition(database)

        let_go.join()
        assert definitions(database) == ["d"]
        other.close()
        database.close()

    def test_a_lock_that_is_kept_makes_the_store_unavailable(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ):
        open_and_close(file)
        monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.05)
        database = Database(url(file), CLOCK)
        other = DRIVER.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailableError, match="is locked by another program"):
            add_definition(database)

        other.close()
        add_definition(database)
        database.close()

    def test_processes_that_make_a_store_together_make_one(self, file: Path):
        processes = [SPAWN.Process(target=open_and_close, args=(file,)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)

        assert [process.exitcode for process in processes] == [0] * 4
        open_and_close(file)


class TestSchema:
    def test_a_newer_schema_is_refused_and_not_changed(self, file: Path):
        open_and_close(file)
        with closing(DRIVER.connect(file, isolation_level=None)) as connection:
            connection.execute("UPDATE cloacina_schema SET version_num = '9999'")
        before = file.read_bytes()

        with pytest.raises(SchemaVersionError, match="has schema 9999, which is newer") as raised:
            Database(url(file), CLOCK)

        assert raised.value.hint is not None
        assert "upgrade Cloacina" in raised.value.hint
        assert file.read_bytes() == before

    def test_tables_of_ours_without_a_version_are_not_touched(self, file: Path):
        open_and_close(file)
        with closing(DRIVER.connect(file, isolation_level=None)) as connection:
            connection.execute("DROP TABLE cloacina_schema")

        with pytest.raises(StoreError, match="has tables of ours but no schema version"):
            Database(url(file), CLOCK)

    def test_tables_of_others_may_stay(self, file: Path):
        with closing(DRIVER.connect(file, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE diary (day)")
            connection.execute("CREATE TABLE alembic_version (version_num)")
            connection.execute("INSERT INTO alembic_version VALUES ('theirs')")

        database = Database(url(file), CLOCK)

        with database.read() as connection:
            theirs = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        assert theirs == "theirs"
        database.close()

    def test_a_store_without_a_version_yet_is_brought_to_the_current_one(self, file: Path):
        with closing(DRIVER.connect(file, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE cloacina_schema (version_num VARCHAR(32) NOT NULL)")

        database = Database(url(file), CLOCK)

        add_definition(database)
        database.close()
        open_and_close(file)

    def test_tables_of_plugins_are_made_when_they_are_missing(self, file: Path):
        table = Table("eventlog_lines", MetaData(), Column("n", Integer, primary_key=True))
        open_and_close(file)

        database = Database(url(file), CLOCK, [table])

        with database.begin() as connection:
            connection.execute(insert(table).values(n=1))
        database.close()
        Database(url(file), CLOCK, [table]).close()


class TestTransactions:
    @pytest.fixture(params=["memory", "file"])
    def database(self, request: pytest.FixtureRequest, file: Path) -> Iterator[Database]:
        database = Database(IN_MEMORY if request.param == "memory" else url(file), CLOCK)
        yield database
        database.close()

    def test_what_raises_is_rolled_back(self, database: Database):
        with pytest.raises(ZeroDivisionError), database.begin() as connection:  # noqa: PT012
            connection.execute(insert(schema.definitions).values(digest="d", body="{}"))
            raise ZeroDivisionError

        assert definitions(database) == []

    def test_threads_never_share_a_transaction(self, database: Database):
        """In memory, all of them have the same connection."""
        errors: list[BaseException] = []

        def write_and_read(number: int) -> None:
            try:
                for turn in range(20):
                    add_definition(database, f"{number}-{turn}")
                    assert f"{number}-{turn}" in definitions(database)
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

        threads = [threading.Thread(target=write_and_read, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert errors == []
        assert len(definitions(database)) == 80

    def test_a_row_that_the_schema_refuses_is_no_reason_to_try_again(self, database: Database):
        add_definition(database)

        with pytest.raises(StoreError) as raised:
            add_definition(database)

        assert not isinstance(raised.value, StoreUnavailableError)

    def test_nothing_is_read_or_written_once_it_is_closed(self, database: Database):
        database.close()

        with pytest.raises(StoreUnavailableError, match="was closed"):
            definitions(database)
        with pytest.raises(StoreUnavailableError, match="was closed"):
            add_definition(database)


def test_a_store_that_cannot_be_prepared_is_closed_again(file: Path):
    bad = Table("bad", MetaData(), Column("n", Integer), Index("ix_runs_live", "n"))
    open_and_close(file)

    with pytest.raises(StoreError):
        Database(url(file), CLOCK, [bad])

    open_and_close(file)
