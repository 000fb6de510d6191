"""What an operator wants to know of a store at a glance."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from cloacina_core.foundation.clock import from_micros
from cloacina_core.model.status import RunStatus
from cloacina_core.store import postgresql, schema, sqlite
from cloacina_core.store.database import Database
from cloacina_core.store.disk import Disk, disk_of

_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """A store as it stands."""

    url: str
    """Without password."""
    software: str
    """The database's name and version."""
    schema_version: str | None
    durability: str
    """The setting that says when a commit is on the disk: `synchronous`, `synchronous_commit`."""
    synchronous: str
    """Its value, in lower case."""
    unsafe: frozenset[str]
    """Which of PostgreSQL's `fsync` and `full_page_writes` are off."""
    size: int
    """In bytes, with what is free within."""
    free_within: int | None
    """Bytes of SQLite's file that deleted rows left, and new ones will fill."""
    disk: Disk | None
    """Where SQLite's file lies; None when it isn't a file of this host."""
    runs: Mapping[RunStatus, int]
    oldest_live: datetime | None
    """When the oldest run was accepted that hasn't ended."""
    engines: Mapping[str, int]
    """How many engines haven't stopped, by their version."""

    @property
    def loses_commits(self) -> bool:
        """Whether a power cut may lose what was told to be done."""
        return self.synchronous in ("off", "normal")


def facts_of(database: Database) -> StoreFacts:
    """Return what there is to know of a store.

    Raises:
        StoreError: it can't be read.
    """
    version = database.schema_version()
    with database.read() as connection:
        runs, engines = schema.runs, schema.engines
        by_status = connection.execute(select(runs.c.status, func.count()).group_by(runs.c.status))
        oldest = connection.execute(select(func.min(runs.c.created_at)).where(schema.LIVE)).scalar()
        by_version = connection.execute(
            select(engines.c.version, func.count())
            .where(engines.c.stopped_at.is_(None))
            .group_by(engines.c.version)
        )
        look = _sqlite if database.is_sqlite else _postgresql
        software, synchronous, size, free_within = look(connection)
        unsafe = frozenset[str]() if database.is_sqlite else _unsafe(connection)
        return StoreFacts(
            url=database.description,
            software=software,
            durability="synchronous" if database.is_sqlite else "synchronous_commit",
            schema_version=version,
            synchronous=synchronous,
            unsafe=unsafe,
            size=size,
            free_within=free_within,
            disk=disk_of(database.file) if database.file else None,
            runs={RunStatus(status): count for status, count in by_status},
            oldest_live=None if oldest is None else from_micros(oldest),
            engines={str(version): count for version, count in by_version},
        )


def _sqlite(connection: Connection) -> tuple[str, str, int, int | None]:
    def pragma(name: str) -> int:
        return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

    page = pragma("page_size")
    software = str(sqlite.choose_library())
    synchronous = _SYNCHRONOUS[pragma("synchronous")].lower()
    return software, synchronous, page * pragma("page_count"), page * pragma("freelist_count")


def _postgresql(connection: Connection) -> tuple[str, str, int, int | None]:
    def ask(query: str) -> str:
        return str(connection.exec_driver_sql(query).scalar_one())

    software = f"PostgreSQL {ask('SHOW server_version')}"
    size = int(ask(postgresql.STORE_BYTES))
    return software, ask("SHOW synchronous_commit"), size, None


def _unsafe(connection: Connection) -> frozenset[str]:
    settings = ("fsync", "full_page_writes")
    return frozenset(
        name
        for name in settings
        if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off"
    )
