"""A store that was used before is as empty as a new one, and goes by the clock of who has it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime

import pytest
from sqlalchemy import MetaData, select
from support.runs import workflow_of

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import to_micros
from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.store.migrations.runner import version_table
from cloacina_core.testing import FrozenClock, WorkflowHarness, memory_store
from cloacina_core.testing.memory_store import close_store, open_store

LONG = "x" * 100_000


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_store, "_empty", [])


def content(database: Database) -> Mapping[str, object]:
    tables = MetaData()
    with database.read() as connection:
        tables.reflect(connection)
        return {
            table.name: list(connection.execute(select(table))) for table in tables.sorted_tables
        }


def test_a_store_that_was_used_is_as_a_new_one():
    with WorkflowHarness(workflow_of({"a": [], "b": ["a"]})) as harness:
        harness.run(context={"long": LONG}, crash=["before commit:a", "after commit:b"])
        used = harness._database
        assert content(used)["blobs"]

    again = open_store(FrozenClock())

    with closing(Database(IN_MEMORY, FrozenClock())) as new, closing(again):
        assert again is used
        assert content(again) == content(new)


def test_a_store_that_is_used_again_has_another_clock():
    later = FrozenClock(datetime(2030, 1, 1, tzinfo=UTC))
    close_store(open_store(FrozenClock()))

    with closing(open_store(later)) as database:
        assert database.local_micros() == to_micros(later.now())


def test_a_store_that_is_kept_holds_nothing():
    with WorkflowHarness(workflow_of({"a": []})) as harness:
        harness.run()

    (kept,) = memory_store._empty
    assert {name for name, rows in content(kept).items() if rows} == {version_table.name}


def test_to_close_a_harness_again_changes_nothing_and_to_use_it_is_refused():
    flow = workflow_of({"a": []})
    with WorkflowHarness(flow) as first:
        first.run()
        first.close()

    with pytest.raises(InputError, match="closed"):
        first.run()
    with WorkflowHarness(flow) as one, WorkflowHarness(flow) as other:
        assert one._database is not other._database


def test_what_is_compiled_is_compiled_once():
    counts = set()
    for _ in range(5):
        with WorkflowHarness(workflow_of({"a": []})) as harness:
            harness.run()
            counts.add(len(harness._database.statements))

    assert len(counts) == 1


def test_of_two_at_a_time_each_has_its_own():
    flow = workflow_of({"a": []})
    with WorkflowHarness(flow) as one, WorkflowHarness(flow) as other:
        one.run()

        assert one._database is not other._database
        assert not content(other._database)["runs"]


def test_no_more_are_kept_than_are_of_use():
    stores = [open_store(FrozenClock()) for _ in range(6)]
    for store in stores:
        close_store(store)

    assert [store.is_closed for store in stores] == [False] * 4 + [True] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_is_forked_off_has_none_of_them():
    script = (
        "import os\n"
        "from cloacina_core.testing import FrozenClock, memory_store as it\n"
        "it.close_store(it.open_store(FrozenClock()))\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(len(it._empty))\n"
        "print(len(it._empty), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["1", "0"]
