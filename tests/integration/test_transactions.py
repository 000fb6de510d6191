"""A transaction within a transaction of the same thread is a part of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, Text, insert, select

from cloacina_core.errors import StoreError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.store.database import IN_MEMORY, Database

words = Table("test_words", MetaData(), Column("word", Text, primary_key=True))


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url, SystemClock(), [words])
    yield database
    database.close()


def add(connection: Connection, word: str) -> None:
    connection.execute(insert(words).values(word=word))


def seen(database: Database) -> list[str]:
    with database.read() as connection:
        return sorted(connection.scalars(select(words.c.word)))


def test_both_are_committed_together(database: Database) -> None:
    with database.begin() as outer:
        add(outer, "one")
        with database.begin() as inner:
            add(inner, "two")
        with ThreadPoolExecutor(1) as threads:
            seen_by_others = threads.submit(seen, database).result()

    assert seen_by_others == []
    assert seen(database) == ["one", "two"]


def test_an_outer_one_that_fails_takes_the_inner_with_it(database: Database) -> None:
    def add_and_fail() -> None:
        with database.begin():
            with database.begin() as inner:
                add(inner, "two")
            raise LookupError

    with pytest.raises(LookupError):
        add_and_fail()

    assert seen(database) == []


def add_two_and_one(database: Database) -> None:
    with database.begin() as connection:
        add(connection, "two")
        add(connection, "one")


def test_an_inner_one_that_fails_leaves_the_outer_alone(database: Database) -> None:
    with database.begin() as outer:
        add(outer, "one")
        with pytest.raises(StoreError):
            add_two_and_one(database)
        add(outer, "three")

    assert seen(database) == ["one", "three"]


def test_what_was_written_is_read_within_it(database: Database) -> None:
    with database.begin() as outer:
        add(outer, "one")

        assert seen(database) == ["one"]


def test_after_one_that_failed_the_next_is_its_own(database: Database) -> None:
    with pytest.raises(LookupError), database.begin():
        raise LookupError
    with database.begin() as connection:
        add(connection, "one")

    assert seen(database) == ["one"]


def test_a_database_in_memory_does_the_same() -> None:
    database = Database(IN_MEMORY, SystemClock(), [words])
    with database.begin() as outer, database.begin() as inner:
        add(inner, "one")
        assert inner is outer

    assert seen(database) == ["one"]
    database.close()
