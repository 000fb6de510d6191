"""A backup is a whole store as it was at one moment, or there is none."""

import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert
from support.filesystems import tmpfs
from support.runs import EngineBench, workflow_of

from cloacina_core.errors import BackupElsewhereError, ConflictError, InputError, StoreError
from cloacina_core.store import backup, schema
from cloacina_core.store.backup import back_up
from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.testing import FrozenClock

CLOCK = FrozenClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'store.db'}", CLOCK)
    yield database
    database.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "copy.db"


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def add_pair(database: Database, number: int) -> None:
    """Add two rows in one transaction: a copy has both or none."""
    with database.begin() as connection:
        for letter in "ab":
            row = {"digest": f"{letter}{number}", "body": "x" * 3000}
            connection.execute(insert(schema.definitions), row)


def test_a_backup_is_a_store(database: Database, target: Path):
    bench = EngineBench(database, CLOCK)
    run_id = bench.start(workflow_of({"a": []}), params={"n": 1}).run_id
    bench.executor.succeed("a", rows=[1])
    bench.step()

    size = back_up(database, target)

    assert names(target) == ["copy.db"]
    assert size == target.stat().st_size
    copy = Database(f"sqlite:///{target}", CLOCK)
    with closing(copy):
        found = EngineBench(copy, CLOCK).result(run_id)
    assert found.to_json() == bench.result(run_id).to_json()


def test_only_its_owner_may_read_it(database: Database, target: Path):
    back_up(database, target)

    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_it_is_one_moment_while_others_write(
    database: Database, target: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backup, "PAGES_IN_STEP", 5)
    for number in range(20):
        add_pair(database, number)
    written = []

    def write_meanwhile(_done: int, _total: int) -> None:
        writer = threading.Thread(target=add_pair, args=(database, 100 + len(written)))
        writer.start()
        writer.join()
        written.append(1)

    back_up(database, target, progress=write_meanwhile)

    assert len(written) > 3
    with closing(Database(f"sqlite:///{target}", CLOCK)) as copy, copy.read() as connection:
        found = set(connection.execute(schema.definitions.select()).scalars())
    assert found == {f"{letter}{number}" for letter in "ab" for number in range(20)}


def test_progress_is_told_to_the_end(database: Database, target: Path):
    told: list[tuple[int, int]] = []

    back_up(database, target, progress=lambda done, total: told.append((done, total)))

    assert told[-1][0] == told[-1][1] > 0


def test_a_file_that_is_there_is_kept_unless_forced(database: Database, target: Path):
    target.write_text("precious")

    with pytest.raises(ConflictError, match=r"there is .* already"):
        back_up(database, target)
    assert target.read_text() == "precious"

    back_up(database, target, force=True)
    assert target.read_bytes().startswith(b"SQLite format 3")
    assert names(target) == ["copy.db"]


def test_a_folder_is_never_replaced(database: Database, target: Path):
    with pytest.raises(ConflictError):
        back_up(database, target.parent, force=True)


def test_a_folder_that_is_not_there_is_named(database: Database, target: Path):
    with pytest.raises(InputError, match="nowhere"):
        back_up(database, target.parent / "nowhere" / "copy.db")


def test_a_copy_that_is_not_sound_does_not_take_the_place(
    database: Database, target: Path, monkeypatch: pytest.MonkeyPatch
):
    target.write_text("the backup of yesterday")
    copy = backup._copy

    def copy_badly(*arguments: object) -> None:
        copy(*arguments)  # type: ignore[arg-type]
        path = Path(str(arguments[1]))
        path.write_bytes(path.read_bytes()[:4096] + b"\x00" * 8192)

    monkeypatch.setattr(backup, "_copy", copy_badly)

    with pytest.raises(StoreError, match="isn't sound"):
        back_up(database, target, force=True)

    assert names(target) == ["copy.db"]
    assert target.read_text() == "the backup of yesterday"


def test_a_full_disk_leaves_nothing_behind(database: Database, tmp_path: Path):
    with database.begin() as connection:
        rows = [{"digest": str(number), "body": "x" * 3000} for number in range(300)]
        connection.execute(insert(schema.definitions), rows)

    with tmpfs(tmp_path / "small", size="256k") as folder:
        with pytest.raises(StoreError, match="can't be written"):
            back_up(database, folder / "copy.db")

        assert list(folder.iterdir()) == []


def test_a_store_in_memory_can_be_kept(target: Path):
    with closing(Database(IN_MEMORY, CLOCK)) as database:
        add_pair(database, 1)

        back_up(database, target)

    assert target.stat().st_size > 0


def test_for_postgresql_its_own_tool_is_named():
    error = BackupElsewhereError("postgresql://me@host/db")

    assert error.exit_status == 2
    assert "pg_dump" in str(error.hint)
