"""The sum of the migrations is the schema, on both databases."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from cloacina_core.errors import SchemaVersionError
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.migrations import runner
from cloacina_core.testing import FrozenClock


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
        runner.upgrade(connection)
        made = description_of(connection)

    assert set(expected) > {"runs", "tasks", "events"}
    assert made == expected


def test_an_upgrade_leaves_the_newest_version(engine: Engine):
    with engine.begin() as connection:
        runner.upgrade(connection)

        version = connection.execute(runner.version_table.select()).scalars().all()

    assert version == [runner.HEAD]


def test_an_upgrade_of_the_newest_version_does_nothing(engine: Engine):
    with engine.begin() as connection:
        runner.upgrade(connection)
        before = description_of(connection)

        runner.upgrade(connection)

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


def test_every_version_that_is_known_has_its_file():
    folder = Path(runner.__file__).parent / "versions"

    found = [path.stem.partition("_")[0] for path in sorted(folder.glob("[0-9]*.py"))]

    assert found == list(runner.KNOWN)
