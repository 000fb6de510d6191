"""Transactions straight through the driver, for the few statements that every run needs.

Statements are still written once for both databases: SQLAlchemy compiles each of them, once. What
it does around each execution costs many times more than the execution itself.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from operator import itemgetter
from typing import Any, Protocol, TypeAlias

from sqlalchemy import (
    JSON,
    BindParameter,
    Dialect,
    Engine,
    Insert,
    PoolProxiedConnection,
    TableValuedAlias,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.visitors import iterate, replacement_traverse
from sqlalchemy.types import TypeEngine

from cloacina_core.store.postgresql import LET_GO_SOON

_ROWS = "rows"

Parameters: TypeAlias = Mapping[str, Any]
"""The values of a statement's parameters by their names; there may be more of them."""


class DirectStatement:
    """A statement that changes rows, compiled for one database."""

    def __init__(self, statement: UpdateBase, dialect: Dialect, columns: Sequence[str]) -> None:
        """Compile a statement.

        Args:
            statement: an insert, update or delete.
            dialect: of the database.
            columns: the names of the parameters; those that an insert gives values for.
        """
        compiled: Any = statement.compile(dialect=dialect, column_keys=columns)
        self.text = str(compiled)
        self.bind = _binder(compiled.positiontup)
        self.text_for_many: str | None = None
        """The same for any number of rows, which it takes as one JSON text; None on SQLite."""
        if dialect.name == "postgresql":
            for_many: Any = _taking_json(statement, columns).compile(dialect=dialect)
            self.text_for_many = str(for_many)


def _taking_json(statement: UpdateBase, columns: Sequence[str]) -> UpdateBase:
    """Return a statement that takes its rows out of a JSON array.

    PostgreSQL and its driver handle one text several times as fast as a row after the other.
    """
    if isinstance(statement, Insert) and statement.select is None:
        types = {name: statement.table.c[name].type for name in columns}
        rows = _rows_of_json(types)
        return statement.from_select(list(types), select(*rows.c))
    parameters = {
        part.key: part.type for part in iterate(statement) if isinstance(part, BindParameter)
    }
    rows = _rows_of_json(parameters)

    def replaced(part: object, **_: object) -> Any:
        return rows.c[part.key] if isinstance(part, BindParameter) else None

    changed: UpdateBase = replacement_traverse(statement, {}, replaced)  # type: ignore[call-overload]
    return changed


def _rows_of_json(types: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    columns = [column(name, kind) for name, kind in types.items()]
    function = func.json_to_recordset(cast(bindparam(_ROWS), JSON))
    return function.table_valued(*columns).render_derived(with_types=True)


def _binder(names: Sequence[str] | None) -> Callable[[Parameters], Any]:
    """Return what makes the driver's parameters: a tuple in order, or as they are, by name."""
    if names is None:
        return lambda parameters: parameters
    if len(names) == 1:
        return lambda parameters: (parameters[names[0]],)
    return itemgetter(*names)


class Executed(Protocol):
    """A cursor that executed a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed, for all its parameters together."""
        ...


class DirectConnection:
    """One connection out of an engine's pool, kept. For one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._held: PoolProxiedConnection | None = None
        self.info: dict[str, Any] = {}
        """What belongs to the transaction under way, as that of SQLAlchemy's connections."""

    @property
    def dialect(self) -> Dialect:
        """What statements are to be compiled for."""
        return self._engine.dialect

    @contextmanager
    def begin(self) -> Iterator["DirectConnection"]:
        """Undo what the block did, unless it committed.

        Raises:
            DBAPIError: the driver's error, as SQLAlchemy tells of it.
        """
        with self._told_by_sqlalchemy():
            if self._held is None:
                self._open()
            if self._is_sqlite:  # whose driver begins nothing by itself: see `sqlite.configure`
                self._driver.execute("BEGIN IMMEDIATE")
        try:
            yield self
        finally:
            self._roll_back()

    def _open(self) -> None:
        self._held = self._engine.raw_connection()
        self.info |= self._held.info
        if not self._is_sqlite:
            self._driver.execute(f"SET {LET_GO_SOON}")
            self._driver.commit()

    def gathered(self) -> AbstractContextManager[Any]:
        """Send the statements of a block to the server together, where there is one.

        The effect of each is known at the end of the block.
        """
        return nullcontext() if self._is_sqlite else self._pipeline()

    @contextmanager
    def _pipeline(self) -> Iterator[None]:
        with self._told_by_sqlalchemy(), self._driver.pipeline():
            yield

    def execute(self, statement: DirectStatement, rows: Sequence[Parameters]) -> Executed:
        """Execute a statement for each of some rows of parameters.

        No two of them may change the same row of the database: which came last isn't told.
        """
        with self._told_by_sqlalchemy(statement.text):
            cursor = self._driver.cursor()
            if len(rows) == 1:
                cursor.execute(statement.text, statement.bind(rows[0]))
            elif statement.text_for_many is not None:
                cursor.execute(
                    statement.text_for_many, {_ROWS: json.dumps(rows, ensure_ascii=False)}
                )
            else:
                cursor.executemany(statement.text, [statement.bind(row) for row in rows])
        executed: Executed = cursor
        return executed

    def exec_driver_sql(self, text: str) -> None:
        """Execute a statement without parameters, as SQLAlchemy's connections do."""
        with self._told_by_sqlalchemy(text):
            self._driver.execute(text)

    def first_row(self, text: str) -> Any:
        """Return the first row that a query without parameters finds, None without any."""
        with self._told_by_sqlalchemy(text):
            return self._driver.execute(text).fetchone()

    def commit(self) -> None:
        """Make durable what was executed since `begin`."""
        with self._told_by_sqlalchemy():
            self._driver.commit()

    def close(self) -> None:
        """Close the connection; the next `begin` opens another one."""
        if self._held is not None:
            self._held.invalidate()
            self._held = None

    def release(self) -> None:
        """Give the connection back to the engine; the next `begin` takes one again."""
        if self._held is not None:
            self._held.close()
            self._held = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection: not before the first `begin`, nor after it broke."""
        return self._held is not None

    @property
    def _driver(self) -> Any:
        if self._held is None:
            raise AssertionError("only used after `begin`")
        return self._held.driver_connection

    def _roll_back(self) -> None:
        if self._held is not None:
            with suppress(self._errors):  # a connection that broke took its transaction with it
                self._driver.rollback()

    @property
    def _errors(self) -> type[Exception]:
        """What the driver raises."""
        error: type[Exception] = self.dialect.loaded_dbapi.Error
        return error

    @contextmanager
    def _told_by_sqlalchemy(self, statement: str = "") -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            dialect: Any = self.dialect
            driver = self._held and self._held.driver_connection
            is_broken = dialect.is_disconnect(error, driver, None)
            if is_broken:
                self.close()
            raise DBAPIError.instance(
                statement,
                None,
                error,
                self._errors,
                connection_invalidated=is_broken,
                dialect=dialect,
            ) from error
