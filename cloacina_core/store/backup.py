"""Copies an SQLite store into a file while engines go on writing."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from cloacina_core.errors import BackupElsewhereError, ConflictError, InputError, StoreError
from cloacina_core.store import sqlite
from cloacina_core.store.database import Database
from cloacina_core.store.migrations.runner import version_table

PAGES_IN_STEP = 2000
"""How many pages are copied between two reports of progress."""

Progress: TypeAlias = Callable[[int, int], object]
"""Told how much was done, and of how much."""


def back_up(
    database: Database, path: Path, *, force: bool = False, progress: Progress | None = None
) -> int:
    """Copy a store into one file, as it is at this moment; return the size of the file in bytes.

    The copy is made beside `path`, opened and checked, and takes its place whole; nobody but its
    owner may read it. Where SQLite writes ahead (WAL), engines write on meanwhile.

    Args:
        database: the store.
        path: the file to make.
        force: whether it may take the place of a file that is there.
        progress: told how many pages were copied, and of how many.

    Raises:
        BackupElsewhereError: the store isn't SQLite.
        ConflictError: there is a file, and no `force`.
        InputError: there is no such folder, or it can't be written.
        StoreError: the store can't be read, or the copy isn't sound.
    """
    if not database.is_sqlite:
        url = database.url.set(drivername="postgresql", password=None)
        raise BackupElsewhereError(url, database.schema)
    _refuse_taken(path, force=force)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(f"{path.parent} can't be written: {error.strerror}") from error
    copy = Path(name)
    try:
        _copy(database, copy, progress)
        _check(copy)
        _sync(copy)
        size = copy.stat().st_size
        _refuse_taken(path, force=force)  # it may have come meanwhile
        copy.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise StoreError(f"backup {path} can't be written: {error.strerror}") from error
    finally:
        for leftover in ("", *sqlite.SIDE_FILES):
            Path(name + leftover).unlink(missing_ok=True)
    return size


def _refuse_taken(path: Path, *, force: bool) -> None:
    if path.is_dir() or (path.exists() and not force):
        hint = "name another one" if path.is_dir() else "name another file, or use --force"
        raise ConflictError(f"there is {path} already", hint=hint)


def _copy(database: Database, path: Path, progress: Progress | None) -> None:
    def report(_status: int, left: int, total: int) -> None:
        if progress is not None:
            progress(total - left, total)

    with database.read() as connection, _opened(path) as target:
        # What is read first fixes the state that is copied, whatever engines write meanwhile.
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar()
        source: Any = connection.connection.driver_connection
        try:
            source.backup(target, pages=PAGES_IN_STEP, progress=report)
        except _driver_error() as error:
            raise StoreError(f"backup {path} can't be written: {error}") from error


def _check(path: Path) -> None:
    """Open a copy as a reader would, and let SQLite look at each of its pages."""
    with _opened(path) as connection:
        try:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            connection.execute(f"SELECT version_num FROM {version_table.name}").fetchone()  # noqa: S608 - a constant
        except _driver_error() as error:
            verdict = str(error)
    if verdict != "ok":
        raise StoreError(
            f"the copy of the store isn't sound: {verdict}", hint="check it with: cloacina db check"
        )


def _opened(path: Path) -> contextlib.closing[Any]:
    return contextlib.closing(sqlite.choose_library().module.connect(str(path)))


def _driver_error() -> type[Exception]:
    error: type[Exception] = sqlite.choose_library().module.Error
    return error


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # where folders can't be opened
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
