"""Unpacked wheels are what was signed, whole, and nobody's to change."""

import logging
import os
import py_compile
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from support.locked_wheels import LockedWheel, dependency
from support.signing import StoppedClock
from support.wheels import raw_entries, write_zip

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import Digest, digest_of, hex_of
from cloacina_registry.environments import folders as folders_module
from cloacina_registry.environments.folders import WheelFolders
from cloacina_registry.errors import WheelRejectedError

ROWS = dependency(
    "rows",
    "1.0",
    {
        "rows/__init__.py": b"VERSION = '1.0'\n",
        "rows/data/regions.csv": b"north\n",
        "rows-1.0.data/scripts/rows": b"#!python\n",
        "rows-1.0.data/purelib/os.py": b"",
    },
)
FILES = {
    "rows/__init__.py",
    "rows/data/regions.csv",
    "rows-1.0.dist-info/METADATA",
    "rows-1.0.dist-info/WHEEL",
    "rows-1.0.dist-info/RECORD",
}


class Source:
    """The bytes of a wheel, and how often they were asked for."""

    def __init__(self, wheel: LockedWheel) -> None:
        self.wheel = wheel
        self.reads = 0

    def read(self) -> bytes:
        self.reads += 1
        return self.wheel.data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "home" / "environments" / "wheels"


@pytest.fixture
def source() -> Source:
    return Source(ROWS)


def folders_at(root: Path) -> WheelFolders:
    """Return what another process would have."""
    return WheelFolders(root, SystemClock())


def folder(folders: WheelFolders, source: Source) -> Path:
    artifact = source.wheel.artifact
    return folders.folder(artifact.digest, artifact.filename, source.read)


def files_in(path: Path) -> set[str]:
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


def test_a_wheel_is_unpacked_under_its_digest_without_what_installers_put_elsewhere(
    root: Path, source: Source
) -> None:
    path = folder(folders_at(root), source)

    assert path == root / hex_of(ROWS.artifact.digest)
    assert files_in(path) == FILES
    assert (path / "rows/data/regions.csv").read_bytes() == b"north\n"


def test_nothing_in_it_can_be_written_or_read_by_others(root: Path, source: Source) -> None:
    path = folder(folders_at(root), source)

    modes = {stat.S_IMODE(each.stat().st_mode) for each in (path, *path.rglob("*"))}
    assert modes == {0o500, 0o400}
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_it_is_compared_once_in_each_process(root: Path, source: Source) -> None:
    first, other = folders_at(root), folders_at(root)

    paths = {folder(first, source), folder(first, source), folder(other, source)}

    assert len(paths) == 1
    assert source.reads == 2


def writable(path: Path) -> Path:
    """Make the folder that something is in writable, as the code of a task can do."""
    path.parent.chmod(0o700)
    return path


def change_a_byte(path: Path) -> None:
    file = writable(path / "rows/__init__.py")
    file.chmod(0o600)
    file.write_bytes(b"VERSION = '1.1'\n")


def cut_a_file(path: Path) -> None:
    file = writable(path / "rows/__init__.py")
    file.chmod(0o600)
    file.write_bytes(b"VERSION")


def remove_a_file(path: Path) -> None:
    writable(path / "rows/__init__.py").unlink()


def add_a_file(path: Path) -> None:
    writable(path / "json.py").write_bytes(b"")


def add_bytecode(path: Path) -> None:
    cache = writable(path / "rows/__pycache__")
    cache.mkdir()
    (cache / "__init__.cpython-311.pyc").write_bytes(b"")


def add_a_folder(path: Path) -> None:
    writable(path / "numpy").mkdir()


def replace_a_file_by_a_link(path: Path) -> None:
    file = writable(path / "rows/__init__.py")
    copy = path.parent / "copy.py"
    copy.write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(copy)


def replace_a_folder_by_a_link(path: Path) -> None:
    inside = writable(path / "rows/data")
    copy = path.parent / "elsewhere"
    inside.rename(copy)
    inside.symlink_to(copy)


def replace_a_file_by_a_folder(path: Path) -> None:
    file = writable(path / "rows/__init__.py")
    file.unlink()
    file.mkdir()


DAMAGES: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "byte": (change_a_byte, "rows/__init__.py has other contents"),
    "size": (cut_a_file, "rows/__init__.py has other contents"),
    "missing": (remove_a_file, "rows/__init__.py is missing"),
    "added": (add_a_file, "json.py is too much"),
    "bytecode": (add_bytecode, "rows/__pycache__"),
    "folder": (add_a_folder, "numpy is too much"),
    "link": (replace_a_file_by_a_link, "rows/__init__.py is of another kind"),
    "linked folder": (replace_a_folder_by_a_link, "rows/data is of another kind"),
    "kind": (replace_a_file_by_a_folder, "rows/__init__.py is of another kind"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_changed_is_made_anew_and_told(
    damage: str, root: Path, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    change, said = DAMAGES[damage]
    path = folder(folders_at(root), source)
    change(path)

    with caplog.at_level(logging.WARNING):
        again = folder(folders_at(root), source)

    assert again == path
    assert files_in(path) == FILES
    assert (path / "rows/__init__.py").read_bytes() == b"VERSION = '1.0'\n"
    assert not (path / "numpy").exists()
    assert [said in record.getMessage() for record in caplog.records] == [True]
    assert [each.name for each in root.iterdir() if each.name.startswith(".")] == []


def test_a_sound_one_is_left_alone(root: Path, source: Source) -> None:
    before = (folder(folders_at(root), source) / "rows/__init__.py").stat().st_ino

    after = (folder(folders_at(root), source) / "rows/__init__.py").stat().st_ino

    assert before == after


def test_one_that_went_meanwhile_is_made_again(root: Path, source: Source) -> None:
    folders = folders_at(root)
    path = folder(folders, source)
    path.rename(root.parent / "gone")

    assert files_in(folder(folders, source)) == FILES


def test_half_a_folder_counts_for_nothing(root: Path, source: Source) -> None:
    root.mkdir(parents=True)
    (root / f".{hex_of(ROWS.artifact.digest)}.0123456789abcdef").mkdir()

    assert files_in(folder(folders_at(root), source)) == FILES


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import digest_of
from cloacina_registry.environments import folders

write, count = folders._write, 0

def write_some(path, content):
    global count
    count += 1
    if count == {nth}:
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, content)

folders._write = write_some
data = Path({wheel!r}).read_bytes()
folders.WheelFolders(Path({root!r}), SystemClock()).folder(
    digest_of(data), {filename!r}, lambda: data
)
"""


@pytest.mark.parametrize("nth", [1, 3, 5])
def test_a_process_that_is_killed_leaves_nothing_that_counts(
    nth: int, root: Path, source: Source, tmp_path: Path
) -> None:
    wheel = tmp_path / ROWS.artifact.filename
    wheel.write_bytes(ROWS.data)
    code = KILLED.format(
        paths=[path for path in sys.path if path],
        nth=nth,
        wheel=str(wheel),
        root=str(root),
        filename=wheel.name,
    )

    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == -9
    assert not (root / hex_of(ROWS.artifact.digest)).exists()
    assert files_in(folder(folders_at(root), source)) == FILES


def test_many_at_once_make_one(root: Path) -> None:
    wheels = [dependency("rows", f"1.{number}") for number in range(3)] * 4

    def unpack(wheel: LockedWheel) -> Path:
        return folder(folders_at(root), Source(wheel))  # each as a process of its own

    with ThreadPoolExecutor(6) as threads:
        paths = set(threads.map(unpack, wheels))

    assert {path.name for path in root.iterdir()} == {path.name for path in paths}
    assert len(paths) == 3


def bytecode_that_is_never_held_against_its_source(folder: Path) -> bytes:
    """Return bytecode of another source, which Python takes at its word (PEP 552)."""
    source = folder / "evil.py"
    source.write_text("VERSION = 'of bytecode'\n")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compiled = py_compile.compile(str(source), str(folder / "evil.pyc"), invalidation_mode=mode)
    return Path(compiled).read_bytes()


def version_in_a_worker(path: Path, module: str) -> str:
    """Import a module as workers do, and return its version or why there is none."""
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        f"try: from {module} import VERSION\n"
        "except ImportError as error: VERSION = type(error).__name__\n"
        "print(VERSION)"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_bytecode_and_what_runs_at_the_start_are_left_out(root: Path, tmp_path: Path) -> None:
    evil = bytecode_that_is_never_held_against_its_source(tmp_path)
    tag = sys.implementation.cache_tag
    sources = {"rows.py": b"VERSION = '1.0'\n", "cells/__init__.py": b"VERSION = '2.0'\n"}
    hidden = {
        f"__pycache__/rows.{tag}.pyc": evil,
        f"cells/__pycache__/__init__.{tag}.pyc": evil,
        "cells/data/__PyCache__/index.json": b"{}",
        "cells/inner.PYC": evil,
        "cells/inner.pyo": evil,
        "legacy.pyc": evil,
        "rows.pth": b"import legacy\n",
        "rows.START": b"legacy\n",
    }
    weights = {"cells/weights.pth": b"of a network"}
    source = Source(dependency("rows", "1.0", {**sources, **hidden, **weights}))

    path = folder(folders_at(root), source)

    assert {name for name in files_in(path) if ".dist-info" not in name} == {*sources, *weights}
    assert not any("pycache" in each.name.lower() for each in path.rglob("*"))
    versions = [version_in_a_worker(path, name) for name in ("rows", "cells", "legacy")]
    assert versions == ["1.0", "2.0", "ModuleNotFoundError"]


def test_bytecode_that_its_wheel_brings_is_taken_away_where_it_was_unpacked(
    root: Path, tmp_path: Path
) -> None:
    """Earlier versions unpacked it."""
    evil = bytecode_that_is_never_held_against_its_source(tmp_path)
    source = Source(dependency("rows", "1.0", {"rows.py": b"VERSION = '1.0'\n", "old.pyc": evil}))
    path = folder(folders_at(root), source)
    writable(path / "old.pyc").write_bytes(evil)

    assert "old.pyc" not in files_in(folder(folders_at(root), source))


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"../evil.py": b""}, "path"),
        ({"/tmp/evil.py": b""}, "path"),
        ({"rows.py": b"", "ROWS.py": b""}, "duplicate"),
    ],
)
def test_an_archive_that_would_leave_its_folder_is_not_unpacked(
    root: Path, files: Mapping[str, bytes], kind: str
) -> None:
    data = write_zip(raw_entries(files))

    with pytest.raises(WheelRejectedError) as caught:
        folders_at(root).folder(digest_of(data), "rows-1.0-py3-none-any.whl", lambda: data)

    assert {problem.kind for problem in caught.value.problems} == {kind}
    assert not root.exists()


def test_one_that_is_too_large_is_not_unpacked(
    root: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders_module, "MAX_FOLDER_BYTES", 10)

    with pytest.raises(WheelRejectedError) as caught:
        folder(folders_at(root), source)

    assert caught.value.problems[0].kind == "too-large"


def test_a_content_that_is_not_what_the_archive_says_is_not_unpacked(root: Path) -> None:
    (entry,) = raw_entries({"rows.py": b"VERSION = 1"})
    data = write_zip([type(entry)(name=b"rows.py", content=entry.content, checksum=1)])

    with pytest.raises(WheelRejectedError):
        folders_at(root).folder(digest_of(data), "rows-1.0-py3-none-any.whl", lambda: data)

    assert list(root.iterdir()) == []


def test_where_nothing_can_be_written_it_is_said(root: Path, source: Source) -> None:
    root.parent.parent.mkdir(parents=True)
    root.parent.write_bytes(b"a file in the way")

    with pytest.raises(StoreUnavailableError):
        folder(folders_at(root), source)


def age(path: Path, days: float) -> None:
    moment = path.stat().st_mtime - days * 86_400
    os.utime(path, (moment, moment))


def unused(root: Path, days: float = 1, *, dry_run: bool = False) -> list[Digest]:
    clock = SystemClock()
    before = clock.now() - timedelta(days=days)
    found = WheelFolders(root, clock).unused(before, dry_run=dry_run)
    return [each.digest for each in found]


def test_what_nobody_used_for_long_is_removed(root: Path, source: Source) -> None:
    old = folder(folders_at(root), source)
    young = folder(folders_at(root), Source(dependency("rows", "2.0")))
    age(old, days=2)

    planned, removed = unused(root, dry_run=True), unused(root)

    assert planned == removed == [ROWS.artifact.digest]
    assert list(root.iterdir()) == [young]
    assert unused(root) == []


def test_the_size_of_what_is_removed_is_told(root: Path, source: Source) -> None:
    path = folder(folders_at(root), source)
    age(path, days=2)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    (found,) = WheelFolders(root, SystemClock()).unused(SystemClock().now(), dry_run=True)

    assert found.size == size
    assert found.used_at < SystemClock().now() - timedelta(days=1)


def test_use_makes_a_folder_young_again(root: Path, source: Source) -> None:
    age(folder(folders_at(root), source), days=2)

    folder(folders_at(root), source)

    assert unused(root) == []


def test_a_process_that_goes_on_using_a_folder_says_so(root: Path, source: Source) -> None:
    clock = StoppedClock(SystemClock().now())
    folders = WheelFolders(root, clock)
    path = folder(folders, source)
    age(path, days=2)
    clock.move(timedelta(hours=2))

    folder(folders, source)

    assert unused(root) == []
    assert source.reads == 1


def test_what_was_used_just_now_stays_whatever_is_asked_for(root: Path, source: Source) -> None:
    folder(folders_at(root), source)

    assert unused(root, days=-1) == []


def test_what_a_killed_process_left_goes_too(root: Path) -> None:
    draft = root / f".{hex_of(ROWS.artifact.digest)}.0123456789abcdef"
    draft.mkdir(parents=True)
    (draft / "rows.py").write_bytes(b"")
    age(draft, days=2)

    assert unused(root) == []
    assert list(root.iterdir()) == []


def test_what_is_not_ours_stays(root: Path) -> None:
    (root / "notes").mkdir(parents=True)
    (root / ".directory").write_bytes(b"")
    for path in root.iterdir():
        age(path, days=2)

    assert unused(root) == []
    assert {path.name for path in root.iterdir()} == {"notes", ".directory"}


def test_a_home_without_folders_has_none_to_remove(root: Path) -> None:
    assert unused(root) == []
