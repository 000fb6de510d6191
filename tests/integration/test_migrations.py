"""The sum of the migrations is the schema, on both databases."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from support.runs import PATIENCE
from support.stores import SPAWN, open_and_upgrade

from cloacina_core.errors import SchemaVersionError
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.migrations import runner
from cloacina_core.testing import FrozenClock


@pytest.fixture
def store_url(empty_store_url: str) -> str:
    """Return the place of a store that nobody has opened yet: the tables are made here."""
    return empty_store_url


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    engine = create_engine(store_url)
    yield engine
    engine.dispose()


def description_of(connection: Connection) -> dict[str, Any]:
    """Return all that the database says of its tables."""
    looked = inspect(connection)
    described: dict[str, Any] = {}
    for table in sorted(looked.get_table_names()):
        described[table] = {
            "columns": [
                {**column, "type": str(column["type"])} for column in looked.get_columns(table)
            ],
            "primary key": looked.get_pk_constraint(table),
            "unique": looked.get_unique_constraints(table),
            "checks": sorted(
                (check["name"], check["sqltext"]) for check in looked.get_check_constraints(table)
            ),
            "indexes": sorted(looked.get_indexes(table), key=lambda index: str(index["name"])),
        }
    if connection.dialect.name == "sqlite":  # which also keeps what was said
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master"))
        described["as written"] = {name: sql for name, sql in rows if sql}
    # Conditions of indexes are objects that equal only themselves.
    return json.loads(json.dumps(described, default=str))  # type: ignore[no-any-return]


def drop_all(connection: Connection) -> None:
    schema.metadata.drop_all(connection)
    runner.version_table.drop(connection)


def test_the_migrations_together_make_the_schema(engine: Engine):
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        runner.version_table.create(connection)
        expected = description_of(connection)
        drop_all(connection)

    with engine.begin() as connection:
        runner.OURS.upgrade(connection)
        made = description_of(connection)

    assert set(expected) > {"runs", "tasks", "events"}
    assert made == expected


def test_an_upgrade_leaves_the_newest_version(engine: Engine):
    with engine.begin() as connection:
        runner.OURS.upgrade(connection)

        version = connection.execute(runner.version_table.select()).scalars().all()

    assert version == [runner.HEAD]


def test_an_upgrade_of_the_newest_version_does_nothing(engine: Engine):
    with engine.begin() as connection:
        runner.OURS.upgrade(connection)
        before = description_of(connection)

        runner.OURS.upgrade(connection)

        assert description_of(connection) == before


def test_an_upgrade_that_fails_leaves_nothing_behind(store_url: str):
    """What is in the way here is found only when most of the tables were made."""
    first = create_engine(store_url)
    with first.begin() as connection:
        runner.version_table.create(connection)
        connection.execute(text("CREATE TABLE events (day INTEGER)"))
    first.dispose()

    with pytest.raises(Exception, match="events"):
        Database(store_url, FrozenClock())

    second = create_engine(store_url)
    with second.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"cloacina_schema", "events"}
    second.dispose()


def test_a_store_without_a_version_is_brought_to_the_newest(store_url: str):
    engine = create_engine(store_url)
    with engine.begin() as connection:
        runner.version_table.create(connection)
    engine.dispose()

    Database(store_url, FrozenClock()).close()

    database = Database(store_url, FrozenClock())
    with database.read() as connection:
        version = connection.execute(runner.version_table.select()).scalars().all()
    assert version == [runner.HEAD]
    database.close()


def test_a_newer_version_is_refused(store_url: str):
    Database(store_url, FrozenClock()).close()
    engine = create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(runner.version_table.update().values(version_num="9999"))
    engine.dispose()

    with pytest.raises(SchemaVersionError):
        Database(store_url, FrozenClock())


def description(url: str) -> dict[str, Any]:
    engine = create_engine(url)
    with engine.begin() as connection:
        described = description_of(connection)
    engine.dispose()
    return described


class TestSecondSchema:
    def test_an_older_store_is_upgraded_when_it_is_opened(
        self, store_url: str, two: runner.Migrations
    ):
        Database(store_url, FrozenClock()).close()

        with closing(Database(store_url, FrozenClock(), migrations=two)) as database:
            assert database.schema_version() == "0002"
            assert database.missing_migrations() == []
        assert "colours" in description(store_url)

    def test_a_store_that_was_upgraded_is_refused_by_the_old_version(
        self, store_url: str, two: runner.Migrations
    ):
        Database(store_url, FrozenClock()).close()
        Database(store_url, FrozenClock(), migrations=two).close()

        with pytest.raises(SchemaVersionError):
            Database(store_url, FrozenClock())

    def test_a_plan_tells_the_statements_and_touches_nothing(
        self, store_url: str, two: runner.Migrations
    ):
        Database(store_url, FrozenClock()).close()
        before = description(store_url)

        with closing(Database(store_url, FrozenClock(), prepare=False, migrations=two)) as database:
            (revision,) = database.missing_migrations()

        assert (revision.version, revision.title) == (
            "0002",
            "A second schema, which adds what nobody needs.",
        )
        assert "ALTER TABLE runs ADD COLUMN colour" in revision.sql
        assert "CREATE INDEX ix_colours" in revision.sql
        assert description(store_url) == before

    def test_a_plan_for_a_file_that_is_not_there_makes_none(
        self, tmp_path: Path, two: runner.Migrations
    ):
        file = tmp_path / "new.db"
        url = f"sqlite:///{file}"

        with closing(Database(url, FrozenClock(), prepare=False, migrations=two)) as database:
            planned = [revision.version for revision in database.missing_migrations()]

        assert planned == ["0001", "0002"]
        assert not file.exists()

    def test_statements_that_are_planned_make_the_schema(
        self, store_url: str, two: runner.Migrations
    ):
        with closing(Database(store_url, FrozenClock(), prepare=False, migrations=two)) as database:
            planned = database.missing_migrations()
        engine = create_engine(store_url)
        with engine.begin() as connection:
            for revision in planned:
                for statement in revision.sql.split(";"):
                    if statement.strip():
                        connection.exec_driver_sql(statement)
        engine.dispose()
        by_hand = description(store_url)
        engine = create_engine(store_url)
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE colours"))
            drop_all(connection)
        engine.dispose()

        Database(store_url, FrozenClock()).close()
        Database(store_url, FrozenClock(), migrations=two).close()

        assert by_hand.keys() == description(store_url).keys()
        assert by_hand["runs"] == description(store_url)["runs"]

    def test_a_failure_at_any_statement_leaves_the_old_schema(
        self, store_url: str, two: runner.Migrations, monkeypatch: pytest.MonkeyPatch
    ):
        Database(store_url, FrozenClock()).close()
        before = description(store_url)
        upgrade = runner.Migrations.upgrade
        failed_at: list[str] = []

        def failing_at(number: int) -> Callable[[runner.Migrations, Connection], None]:
            def upgrade_and_fail(self: runner.Migrations, connection: Connection) -> None:
                left = iter(range(number))

                def fail(_conn: object, _cursor: object, statement: str, *_: object) -> None:
                    if next(left, None) is None:
                        failed_at.append(statement)
                        raise ConnectionAbortedError

                event.listen(connection, "before_cursor_execute", fail)
                upgrade(self, connection)
                event.remove(connection, "before_cursor_execute", fail)

            return upgrade_and_fail

        for number in range(100):
            with monkeypatch.context() as patch:
                patch.setattr(runner.Migrations, "upgrade", failing_at(number))
                count = len(failed_at)
                with suppress(ConnectionAbortedError):
                    Database(store_url, FrozenClock(), migrations=two).close()
            if len(failed_at) == count:
                break
            assert description(store_url) == before, failed_at[-1]

        assert any("ADD COLUMN" in statement for statement in failed_at)
        assert any("CREATE INDEX" in statement for statement in failed_at)
        assert "colours" in description(store_url)

    def test_a_kill_in_the_middle_leaves_the_old_schema(
        self, store_url: str, two: runner.Migrations, monkeypatch: pytest.MonkeyPatch
    ):
        Database(store_url, FrozenClock()).close()
        before = description(store_url)
        monkeypatch.setenv("CLOACINA_TEST_DIE", "1")

        process = SPAWN.Process(target=open_and_upgrade, args=(store_url, two))
        process.start()
        process.join(PATIENCE)

        assert process.exitcode == -signal.SIGKILL
        assert description(store_url) == before
        monkeypatch.delenv("CLOACINA_TEST_DIE")
        Database(store_url, FrozenClock(), migrations=two).close()
        assert "colours" in description(store_url)

    def test_processes_that_upgrade_at_once_upgrade_once(
        self, store_url: str, two: runner.Migrations
    ):
        Database(store_url, FrozenClock()).close()
        processes = [
            SPAWN.Process(target=open_and_upgrade, args=(store_url, two)) for _ in range(3)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(PATIENCE)

        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert "colours" in description(store_url)


def test_every_version_that_is_known_has_its_file():
    found = [path.stem.partition("_")[0] for path in sorted(runner.OURS.folder.glob("[0-9]*.py"))]

    assert found == list(runner.OURS.known)
