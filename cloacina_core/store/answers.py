"""How long an answer of PostgreSQL is waited for.

The limits that the server keeps don't help when its answer is lost on the way, and TCP keeps a
connection alive for as long as anything on the way answers for the server.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

from sqlalchemy import Engine, event

T = TypeVar("T")

LONGEST_SECONDS = 75.0
"""Longer than the server takes for a statement before it gives up."""


class Answers:
    """Bounds the waits of all connections of an engine."""

    def __init__(self, longest: float = LONGEST_SECONDS) -> None:
        self._longest = longest
        self._interruptions = 0

    def interrupt(self) -> None:
        """End all waits that are under way; their connections are lost."""
        self._interruptions += 1

    def bound(self, engine: Engine) -> None:
        """Bound the waits of an engine's connections; those of other drivers stay as they are."""
        if engine.dialect.driver != "psycopg":
            return
        from psycopg import Connection, OperationalError  # noqa: PLC0415 - not always installed

        answers = self

        class BoundedConnection(Connection[Any]):
            """A connection that is closed when the server doesn't answer in time."""

            def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
                return super().wait(answers.bounded(gen, self, OperationalError), *args, **options)

        @event.listens_for(engine, "do_connect")
        def connect(_dialect: object, _record: object, args: Any, options: Any) -> Any:
            return BoundedConnection.connect(*args, **options)

    def bounded(
        self, waits: Generator[Any, Any, T], connection: Any, error: type[Exception]
    ) -> Generator[Any, Any, T]:
        """Go through the driver's waits; it comes back at least ten times a second."""
        deadline, interruptions = time.monotonic() + self._longest, self._interruptions
        try:
            wanted = next(waits)
            while True:
                ready = yield wanted
                if not ready and (
                    time.monotonic() > deadline or interruptions != self._interruptions
                ):
                    connection.pgconn.finish()
                    raise error("the server didn't answer in time")
                wanted = waits.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result
