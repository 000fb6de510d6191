"""The database: opened by URL, at the right schema, told apart when it can't be used."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from threading import RLock, local
from typing import Any, TypeAlias

from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    Table,
    create_engine,
    delete,
    event,
    inspect,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.dml import UpdateBase

from cloacina_core.errors import (
    ConfigurationError,
    NoStoreError,
    OutcomeUnknownError,
    SchemaOutdatedError,
    SchemaVersionError,
    StoreDamagedError,
    StoreError,
    StoreUnavailableError,
    TenantSchemaError,
)
from cloacina_core.foundation.clock import Clock, to_micros
from cloacina_core.store import postgresql, schema, sqlite
from cloacina_core.store.answers import Answers
from cloacina_core.store.direct import DirectConnection, DirectStatement
from cloacina_core.store.migrations.runner import OURS, Migrations, Revision, version_table
from cloacina_core.store.write_queue import write_queue_of

IN_MEMORY = "sqlite://"
ANNOUNCED = "announced"
"""Where a connection keeps what its transaction announces."""

CHANNEL = "channel"
"""Where a connection to the store of a tenant keeps what the names of its channels begin with."""

Listener: TypeAlias = Callable[[set[Any]], object]
"""Takes what a transaction of this process announced, after its commit."""

_SYNCHRONOUS = ("FULL", "NORMAL", "EXTRA")


class Standing(Enum):
    """How far the schema of a store is, as it is found."""

    MISSING = "missing"
    """There is no store yet."""
    OUTDATED = "outdated"
    """An older version of Cloacina made it; it lacks what ours needs."""
    CURRENT = "current"

    @property
    def is_missing(self) -> bool:
        """Whether there is no store yet."""
        return self is Standing.MISSING

    @property
    def is_outdated(self) -> bool:
        """Whether an older version made it."""
        return self is Standing.OUTDATED


class _Open(local):
    """The write transaction that this thread is in."""

    connection: Connection | None = None


class Database:
    """A store's database, open. Safe to use from any thread."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        extra_tables: Iterable[Table] = (),
        *,
        prepare: bool = True,
        migrations: Migrations = OURS,
    ) -> None:
        """Open a database, made or brought to the current schema if need be.

        Args:
            url: `sqlite:///PATH[?synchronous=NORMAL]`, `sqlite://` (in memory) or
                `postgresql+psycopg://...`.
            clock: tells the time where the database is on this host and has no clock of its own.
            extra_tables: tables of plugins, made when they aren't there.
            prepare: whether the schema is made or upgraded; otherwise nothing is touched.
            migrations: what leads to the current schema.

        Raises:
            ConfigurationError: the URL can't be used.
            StoreUnavailableError: the database can't be opened, read or written.
            SchemaVersionError: a newer version of Cloacina wrote it.
            SchemaOutdatedError: it is a tenant's, and only the administrator can upgrade it.
            TenantSchemaError: the schema of a tenant's credentials can't be used.
            NoStoreError: the database has tenants, and no store beside theirs.
        """
        self.clock = clock
        """Tells the time where the database has no clock of its own."""
        self._migrations = migrations
        self.url = _parsed(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.description = self.url.render_as_string(hide_password=True)
        # A database in memory has one connection, and transactions of two threads would mix.
        self.is_shared = self.is_sqlite and self.url.database in sqlite.IN_MEMORY_NAMES
        self._turn: AbstractContextManager[Any] = RLock() if self.is_shared else nullcontext()
        self._write_queue = None if self.file is None else write_queue_of(self.file)
        self._closed = False
        self._open = _Open()
        self._direct: list[DirectConnection] = []
        self.statements: dict[UpdateBase, DirectStatement] = {}
        """What was compiled for its direct connections."""
        self._listeners: tuple[Listener, ...] = ()
        self._answers = Answers()
        self._tenant_schema: postgresql.TenantSchema | None = None
        self._prepared: frozenset[str] | None = None
        self.is_tenant = False
        """Whether it is the store of a tenant, which may have quotas; known once it is prepared."""
        self._engine = self._connect()
        try:
            if prepare:
                self.prepare(extra_tables)
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Engine:
        if not self.is_sqlite:
            # A connection that died while it lay in the pool is replaced, not handed out: nobody
            # should be refused for a server that was restarted and is there again.
            connect_args = postgresql.connect_args(self.url)
            engine = _create_engine(self.url, connect_args=connect_args, pool_pre_ping=True)
            self._answers.bound(engine)
            self._confine_tenants(engine)
            return engine
        query = dict(self.url.query)
        synchronous = str(query.pop("synchronous", "FULL")).upper()
        if synchronous not in _SYNCHRONOUS or query:
            raise ConfigurationError(
                f"database URL {self.description} has an option that isn't known",
                hint="the option is synchronous=FULL (the default), NORMAL or EXTRA",
            )
        library = sqlite.choose_library()
        options: dict[str, Any] = {"module": library.module}
        if self.url.database in sqlite.IN_MEMORY_NAMES:
            options |= {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        else:
            self._check_folder(Path(str(self.url.database)))
            options |= {"connect_args": {"check_same_thread": False}}
        engine = _create_engine(self.url.set(query={}), **options)
        sqlite.configure(engine, library, synchronous)
        return engine

    def _confine_tenants(self, engine: Engine) -> None:
        """Have each connection of a tenant's role use the schema of the role alone."""
        driver_error = engine.dialect.loaded_dbapi.Error

        @event.listens_for(engine, "connect")
        def on_connect(connection: Any, record: Any) -> None:
            try:
                found = postgresql.enter_tenant_schema(connection, self._tenant_schema)
            except driver_error as error:
                connection.close()
                raise self._lost(error) from error
            except TenantSchemaError:
                connection.close()
                raise
            if found is not None:
                self._tenant_schema = found
                record.info[CHANNEL] = found.channel

    @property
    def schema(self) -> str | None:
        """The schema of the tenant whose credentials are used; None for other stores."""
        return None if self._tenant_schema is None else self._tenant_schema.name

    @property
    def channel(self) -> str | None:
        """What the names of the channels of a tenant's store begin with."""
        return None if self._tenant_schema is None else self._tenant_schema.channel

    def _check_folder(self, path: Path) -> None:
        if path.is_dir():
            raise StoreUnavailableError(f"database {path} is a folder, not a file")
        if not path.parent.is_dir():
            raise StoreUnavailableError(
                f"database {path} can't be opened: there is no folder {path.parent}",
                hint="make a home with: cloacina init",
            )

    def prepare(self, extra_tables: Iterable[Table] = (), *, beside_tenants: bool = False) -> None:
        """Make the schema, or bring it to the current one; again, only tables that it lacks.

        Args:
            extra_tables: tables of plugins, made when they aren't there.
            beside_tenants: whether a store is made in a database that has tenants as well. Who
                forgot to say for which of them a command is, shouldn't get another store.

        Raises:
            StoreError: as when a database is opened.
        """
        tables = tuple(extra_tables)
        names = {table.name for table in tables}
        if self._prepared is None or not names <= self._prepared:
            found = self._make_what_lacks(tables, beside_tenants=beside_tenants)
            self._prepared = frozenset(names | found)

    def _make_what_lacks(
        self, extra_tables: tuple[Table, ...], *, beside_tenants: bool
    ) -> set[str]:
        """Return the names of the tables that were there before."""
        with self.read() as connection:
            found = self._tables(connection)
            version = self._schema_version(connection, found)
            self.is_tenant = self._says_tenant(connection, found)
        missing = [table for table in extra_tables if table.name not in found]
        head = self._migrations.head
        if version == head and not missing:
            return set(found)
        if self.schema is not None:
            raise SchemaOutdatedError(
                f"the schema of this tenant is {version}, and this version of Cloacina has {head}"
                if version != head
                else f"the schema of this tenant lacks {', '.join(one.name for one in missing)}",
                hint="ask the administrator of the installation to run: cloacina tenant upgrade",
            )
        with self.begin() as connection:
            if not self.is_sqlite:  # whose transactions that write have a lock from the beginning
                postgresql.lock_schema(connection)
            # Another process may have been faster: look again under the lock.
            found = self._tables(connection)
            version = self._schema_version(connection, found)
            if version_table.name not in found:
                self._refuse_foreign(found)
                if not beside_tenants:
                    self._refuse_tenants(connection)
                schema.metadata.create_all(connection)
                version_table.create(connection)
                connection.execute(version_table.insert().values(version_num=head))
            elif version != head:
                self._migrations.upgrade(connection)
            schema.make_indexes_partial(extra_tables, connection)
            for table in extra_tables:
                if table.name not in found:
                    table.create(connection)
        return set(found)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for one in memory, and for PostgreSQL."""
        if not self.is_sqlite or self.url.database in sqlite.IN_MEMORY_NAMES:
            return None
        return Path(str(self.url.database))

    def schema_version(self) -> str | None:
        """Return the version of the schema, None when there is no schema yet; nothing is touched.

        Raises:
            SchemaVersionError: a newer version of Cloacina wrote it.
        """
        if self.file is not None and not self.file.exists():
            return None
        with self.read() as connection:
            return self._schema_version(connection, self._tables(connection))

    def standing(self) -> Standing:
        """Return how far the schema is; nothing is touched.

        Raises:
            SchemaVersionError: a newer version of Cloacina wrote it.
        """
        version = self.schema_version()
        if version is None:
            return Standing.MISSING
        is_current = version == self._migrations.head
        return Standing.CURRENT if is_current else Standing.OUTDATED

    def _tables(self, connection: Connection) -> list[str]:
        return inspect(connection).get_table_names(schema=self.schema)

    @staticmethod
    def _says_tenant(connection: Connection, found: list[str]) -> bool:
        if schema.tenancy.name not in found:
            return False
        return connection.execute(select(schema.tenancy.c.channel)).first() is not None

    def missing_migrations(self) -> list[Revision]:
        """Return the migrations that opening the database would apply; nothing is touched."""
        return self._migrations.plan(self._engine.dialect, self.schema_version())

    def _schema_version(self, connection: Connection, found: list[str]) -> str | None:
        if version_table.name not in found:
            return None
        version: str | None = connection.execute(select(version_table.c.version_num)).scalar()
        if version is not None and version not in self._migrations.known:
            raise SchemaVersionError(
                f"the database has schema {version}, which is newer than this version of Cloacina",
                hint="upgrade Cloacina, or use another database; nothing was changed",
            )
        return version

    def _refuse_foreign(self, found: list[str]) -> None:
        ours = set(schema.metadata.tables) & set(found)
        if ours:
            raise StoreError(
                f"database {self.description} has tables of ours but no schema version",
                hint="restore it from a backup, or use another database",
            )

    def _refuse_tenants(self, connection: Connection) -> None:
        if not self.is_sqlite and postgresql.has_tenants(connection):
            raise NoStoreError(self.description)

    @contextmanager
    def begin(self, *, is_urgent: bool = False) -> Iterator[Connection]:
        """Yield a connection in a write transaction, committed at the end of the block.

        A block within a block of the same thread is a part of it: what it writes is undone when it
        raises, and kept when the outer block is committed. A second transaction would wait for the
        first one without end.

        Args:
            is_urgent: whether it comes before other threads of this process that wait to write.

        Raises:
            OutcomeUnknownError: the connection broke during the commit.
            StoreUnavailableError: the database can't be reached or written; nothing was.
            StoreError: the database refused a statement; nothing was written.
        """
        outer = self._open.connection
        if outer is None:
            with self._outermost(is_urgent=is_urgent) as connection:
                yield connection
        else:
            with self._translated(), outer.begin_nested():
                yield outer

    def _queued(self, *, is_urgent: bool = False) -> AbstractContextManager[None]:
        queue = self._write_queue
        return nullcontext() if queue is None else queue.turn(is_urgent=is_urgent)

    @contextmanager
    def _outermost(self, *, is_urgent: bool) -> Iterator[Connection]:
        with self._queued(is_urgent=is_urgent), self._connected() as connection:
            connection.info.pop(ANNOUNCED, None)
            connection.begin()
            if not self.is_sqlite:
                connection.exec_driver_sql(f"SET LOCAL {postgresql.LET_GO_SOON}")
            self._open.connection = connection
            try:
                yield connection
            finally:
                self._open.connection = None
            self._commit(connection)
            announced = connection.info.pop(ANNOUNCED, None)
        self._tell(announced)

    def _tell(self, announced: set[Any] | None) -> None:
        """Tell of what a transaction announced that was committed."""
        if announced:
            for listener in self._listeners:
                listener(announced)

    def tell(self, listener: Listener) -> None:
        """Tell a listener of what transactions of this process announce."""
        self._listeners = (*self._listeners, listener)

    def tell_no_more(self, listener: Listener) -> None:
        """Stop telling a listener."""
        self._listeners = tuple(kept for kept in self._listeners if kept != listener)

    def direct_connection(self) -> DirectConnection:
        """Return a connection for `begin_directly`, kept until the database is closed."""
        connection = DirectConnection(self._engine)
        self._direct.append(connection)
        return connection

    @contextmanager
    def begin_directly(self, connection: DirectConnection) -> Iterator[None]:
        """Have a connection in a write transaction, as `begin` has, with the same errors."""
        self._refuse_when_closed()
        connection.info.pop(ANNOUNCED, None)
        with self._turn, self._queued(), self._translated(), connection.begin():
            yield
            self._commit(connection)
        self._tell(connection.info.pop(ANNOUNCED, None))

    def _commit(self, connection: Connection | DirectConnection) -> None:
        try:
            connection.commit()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise OutcomeUnknownError(
                f"the connection to database {self.description} broke during a commit",
                hint="look whether it was done before you try again, or use an idempotency key",
            ) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection in a read-only transaction, which sees one state of the database.

        Within a block of `begin` of the same thread it is the connection of that, which sees what
        was written there.
        """
        if self._open.connection is not None:
            yield self._open.connection
            return
        options = {"writes": False} if self.is_sqlite else postgresql.READ_OPTIONS
        with self._connected() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def dedicated(self) -> Iterator[Any]:
        """Yield a connection of the driver that is nobody else's, and close it in the end.

        Raises:
            StoreUnavailableError: the database can't be reached, or can't be any more.
        """
        self._refuse_when_closed()
        driver_error = self._engine.dialect.loaded_dbapi.Error
        with self._translated():
            try:
                connection = self._engine.raw_connection()
                driver_connection = connection.driver_connection
                connection.detach()
                try:
                    yield driver_connection
                except driver_error:
                    connection.invalidate()
                    raise
                finally:
                    connection.close()
            except driver_error as error:
                raise self._lost(error) from error

    def _lost(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the connection to database {self.description} was lost: {error}"
        )

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        self._refuse_when_closed()
        pool = self._engine.pool
        try:
            with self._turn, self._translated(), self._engine.connect() as connection:
                yield connection
        finally:
            if self._closed:  # what went back to a pool just now came too late for `close`
                pool.dispose()
                self._engine.dispose()  # which has another pool since

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._translate(error) from error
        except PoolTimeoutError as error:
            raise StoreUnavailableError(
                f"database {self.description}: all connections are in use", hint="try again"
            ) from error
        except SQLAlchemyError as error:
            raise StoreError(f"database {self.description}: {error}") from error

    def _translate(self, error: DBAPIError) -> StoreError:
        reason = str(error.orig)
        for text, what, hint in _REASONS:
            if text in reason:
                return StoreUnavailableError(f"database {self.description} {what}", hint=hint)
        if "malformed" in reason:
            return StoreDamagedError(
                f"database {self.description} is damaged: {reason}", hint="restore it from a backup"
            )
        if isinstance(error, IntegrityError | DataError | ProgrammingError):
            return StoreError(f"database {self.description} refuses a statement: {reason}")
        return StoreUnavailableError(f"database {self.description} can't be used: {reason}")

    def now_micros(self, connection: Connection) -> int:
        """Return the time on the database's clock, in microseconds since 1970."""
        if self.is_sqlite:
            return self.local_micros()
        return int(connection.exec_driver_sql(postgresql.NOW_MICROS).scalar_one())

    def local_micros(self) -> int:
        """Return the time on this host's clock, which is that of SQLite: it lives here."""
        return to_micros(self.clock.now())

    @property
    def dialect(self) -> Dialect:
        """What statements are to be compiled for."""
        return self._engine.dialect

    def interrupt(self) -> None:
        """Let go of all who wait for an answer of PostgreSQL: there will be none in time."""
        self._answers.interrupt()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed in this process."""
        return self._closed

    def empty(self) -> None:
        """Empty a database in memory that nobody uses any more, for whoever comes next.

        To make tables and to compile statements takes most of the time of a short test.
        """
        for direct in self._direct:
            direct.release()
        self._direct.clear()
        self._listeners = ()
        with self.begin() as connection:
            for table in reversed(schema.metadata.sorted_tables):
                connection.execute(delete(table))

    def close(self) -> None:
        """Close all connections; nothing can be read or written any more."""
        self._closed = True
        with self._turn:
            for connection in self._direct:
                connection.close()
            self._engine.dispose()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreUnavailableError(
                f"database {self.description} was closed in this process",
                hint="open it again: what was stored is there",
            )


def insert_unless_there(database: Database, table: Table) -> Any:
    """Return an `insert` that knows conflicts. Each dialect is slow to import: only one is."""
    if database.is_sqlite:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert  # noqa: PLC0415

    return postgresql_insert(table)


_REASONS = (
    (
        "database is locked",
        f"is locked by another program for more than {sqlite.BUSY_TIMEOUT_SECONDS} s",
        "find out who holds it open, and try again",
    ),
    (
        "readonly database",
        "is read-only",
        "give the user who runs this the right to write the file and its folder",
    ),
    (
        "unable to open database file",
        "can't be opened",
        "check that its folder exists and may be written",
    ),
    (
        "disk is full",
        "can't be written: the disk is full",
        "free some space, and try again; nothing of this was stored",
    ),
    (
        "file is not a database",
        "is not a database",
        "name another file with --database-url or CLOACINA_DATABASE_URL",
    ),
)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"database URL {url!r} can't be read: {error}") from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(
            f"database URL names {parsed.get_backend_name()!r}",
            hint="use sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE",
        )
    return parsed


def _create_engine(url: URL, **options: Any) -> Engine:
    try:
        return create_engine(url, **options)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(
            f"the driver for {url.drivername} isn't installed: {error}",
            hint="install it with: pip install 'cloacina[postgres]'",
        ) from error
