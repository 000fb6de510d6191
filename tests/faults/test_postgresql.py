"""PostgreSQL dies, is cut off, has no connection left: what was accepted still ends once."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from support.faults.engines import EngineProcess, Orders, Place
from support.faults.invariants import Aftermath, assert_nothing_was_lost_or_done_twice
from support.faults.ledger import Ledger
from support.faults.postmaster import Postmaster, own_server
from support.runs import PATIENCE
from support.tcp_proxy import tcp_proxy

from cloacina_core.model.status import RunStatus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

LEASE = timedelta(seconds=2)
LONGEST_TASK = 0.2
Start = Callable[[Orders], EngineProcess]


@pytest.fixture(scope="module")
def postmaster() -> Iterator[Postmaster]:
    with own_server() as postmaster:
        yield postmaster


@pytest.fixture
def place(postmaster: Postmaster, tmp_path: Path) -> Iterator[Place]:
    with postmaster.server.database() as url:
        yield Place(tmp_path, url)


def orders(place: Place, engine: int, count: int) -> Orders:
    keys = [f"{engine}-{n}" for n in range(count)]
    return Orders(place, keys, lease=LEASE, longest_task=LONGEST_TASK)


def wait_for_work(ledger: Ledger, more: int = 3) -> None:
    """Wait until attempts have begun that hadn't."""
    wanted = ledger.begun().total() + more
    deadline = time.monotonic() + PATIENCE
    while ledger.begun().total() < wanted:
        assert time.monotonic() < deadline, "the engines never went on"
        time.sleep(0.01)


def finish(place: Place, start: Start) -> Aftermath:
    """Have an engine submit what wasn't acknowledged, end all there is, and check it."""
    wanted = {key for key in place.ledger.wanted() if key not in place.ledger.accepted()}
    assert start(Orders(place, sorted(wanted), lease=LEASE)).wait() == 0
    found = Aftermath.read(place)
    assert_nothing_was_lost_or_done_twice(found)
    assert {result.status for result in found.results.values()} == {RunStatus.SUCCEEDED}
    return found


def test_a_server_that_dies_and_comes_back_costs_nothing(
    place: Place,
    postmaster: Postmaster,
    start: Start,
    chance: Random,
    rounds: int,
    tell: Callable[..., None],
):
    engines = [start(orders(place, engine, 3 * rounds)) for engine in range(2)]
    for number in range(3 * rounds):
        wait_for_work(place.ledger)
        time.sleep(chance.random() * 0.1)
        way = ("kill", "immediate", "fast")[number % 3]
        if way == "kill":
            postmaster.kill()
        postmaster.restart("immediate" if way == "immediate" else "fast")
        tell(place.kind, "server", way)

    assert [engine.wait() for engine in engines] == [0, 0]
    finish(place, start)


def test_a_network_that_fails_in_every_way_costs_nothing(
    place: Place, start: Start, chance: Random, rounds: int, tell: Callable[..., None]
):
    """Cut connections, silence for longer than a lease, and commits whose answers are lost."""
    with tcp_proxy(place.url) as proxy:
        behind = Place(place.home, proxy.url)
        engines = [start(orders(behind, engine, 3 * rounds)) for engine in range(2)]
        for _ in range(rounds):
            for fault in chance.sample(("cut", "silence", "drop", "cut", "drop"), 5):
                wait_for_work(place.ledger, more=2)
                time.sleep(chance.random() * 0.1)
                tell(place.kind, "network", fault)
                if fault == "cut":
                    proxy.cut()
                elif fault == "drop":
                    proxy.drop_commit_replies(3)
                else:
                    proxy.silence()
                    time.sleep(LEASE.total_seconds())
                    proxy.heal()
        assert [engine.wait() for engine in engines] == [0, 0]
        assert proxy.dropped >= 3 * rounds

    finish(place, start)


def test_engines_that_get_few_connections_keep_their_leases(
    place: Place, postmaster: Postmaster, start: Start
):
    """Twelve for four engines: who gets none waits, and its runs go on."""
    postmaster.server.execute("ALTER SYSTEM SET max_connections = 12")
    postmaster.restart()
    try:
        engines = [start(orders(place, engine, 2)) for engine in range(4)]
        for engine in engines:
            engine.wait()
        found = finish(place, start)
    finally:
        postmaster.server.execute("ALTER SYSTEM RESET max_connections")
        postmaster.restart()

    assert found.results
