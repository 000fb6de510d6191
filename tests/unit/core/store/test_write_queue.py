"""Who writes a file of SQLite waits for those before them, and for nobody who came later."""

import gc
import itertools
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import FrameType

import pytest
from support.waiting import wait_until

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.ids import EngineId
from cloacina_core.store.database import Database
from cloacina_core.store.ownership import Ownership
from cloacina_core.store.write_queue import WriteQueue, write_queue_of
from cloacina_core.testing import FrozenClock

PATIENCE = 30


def test_turns_are_taken_in_the_order_of_coming():
    queue, order = WriteQueue(PATIENCE), []

    def write(name: int) -> None:
        with queue.turn():
            order.append(name)

    writers = [threading.Thread(target=write, args=(name,)) for name in range(5)]
    with queue.turn():
        for number, writer in enumerate(writers, 1):
            writer.start()
            wait_until(lambda wanted=number: queue.waiting == wanted)
    for writer in writers:
        writer.join(PATIENCE)

    assert order == [0, 1, 2, 3, 4]


def write_once(queue: WriteQueue, written: list[str], name: str = "once") -> None:
    with queue.turn():
        written.append(name)


def test_who_writes_without_end_lets_others_write_between():
    queue, written = WriteQueue(PATIENCE), []
    other = threading.Thread(target=write_once, args=(queue, written))
    with queue.turn():
        other.start()
        wait_until(lambda: queue.waiting == 1)
    with queue.turn():  # comes behind the other, however fast it is
        assert written == ["once"]
    other.join(PATIENCE)


def test_what_is_urgent_comes_before_all_who_wait():
    queue, written = WriteQueue(PATIENCE), []

    def renew() -> None:
        with queue.turn(is_urgent=True):
            written.append("lease")

    others = [threading.Thread(target=write_once, args=(queue, written)) for _ in range(3)]
    with queue.turn():
        for number, writer in enumerate([*others, threading.Thread(target=renew)], 1):
            writer.start()
            wait_until(lambda wanted=number: queue.waiting == wanted)
    wait_until(lambda: len(written) == 4)

    assert written[0] == "lease"


def test_a_lease_is_renewed_before_others_write(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with closing(Database(url, FrozenClock())) as database:
        ownership, engine = Ownership(database, timedelta(seconds=15)), EngineId("engine")
        ownership.register(engine, "1")
        queue, written = database._write_queue, []
        assert queue is not None

        other = threading.Thread(target=write_once, args=(queue, written))
        renewal = threading.Thread(target=ownership.renew, args=(engine,))
        with queue.turn():
            other.start()
            wait_until(lambda: queue.waiting == 1)
            (place_of_other,) = queue._queue
            renewal.start()
            wait_until(lambda: queue.waiting == 2)
            assert list(queue._queue)[1:] == [place_of_other]
        for writer in (other, renewal):
            writer.join(PATIENCE)


def test_who_waits_too_long_is_told_and_leaves_the_queue():
    queue, written = WriteQueue(0.01), []

    with queue.turn():
        with pytest.raises(StoreUnavailableError, match="other threads"), queue.turn():
            pass
        assert queue.waiting == 0
    write_once(queue, written)

    assert written == ["once"]


def test_an_interrupt_anywhere_keeps_no_turn():
    queue = WriteQueue(PATIENCE)

    interrupted = [interrupted_at(number, queue) for number in range(40)]

    assert sum(interrupted) > 10
    assert not interrupted[-1], "there are more places than were tried"


def interrupted_at(number: int, queue: WriteQueue) -> bool:
    """Interrupt a turn where Python looks for signals: whether there are as many such places."""
    places = itertools.count()

    def profile(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        is_place = event in ("call", "c_return") and file.endswith(
            ("/write_queue.py", "/contextlib.py")
        )
        if is_place and next(places) == number:
            sys.setprofile(None)
            raise KeyboardInterrupt

    try:
        sys.setprofile(profile)
        with queue.turn():
            pass
    except KeyboardInterrupt:
        is_interrupted = True
    else:
        is_interrupted = False
    finally:
        sys.setprofile(None)
    gc.collect()
    assert queue._turn is None, f"place {number} of a turn"
    assert queue.waiting == 0
    return is_interrupted


def test_a_process_that_is_forked_off_writes_though_a_thread_held_the_turn(tmp_path: Path):
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from cloacina_core.store.write_queue import write_queue_of\n"
        "file = Path(sys.argv[1])\n"
        "queue = write_queue_of(file)\n"
        "with queue.turn():\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        with write_queue_of(file).turn():\n"
        "            os._exit(0)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "store.db")]

    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)

    assert done.stdout == "0\n"


def test_all_who_write_a_file_stand_in_one_queue(tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path, target_is_directory=True)

    first = write_queue_of(tmp_path / "a.db")

    assert write_queue_of(link / "a.db") is first
    assert write_queue_of(tmp_path / "b.db") is not first


@pytest.mark.parametrize("is_direct", [True, False])
def test_a_transaction_waits_in_the_queue_of_its_file(tmp_path: Path, *, is_direct: bool):
    file, begun = tmp_path / "store.db", []

    with closing(Database(f"sqlite:///{file}", FrozenClock())) as database:
        connection = database.direct_connection()

        def write() -> None:
            with database.begin_directly(connection) if is_direct else database.begin():
                begun.append(True)

        queue, writer = write_queue_of(file), threading.Thread(target=write)
        with queue.turn():
            writer.start()
            wait_until(lambda: queue.waiting == 1)
            assert not begun
        writer.join(PATIENCE)

    assert begun == [True]
