"""Logs in real stores for tests, filled and tampered with."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, text
from support.signing import NOW

from cloacina_core.store.database import Database
from cloacina_core.testing import FrozenClock
from cloacina_registry.audit.entries import EntryKind, LogEntry
from cloacina_registry.audit.log import AuditLog
from cloacina_registry.tables import TABLES

PACKAGES = ("acme-etl", "reports")


@contextmanager
def log_store(url: str) -> Iterator[Database]:
    """Yield a store that has a log; close it in the end."""
    database = Database(url, FrozenClock(), TABLES)
    yield database
    database.close()


def append(log: AuditLog, number: int) -> LogEntry:
    """Append an entry, the same for the same number."""
    kind = EntryKind.YANK if number % 3 == 2 else EntryKind.UPLOAD
    facts: dict[str, Any] = {"package": PACKAGES[number % 2], "version": f"1.{number}"}
    return log.append(kind, facts, at=NOW + timedelta(seconds=number), actor="tester@here")


def fill_log(database: Database, count: int) -> list[LogEntry]:
    """Append so many entries, in one transaction."""
    with database.begin() as connection:
        log = AuditLog(connection)
        begin = log.head().size
        return [append(log, begin + number) for number in range(count)]


def rewrite(connection: Connection, statement: str, **values: object) -> None:
    """Change rows, as somebody would who can write to the store and knows no better."""
    done = connection.execute(text(statement), values)
    assert done.rowcount


def forge_body(connection: Connection, index: int, old: str, new: str, *, hashed: bool) -> None:
    """Change what an entry says; when hashed, with the hash that goes with it."""
    query = text("select body from registry_log where leaf_index = :index")
    body = connection.execute(query, {"index": index}).scalar_one()
    assert old in body
    body = body.replace(old, new)
    values = {"index": index, "body": body}
    rewrite(connection, "update registry_log set body = :body where leaf_index = :index", **values)
    if hashed:
        leaf = hashlib.sha256(b"\x00" + body.encode()).digest()
        rewrite(
            connection,
            "update registry_log set leaf = :leaf where leaf_index = :index",
            index=index,
            leaf=leaf,
        )


def rewrite_history(connection: Connection, old: str, new: str) -> None:
    """Write the whole log anew with something changed, its tree and its head included."""
    entries = AuditLog(connection).entries(limit=100_000)
    for table in ("registry_log", "registry_log_nodes", "registry_log_head"):
        connection.execute(text(f"delete from {table}"))
    log = AuditLog(connection)
    for entry in entries:
        changed = LogEntry.parse(entry.to_text().replace(old, new))
        log.append(changed.kind, changed.facts, at=changed.at, actor=changed.actor)
