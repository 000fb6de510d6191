"""The bare driver, as a contender: what durable commits cost with nothing around them.

`run_raw.py URL HOME`. See `protocol.py`.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from protocol import repeated, serve
from sqlalchemy.engine import URL, make_url

from cloacina_core.store.sqlite import choose_library

ROW = "x" * 100
BODY = "x" * 300


class Raw:
    """A connection of a bare driver."""

    def __init__(self, connection: Any, mark: str, begin: str) -> None:
        self._cursor = connection.cursor()
        self._begin = begin
        self._insert = f"INSERT INTO raw_rows (id, body) VALUES ({mark}, {mark})"
        self._update = f"UPDATE raw_rows SET body = {mark} WHERE id = {mark}"
        self._last = 0
        self._cursor.execute("CREATE TABLE raw_rows (id INTEGER PRIMARY KEY, body TEXT)")

    def commit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Commit one insert and one update of 300 bytes, again and again."""
        return repeated(lambda: self._in_transaction(self._insert_and_update), request)

    def same_rows(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Write as many rows, in as many transactions, as a workload took."""
        return repeated(lambda: self._write(request["commits"], request["rows"]), request)

    def _write(self, commits: int, rows: int) -> None:
        for number in range(commits):
            count = rows * (number + 1) // commits - rows * number // commits
            self._in_transaction(partial(self._insert_rows, count))

    def _in_transaction(self, work: Callable[[], object]) -> None:
        self._cursor.execute(self._begin)
        work()
        self._cursor.execute("COMMIT")

    def _insert_and_update(self) -> None:
        self._last += 1
        self._cursor.execute(self._insert, (self._last, BODY))
        self._cursor.execute(self._update, (BODY, self._last))

    def _insert_rows(self, count: int) -> None:
        first, self._last = self._last + 1, self._last + count
        self._cursor.executemany(self._insert, [(id_, ROW) for id_ in range(first, first + count)])


def open_raw(url: URL) -> Raw:
    """Return a connection of the kind that the engine would use."""
    if url.get_backend_name() == "postgresql":
        import psycopg  # noqa: PLC0415 - there may be none, and no PostgreSQL either

        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        return Raw(psycopg.connect(plain, autocommit=True), "%s", "BEGIN")
    library = choose_library()
    connection = library.module.connect(str(url.database), isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {library.journal_mode}")
    connection.execute(f"PRAGMA synchronous = {url.query.get('synchronous', 'FULL')}")
    return Raw(connection, "?", "BEGIN IMMEDIATE")


def main() -> None:
    """Serve."""
    url, home = sys.argv[1:]
    Path(home).mkdir(exist_ok=True)
    raw = open_raw(make_url(url))
    serve({"commit": raw.commit, "same_rows": raw.same_rows})


if __name__ == "__main__":
    main()
