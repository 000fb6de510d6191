"""DBOS, as a contender, in the fastest mode of each workload at the durability that is asked for.

`run_dbos.py URL HOME`. Its own default on SQLite is a rollback journal, which is slower than the
write-ahead log used here. See `protocol.py`.
"""

import asyncio
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import sqlalchemy as sa
from dbos import DBOS  # type: ignore[import-not-found]  # in its own environment
from protocol import repeated, serve

THREADS = 8  # more of them, its queue and its async API were all slower
Values: TypeAlias = dict[str, Any]

FIVE_VALUES: Values = {"a": 1, "b": "text", "c": 1.5, "d": None, "e": True}

_commits = [0]


def nothing(_context: Values) -> Values:
    """Do nothing, and hand on five values."""
    return FIVE_VALUES


async def async_nothing(_context: Values) -> Values:
    """Do the same, beside others."""
    return FIVE_VALUES


step, async_step = DBOS.step()(nothing), DBOS.step()(async_nothing)


def take_chain(size: int, context: Values) -> Values:
    """Take steps one after the other."""
    for _ in range(size):
        context = step(context)
    return context


async def take_fan(size: int, context: Values) -> None:
    """Take one step, then many side by side, then one."""
    context = await async_step(context)
    await asyncio.gather(*(async_step(context) for _ in range(size)))
    await async_step(context)


async def take_layers(size: int, context: Values) -> None:
    """Take ten layers of steps side by side."""
    for _ in range(10):
        await asyncio.gather(*(async_step(context) for _ in range(size // 10)))


chain = DBOS.workflow()(take_chain)
fan, layers = DBOS.workflow()(take_fan), DBOS.workflow()(take_layers)


class Contender:
    """What can be asked of it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pool = ThreadPoolExecutor(THREADS)

    def lone(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run a workflow again and again, one run at a time."""
        shape, size = request["shape"], request["size"]
        if shape == "chain":
            return _counting(request, lambda: chain(size, FIVE_VALUES))
        workflow = {"fan": fan, "layers": layers}[shape]
        run = self._loop.run_until_complete
        return _counting(request, lambda: run(workflow(size, FIVE_VALUES)))

    def many(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run many workflows of one step."""
        ones = [1] * request["size"]
        run = self._pool.map
        return _counting(request, lambda: list(run(lambda one: chain(one, FIVE_VALUES), ones)))


def _counting(request: Mapping[str, Any], action: Any) -> dict[str, Any]:
    before = _commits[0]
    measured = repeated(action, request)
    return {**measured, "commits": (_commits[0] - before) / request["repeats"]}


def _count(_connection: object) -> None:
    _commits[0] += 1


def _sqlite(url: sa.URL) -> sa.Engine:
    """Return an engine as durable as ours, and no more."""
    synchronous = url.query.get("synchronous", "FULL")
    engine = sa.create_engine(url.set(query={}), connect_args={"check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")

    return engine


def main() -> None:
    """Serve."""
    url = sa.make_url(sys.argv[1])
    is_sqlite = url.get_backend_name() == "sqlite"
    named = url.set(query={}) if is_sqlite else url
    config: dict[str, Any] = {
        "name": "bench",
        "system_database_url": named.render_as_string(hide_password=False),
        "run_admin_server": False,
        "log_level": "ERROR",
    }
    if is_sqlite:
        config["system_database_engine"] = _sqlite(url)
    sa.event.listen(sa.Engine, "commit", _count)
    DBOS(config=config)
    DBOS.launch()
    contender = Contender()
    serve({"lone": contender.lone, "many": contender.many})
    DBOS.destroy()


if __name__ == "__main__":
    main()
