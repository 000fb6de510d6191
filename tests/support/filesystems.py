"""Small file systems for tests: ones that fill up, or can't be written."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def tmpfs(folder: Path, *, size: str = "4m") -> Iterator[Path]:
    """Mount an empty file system of a size; skip the test where that isn't allowed."""
    folder.mkdir()
    made = _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    if made.returncode != 0:
        pytest.skip(f"can't mount a file system: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a test that fails may leave a file open.
        _run("umount", "--lazy", str(folder)).check_returncode()


def make_read_only(folder: Path) -> None:
    """Let nobody write to a file system that `tmpfs` mounted, not even root."""
    _run("mount", "-o", "remount,ro", str(folder)).check_returncode()


def resize(folder: Path, size: str) -> None:
    """Give a file system that `tmpfs` mounted another size."""
    _run("mount", "-o", f"remount,size={size}", str(folder)).check_returncode()


def fill(folder: Path) -> None:
    """Leave no space."""
    with (folder / "ballast").open("wb", buffering=0) as file:
        chunk = b"x" * 4096
        try:
            while True:
                file.write(chunk)
        except OSError:
            return


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
