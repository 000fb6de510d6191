"""A full disk, and a lock of another program: what was accepted waits, and ends once."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import make_url
from support.faults.engines import EngineProcess, Orders, Place
from support.faults.invariants import Aftermath, assert_nothing_was_lost_or_done_twice
from support.faults.preparations import be_impatient
from support.filesystems import fill, tmpfs
from support.runs import PATIENCE

pytestmark = pytest.mark.slow

BUSY = 0.5
"""Seconds that an engine of these tests waits for a lock, instead of ten."""

KEYS = 4
Start = Callable[[Orders], EngineProcess]


@contextmanager
def foreign_lock(place: Place) -> Iterator[None]:
    """Keep everybody else from writing."""
    with closing(sqlite3.connect(str(make_url(place.url).database), timeout=PATIENCE)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def wait_for_work(place: Place) -> None:
    deadline = time.monotonic() + PATIENCE
    while not place.ledger.begun():
        assert time.monotonic() < deadline, "the engine never began to work"
        time.sleep(0.01)


def finish(place: Place, start: Start) -> Aftermath:
    """Submit what wasn't acknowledged, and check what is there once all has ended."""
    missing = sorted(place.ledger.wanted() - set(place.ledger.accepted()))
    assert start(Orders(place, missing)).wait() == 0
    found = Aftermath.read(place)
    assert_nothing_was_lost_or_done_twice(found)
    return found


def test_a_disk_that_fills_up_holds_work_up_and_loses_nothing(tmp_path: Path, start: Start):
    with tmpfs(tmp_path / "disk") as disk:
        place = Place(tmp_path, f"sqlite:///{disk / 'store.db'}")
        engine = start(Orders(place, [str(n) for n in range(KEYS)]))
        wait_for_work(place)

        fill(disk)
        time.sleep(0.5)
        (disk / "ballast").unlink()

        assert engine.wait() == 0
        assert finish(place, start).results


@pytest.mark.parametrize("held", [BUSY / 2, BUSY * 2.5])
def test_a_foreign_lock_holds_work_up_and_loses_nothing(tmp_path: Path, start: Start, held: float):
    place = Place(tmp_path, f"sqlite:///{tmp_path / 'store.db'}")
    engine = start(Orders(place, [str(n) for n in range(KEYS)], before=partial(be_impatient, BUSY)))
    wait_for_work(place)

    with foreign_lock(place):
        time.sleep(held)

    assert engine.wait() == 0
    found = finish(place, start)
    assert found.results
