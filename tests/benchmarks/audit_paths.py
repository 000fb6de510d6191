"""What is done with the registry's log, each beside the least work that could do the same."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hot_paths import HotPath
from sqlalchemy import text

sys.path.append(str(Path(__file__).parents[1]))  # the tests' support
from support.audit import append, fill_log, log_store

from cloacina_core.store.database import Database
from cloacina_core.store.sqlite import choose_library
from cloacina_registry.audit.examination import examine
from cloacina_registry.audit.log import AuditLog

BATCH = 200
"""How many entries are appended, or proofs made, at a time."""
PAGE = 50


@contextmanager
def audit_paths(size: int, folder: Path) -> Iterator[list[HotPath]]:
    """Yield all of them, with logs of a tenth of `size` entries and of `size`."""
    raw = choose_library().module.connect(str(folder / "raw.db"), isolation_level=None)
    raw.execute("CREATE TABLE raw_log (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    with (
        closing(raw),
        log_store(f"sqlite:///{folder / 'short.db'}") as short,
        log_store(f"sqlite:///{folder / 'long.db'}") as long,
    ):
        fill_log(short, max(1, size // 10))
        fill_log(long, size)
        bodies = bodies_of(long)
        raw.executemany("INSERT INTO raw_log (body) VALUES (?)", [(body,) for body in bodies])
        yield [
            appending(long, raw, bodies),
            examining(short),
            proving(short, raw),
            proving(long, raw),
            paging(long, size),
        ]


def bodies_of(database: Database) -> list[str]:
    """Return what the entries of a log say."""
    with database.read() as connection:
        query = text("SELECT body FROM registry_log ORDER BY leaf_index")
        return list(connection.scalars(query))


def appending(database: Database, raw: Any, bodies: list[str]) -> HotPath:
    """Append entries in one transaction, to a log that is long already."""

    def ours(_: object) -> None:
        with database.begin() as connection:
            log = AuditLog(connection)
            for number in range(BATCH):
                append(log, number)

    def least(_: object) -> None:
        raw.execute("BEGIN IMMEDIATE")
        for body in bodies[:BATCH]:
            raw.execute("INSERT INTO raw_log (body) VALUES (?)", (body,))
        raw.execute("COMMIT")

    return HotPath("append an entry", BATCH, nothing, ours, least, "a raw insert")


def examining(database: Database) -> HotPath:
    """Examine a log, all of it."""
    bodies = [b"\x00" + body.encode() for body in bodies_of(database)]

    def ours(_: object) -> None:
        with database.read() as connection:
            examine(AuditLog(connection), [], lambda _done, _all: None)

    def least(_: object) -> None:
        for body in bodies:
            hashlib.sha256(body).digest()

    return HotPath("examine an entry", len(bodies), nothing, ours, least, "its SHA-256")


def proving(database: Database, raw: Any) -> HotPath:
    """Prove that entries are in a log."""
    with database.read() as connection:
        size = AuditLog(connection).head().size
    chosen = [number * size // BATCH for number in range(BATCH)]

    def ours(_: object) -> None:
        with database.read() as connection:
            log = AuditLog(connection)
            for index in chosen:
                log.inclusion(index, size)

    def least(_: object) -> None:
        for index in chosen:
            for level in range(size.bit_length()):
                raw.execute("SELECT body FROM raw_log WHERE id = ?", (index ^ level,)).fetchone()

    name = f"prove one of {size:,}"
    return HotPath(name, BATCH, nothing, ours, least, "as many raw reads as it has levels")


def paging(database: Database, size: int) -> HotPath:
    """List a page in the middle of a log."""

    def page(after: int | None, _: object) -> None:
        with database.read() as connection:
            AuditLog(connection).entries(limit=PAGE, after=after)

    middle, first = partial(page, size // 2), partial(page, None)
    return HotPath("list an entry, in the middle", PAGE, nothing, middle, first, "at the beginning")


def nothing() -> None:
    """Prepare nothing."""
