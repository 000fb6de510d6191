import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloacina_core.errors import ConfigurationError, NotAllowedError
from cloacina_core.foundation import private_files as files

ANY_MODE = 0


def read(path: Path, *, limit: int = 100, refused_modes: int = ANY_MODE) -> bytes:
    return files.read(path, limit=limit, refused_modes=refused_modes, error=NotAllowedError)


@pytest.fixture
def _generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_generous_umask")
def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    files.create(tmp_path / "secret", b"data")

    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert (tmp_path / "secret").read_bytes() == b"data"


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old")

    with pytest.raises(FileExistsError):
        files.create(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        files.create(tmp_path / "secret", b"data")
    assert not (tmp_path / "elsewhere").exists()


def test_a_replaced_file_has_the_new_contents_and_tight_modes(tmp_path: Path) -> None:
    path = tmp_path / "document"
    path.write_bytes(b"old")
    path.chmod(0o666)

    files.replace(path, b"new")

    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_replacement_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    in_the_way = tmp_path / "document"
    in_the_way.mkdir()

    with pytest.raises(OSError):
        files.replace(in_the_way, b"new")
    assert list(tmp_path.iterdir()) == [in_the_way]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_secret_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"data")
    path.chmod(mode)

    with pytest.raises(NotAllowedError, match=f"has mode {mode:04o}: others may read it") as error:
        read(path, refused_modes=files.READABLE_BY_OTHERS)
    assert f"chmod 600 {path}" in str(error.value.hint)


@pytest.mark.parametrize(("mode", "fine"), [(0o644, True), (0o664, False), (0o646, False)])
def test_what_we_rely_on_is_refused_when_others_may_change_it(
    tmp_path: Path, mode: int, *, fine: bool
) -> None:
    path = tmp_path / "document"
    path.write_bytes(b"data")
    path.chmod(mode)

    if fine:
        assert read(path, refused_modes=files.WRITABLE_BY_OTHERS) == b"data"
    else:
        with pytest.raises(NotAllowedError, match="others may change it"):
            read(path, refused_modes=files.WRITABLE_BY_OTHERS)


def test_the_mode_that_counts_is_the_one_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"data")
    (tmp_path / "target").chmod(0o600)
    (tmp_path / "secret").symlink_to(tmp_path / "target")

    assert read(tmp_path / "secret", refused_modes=files.READABLE_BY_OTHERS) == b"data"


def test_a_file_of_the_limit_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)

    assert len(read(path, limit=100)) == 100
    with pytest.raises(NotAllowedError, match="larger than 99 bytes"):
        read(path, limit=99)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(NotAllowedError, match="not a regular file"):
        read(tmp_path / "pipe")


def test_a_folder_is_refused_in_the_words_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a regular file"):
        files.read(tmp_path, limit=1, refused_modes=ANY_MODE, error=ConfigurationError)


def test_a_missing_file_is_left_to_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


def test_a_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    inside = threading.Event()
    order: list[str] = []

    def second() -> None:
        inside.wait()
        with files.locked(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with files.locked(tmp_path):
        inside.set()
        thread.join(timeout=0.1)  # it can't end while the lock is held
        order.append("first")
    thread.join()

    assert order == ["first", "second"]
