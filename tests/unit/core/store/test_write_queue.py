"""Who writes a file of SQLite waits for those before them, and for nobody who came later."""

import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.waiting import wait_until

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.store.database import Database
from cloacina_core.store.write_queue import WriteQueue, write_queue_of
from cloacina_core.testing import FrozenClock

PATIENCE = 30


def test_turns_are_taken_in_the_order_of_coming():
    queue, order = WriteQueue(PATIENCE), []

    def write(name: int) -> None:
        with queue:
            order.append(name)

    writers = [threading.Thread(target=write, args=(name,)) for name in range(5)]
    with queue:
        for number, writer in enumerate(writers, 1):
            writer.start()
            wait_until(lambda wanted=number: queue.waiting == wanted)
    for writer in writers:
        writer.join(PATIENCE)

    assert order == [0, 1, 2, 3, 4]


def test_who_writes_without_end_lets_others_write_between():
    queue, written = WriteQueue(PATIENCE), []
    other = threading.Thread(target=write_once, args=(queue, written))
    with queue:
        other.start()
        wait_until(lambda: queue.waiting == 1)
        queue.__exit__()
        queue.__enter__()  # comes behind the other, however fast it is

        assert written == ["once"]
    other.join(PATIENCE)


def write_once(queue: WriteQueue, written: list[str]) -> None:
    with queue:
        written.append("once")


def test_who_waits_too_long_is_told_and_leaves_the_queue():
    queue, written = WriteQueue(0.01), []

    with queue:
        with pytest.raises(StoreUnavailableError, match="another thread"), queue:
            pass
        assert queue.waiting == 0
    write_once(queue, written)

    assert written == ["once"]


def test_a_call_that_comes_too_late_is_passed_on():
    queue = WriteQueue(PATIENCE)
    queue.__enter__()
    late = threading.Lock()
    queue._queue.append(late)
    late.acquire()
    queue.__exit__()  # calls who has just lost their patience

    queue._give_up(late)

    with queue:
        pass


def test_all_who_write_a_file_stand_in_one_queue(tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path, target_is_directory=True)

    first = write_queue_of(tmp_path / "a.db", PATIENCE)

    assert write_queue_of(link / "a.db", PATIENCE) is first
    assert write_queue_of(tmp_path / "b.db", PATIENCE) is not first


@pytest.mark.parametrize("is_direct", [True, False])
def test_a_transaction_waits_in_the_queue_of_its_file(tmp_path: Path, *, is_direct: bool):
    file, begun = tmp_path / "store.db", []

    with closing(Database(f"sqlite:///{file}", FrozenClock())) as database:
        connection = database.direct_connection()

        def write() -> None:
            with database.begin_directly(connection) if is_direct else database.begin():
                begun.append(True)

        queue, writer = write_queue_of(file, PATIENCE), threading.Thread(target=write)
        with queue:
            writer.start()
            wait_until(lambda: queue.waiting == 1)
            assert not begun
        writer.join(PATIENCE)

    assert begun == [True]
