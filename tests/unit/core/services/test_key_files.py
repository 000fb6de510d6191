"""Each rule of `services.secrets.key_files`, attacked."""

import base64
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from cloacina_core.errors import ConfigurationError, SecretKeyRefusedError
from cloacina_core.services.secrets.key_files import KeyFile, KeyVariable

FIRST, SECOND, THIRD = (bytes([number]) * 32 for number in range(3))
is_posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners are POSIX's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "secret.keys"


def written(path: Path, *lines: bytes, mode: int = 0o600) -> KeyFile:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    path.chmod(mode)
    return KeyFile(path)


def line(key: bytes) -> bytes:
    return base64.b64encode(key)


def test_there_are_no_keys_before_the_first(path: Path):
    assert KeyFile(path).read() == ()


def test_the_newest_key_is_the_first(path: Path):
    keys = KeyFile(path)

    keys.add(FIRST, before=None)
    keys.add(SECOND, before=FIRST)

    assert list(keys.read()) == [SECOND, FIRST]


@is_posix
def test_a_file_is_made_for_its_owner_alone(path: Path):
    before = os.umask(0)
    try:
        KeyFile(path).add(FIRST, before=None)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_of_two_who_add_a_key_the_second_takes_that_of_the_first(path: Path):
    keys = KeyFile(path)
    keys.add(FIRST, before=None)

    keys.add(SECOND, before=FIRST)
    keys.add(THIRD, before=FIRST)

    assert list(keys.read()) == [SECOND, FIRST]


def test_of_many_who_make_the_first_key_at_a_time_one_does(path: Path):
    everybody = threading.Barrier(8)

    def add(number: int) -> None:
        everybody.wait()
        KeyFile(path).add(bytes([number]) * 32, before=None)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(KeyFile(path).read()) == 1


def test_a_key_that_is_dropped_is_gone_from_the_disk(path: Path):
    keys = written(path, line(FIRST), line(SECOND))

    assert keys.drop([SECOND])
    assert path.read_bytes() == line(FIRST) + b"\n"
    assert [other.name for other in path.parent.iterdir()] == [path.name]


@is_posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o602, 0o610, 0o644])
def test_a_file_that_others_may_use_is_refused(path: Path, mode: int):
    keys = written(path, line(FIRST), mode=mode)

    with pytest.raises(SecretKeyRefusedError, match=f"has mode {mode:04o}") as caught:
        keys.read()
    assert caught.value.hint == f"take their rights away with: chmod 600 {path}"


@is_posix
def test_a_link_is_refused(path: Path, tmp_path: Path):
    written(tmp_path / "elsewhere" / "keys", line(FIRST))
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere" / "keys")

    with pytest.raises(SecretKeyRefusedError, match="is a link"):
        KeyFile(path).read()


@is_posix
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused(path: Path, kind: str):
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path, 0o600)

    with pytest.raises(SecretKeyRefusedError, match="is not a regular file"):
        KeyFile(path).read()


@is_posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives away")
def test_a_file_of_somebody_else_is_refused(path: Path):
    keys = written(path, line(FIRST))
    os.chown(path, 12345, -1)

    with pytest.raises(SecretKeyRefusedError, match="belongs to user 12345"):
        keys.read()


@pytest.mark.parametrize(
    "wrong",
    [
        line(b"x" * 31),
        line(b"x" * 33),
        line(b"x" * 16),
        line(SECOND).rstrip(b"="),
        line(b"\xff" * 32).replace(b"/", b"_"),
        line(SECOND)[:-2] + b"F=",  # bits that no encoder leaves
        b"passwords-are-no-keys",
        b"\xff\xfe",
    ],
)
def test_what_is_no_key_is_refused_and_not_quoted(path: Path, wrong: bytes):
    keys = written(path, line(FIRST), wrong)

    with pytest.raises(SecretKeyRefusedError, match="key 2 isn't 32 bytes in base64") as caught:
        keys.read()
    assert wrong.decode(errors="replace") not in str(caught.value)


def test_a_key_that_stands_there_twice_is_refused(path: Path):
    with pytest.raises(SecretKeyRefusedError, match="key 2 stands there twice"):
        written(path, line(FIRST), line(FIRST)).read()


def test_a_file_without_end_is_refused(path: Path):
    with pytest.raises(SecretKeyRefusedError, match="is larger than"):
        written(path, b"A" * 70_000).read()


def test_a_variable_has_the_keys_that_stand_in_it():
    environ = {"KEYS": f" {line(SECOND).decode()} {line(FIRST).decode()}\n"}

    assert list(KeyVariable(environ, "KEYS").read()) == [SECOND, FIRST]
    assert list(KeyVariable(environ, "OTHER").read()) == []


def test_a_variable_is_never_written():
    environ: dict[str, str] = {}
    keys = KeyVariable(environ, "KEYS")

    with pytest.raises(ConfigurationError, match="belongs into the environment variable KEYS"):
        keys.add(FIRST, before=None)
    assert not keys.drop([FIRST])
    assert environ == {}


def test_a_variable_has_a_name():
    with pytest.raises(ConfigurationError, match="names no variable"):
        KeyVariable({}, "")
