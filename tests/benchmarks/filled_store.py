"""Fills a store with finished runs, fast: copies of a run that a real engine finished.

    python tests/benchmarks/filled_store.py URL COUNT [--tasks N] [--days N]

The copies differ from their pattern by id and by time, in every table that there is, so the store
looks as if it had worked for days; `cloacina db check` finds nothing wrong with it.
"""

import argparse
import logging
import random
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Insert,
    MetaData,
    String,
    Table,
    insert,
    null,
    select,
)

from cloacina_core import Context, Runtime, Workflow, task
from cloacina_core.foundation.clock import SystemClock, to_micros
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.testing import FrozenClock

RUNS_IN_TRANSACTION = 10_000

_copies = Table(
    "copies_to_make",
    MetaData(),
    Column("id", String(26), primary_key=True),
    Column("later", BigInteger, nullable=False),
    prefixes=["TEMPORARY"],
)


def fill(url: str, count: int, *, tasks: int = 1, days: float = 20) -> None:
    """Add `count` succeeded runs of a chain of tasks, spread evenly over the last days."""
    with tempfile.TemporaryDirectory() as home, Runtime.open(url, home=home) as runtime:
        pattern = runtime.run(_chain(tasks)).run_id
    database = Database(url, SystemClock())
    try:
        with database.read() as connection:
            finished = connection.execute(
                select(schema.runs.c.finished_at).where(schema.runs.c.id == pattern)
            ).scalar_one()
        copies = _moved(count - 1, finished, timedelta(days=days))
        while chunk := list(islice(copies, RUNS_IN_TRANSACTION)):
            with database.begin() as connection:
                _copy(connection, pattern, chunk)
        if not database.is_sqlite:  # as its autovacuum does after a while
            with database.begin() as connection:
                connection.exec_driver_sql("ANALYZE")
    finally:
        database.close()


def _chain(length: int) -> Workflow:
    flow = Workflow("filler")
    for number in range(length):
        before = [f"t{number - 1}"] if number else []
        flow.add(task(name=f"t{number}", after=before)(_small_result))
    return flow


def _small_result(context: Context) -> dict[str, object]:
    logging.getLogger(__name__).warning("one line for the log")
    return {"a": context.attempt, "b": "text", "c": 1.5, "d": None, "e": True}


def _moved(count: int, pattern_at: int, length: timedelta) -> Iterator[dict[str, object]]:
    """Yield ids, oldest first, and by how many microseconds each run is later than the pattern."""
    clock = FrozenClock(SystemClock().now() - length)
    ids = IdFactory(clock, random.Random(count).randbytes)  # the same store each time
    for _ in range(count):
        yield {"id": ids.run_id(), "later": to_micros(clock.now()) - pattern_at}
        clock.advance(length / count)


def _copy(connection: Connection, pattern: str, copies: list[dict[str, object]]) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    _copies.create(connection)
    connection.execute(insert(_copies), copies)
    for table in schema.metadata.sorted_tables:
        if table is schema.runs or "run_id" in table.c:
            connection.execute(_copied(table, pattern))
    _copies.drop(connection)


def _copied(table: Table, pattern: str) -> Insert:
    """Return what adds the copies' rows of one table."""
    of_run = table.c["id" if table is schema.runs else "run_id"]
    values = [_value(column, of_run) for column in table.c]
    rows = select(*values).select_from(_copies.join(table, of_run == pattern))
    return insert(table).from_select([column.name for column in table.c], rows)


def _value(column: Column[object], of_run: Column[str]) -> ColumnElement[object]:
    if column is of_run:
        return _copies.c.id
    if column.name == "at" or column.name.endswith("_at"):
        return column + _copies.c.later
    if column.unique:
        return null()
    return column


def main() -> None:
    """Fill a store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--days", type=float, default=20)
    options = parser.parse_args()
    fill(options.url, options.count, tasks=options.tasks, days=options.days)


if __name__ == "__main__":
    main()
